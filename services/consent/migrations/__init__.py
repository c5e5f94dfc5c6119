"""The history of consent's tables."""

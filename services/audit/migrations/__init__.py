"""Audit's tables, as they came to be."""

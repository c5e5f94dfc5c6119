"""Governance's tables, as they came to be."""

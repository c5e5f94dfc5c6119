"""Imports a HUD HMIS CSV export: reading, mapping, and variants of an export for tests and load."""

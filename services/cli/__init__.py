"""The `threshold` command."""

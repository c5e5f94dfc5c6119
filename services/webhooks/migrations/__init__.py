"""The tables of webhooks, as they came to be."""

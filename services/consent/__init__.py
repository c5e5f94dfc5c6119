"""Clients, consents, revocations and receipts; the key custodian, which says who may open which box, now."""

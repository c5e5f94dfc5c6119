"""Referrals and their lifecycle: seals what is said, publishes it, shows each party what it may know."""

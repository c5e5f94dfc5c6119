"""What every service needs, and nothing that only one needs."""

"""The auditor's service: decisions and deliveries in tables, replay and export of the log."""

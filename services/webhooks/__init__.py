"""Tells organizations, signed and within a second, what they may know: endpoints, deliveries and the inbox."""

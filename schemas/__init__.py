"""What is said: the closed shapes of events, data categories and topics."""

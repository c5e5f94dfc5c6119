"""What may cross: pure functions from the log's bytes to decisions. No I/O, clock, Kafka or database."""

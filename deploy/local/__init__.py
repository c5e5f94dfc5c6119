"""The whole stack on one machine: the real Kafka and PostgreSQL, and one process per service."""

"""Every test of Threshold; those that need Kafka or PostgreSQL use the real ones."""

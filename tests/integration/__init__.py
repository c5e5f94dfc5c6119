"""Tests of one part with its real neighbours: Kafka, PostgreSQL, processes."""

"""Kafka: what is published, and the broker that the tests start."""

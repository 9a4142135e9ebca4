"""Kafka and DynamoDB Local as plain processes on loopback, for development, tests and benchmarks."""

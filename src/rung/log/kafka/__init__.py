"""The log on Kafka: a topic of events, and a compacted topic of those in quarantine."""

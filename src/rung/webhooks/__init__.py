"""Webhooks: tells another system which steps of the ladder users reach and lose, each at least once."""

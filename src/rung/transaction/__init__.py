"""Transactions: events, histories, merge, contributions. Pure."""

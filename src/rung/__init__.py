"""Rung keeps every user's standing in a payment campaign exactly right."""

"""Settle a period for good: results, adjustments, and the cash back of each purchase."""

"""Compare the lake with what payment systems say, and tell how late events come."""

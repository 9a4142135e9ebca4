"""The lake: every event of the log with its position, kept for good. A port, and Delta tables behind it."""

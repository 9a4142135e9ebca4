"""The store: its port and its adapters."""

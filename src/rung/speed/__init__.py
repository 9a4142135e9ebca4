"""The speed layer: micro-batches of events in, one atomic change of the store out."""

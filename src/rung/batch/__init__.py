"""The batch layer: aggregate everything again from the lake, prove the store equal, repair and settle."""

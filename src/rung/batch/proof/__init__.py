"""Prove the store equal to the lake, heal what is not, and let a version serve only when that is done."""

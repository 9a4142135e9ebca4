"""Writes the reference pages from the code, so that they say what the program does."""

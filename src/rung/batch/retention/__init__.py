"""Drop what no window needs, settle what comes later, and erase a person but no total."""

"""Who may do what: pure rules; keys, times and random bytes come in as arguments."""

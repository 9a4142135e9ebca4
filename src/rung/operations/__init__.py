"""What people do to a home, whatever they do it with: the command line and the console both call these."""

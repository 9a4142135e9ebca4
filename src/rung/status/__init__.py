"""From stored figures to what a user is shown, and the HTTP API that shows it."""

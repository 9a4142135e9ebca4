"""The pages, one module for each place in the console: what is read, and what a form does."""

"""A version compiled to one relational plan, run on columns. Pure."""

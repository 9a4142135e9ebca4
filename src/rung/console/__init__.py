"""The operators' console: pages that show how things stand, and the paths on which people change them."""

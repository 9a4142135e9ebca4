"""The campaign spec: what a campaign says, checked and typed. Pure."""

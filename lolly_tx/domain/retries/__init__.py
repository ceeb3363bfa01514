"""The attempts of a request: how many, when, and of what budget."""

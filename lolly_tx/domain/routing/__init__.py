"""Which route a request takes: hosts, path patterns, expressions."""

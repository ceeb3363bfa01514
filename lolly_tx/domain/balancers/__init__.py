"""The balancers that are built in, and the names they go by."""

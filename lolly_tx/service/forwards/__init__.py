"""Forward proxies, and the ways they have."""

"""Layer 2: the I/O adapters, over Twisted."""

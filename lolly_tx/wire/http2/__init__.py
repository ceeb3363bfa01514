"""HTTP/2 (RFC 9113), without any input or output: frames, settings, windows, heads."""

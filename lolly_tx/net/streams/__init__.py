"""Streams: connections whose bytes are passed on as they are."""

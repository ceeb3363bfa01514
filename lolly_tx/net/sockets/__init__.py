"""Bytes in and out of this process: transports, TLS, splice, endpoints, the acceptor."""

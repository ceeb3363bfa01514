"""Configurations of lolly, the proxy in Go: YAML, carried over key by key."""

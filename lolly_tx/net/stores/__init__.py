"""Connections to stores that several instances share (Redis, Valkey)."""

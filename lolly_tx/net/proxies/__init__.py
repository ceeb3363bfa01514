"""Connections that take their way through other proxies."""

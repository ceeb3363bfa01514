"""Tunnels: their servers and their connectors."""

"""Configurations of nginx: read with `crossplane`, and carried over directive by directive."""

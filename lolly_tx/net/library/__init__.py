"""Pools for programs that are no proxy: agents and endpoints that balance."""

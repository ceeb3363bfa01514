"""Configurations of other proxies read, and written as one of ours, with a list of what was left out."""

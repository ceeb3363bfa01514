"""Layer 3: one exchange from end to end."""

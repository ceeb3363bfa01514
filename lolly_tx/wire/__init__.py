"""Layer 1: pure bytes to values and back."""

"""Layer 1: pure text to frozen settings."""

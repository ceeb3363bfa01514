"""Layer 4: the only place that constructs and starts things."""

"""Files as what a route leads to."""

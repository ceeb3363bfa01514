"""A configuration as text: its lines, its variables, the places in it."""

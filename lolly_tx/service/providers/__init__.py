"""Settings and targets that others bring."""

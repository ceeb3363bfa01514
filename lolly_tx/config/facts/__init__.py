"""What settings imply: times, loads, bounds, and what looks wrong."""

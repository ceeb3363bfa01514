"""What the process does with itself, and says to the system."""

"""What active checks and agents say of targets, and when they ask."""

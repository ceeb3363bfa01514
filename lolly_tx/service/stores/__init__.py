"""What instances share by a store."""

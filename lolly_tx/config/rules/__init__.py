"""What must hold between settings, beyond each of them."""

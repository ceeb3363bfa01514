"""What several processes or machines know together of one pool."""

"""What is counted, as statistics and as metrics."""

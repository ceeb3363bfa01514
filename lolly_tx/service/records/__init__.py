"""What is written down: logs, events, dumps, spans."""

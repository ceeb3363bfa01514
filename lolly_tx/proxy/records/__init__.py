"""The access log: lines made of exchanges that are over."""

"""The admin endpoint: who may ask, what is answered, the dashboard."""

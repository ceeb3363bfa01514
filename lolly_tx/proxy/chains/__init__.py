"""Middleware before the end of a route: its links, the doors behind them, and the way of a request through."""

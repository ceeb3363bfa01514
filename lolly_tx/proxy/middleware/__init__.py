"""Middleware: what stands between a route and its end; one module for each type."""

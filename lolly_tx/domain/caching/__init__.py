"""Decisions of a shared cache (RFC 9111): what is kept, for how long, what answers a request, what goes first."""

"""Datagrams: clients' sessions, and the sockets of both sides."""

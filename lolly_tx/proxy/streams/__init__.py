"""Connections and datagrams whose bytes are passed on as they are."""

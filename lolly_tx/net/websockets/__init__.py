"""WebSockets as connections: what speaks over TCP speaks over them, and the reverse."""

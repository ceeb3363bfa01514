"""HTTP/2 on connections: the door in."""

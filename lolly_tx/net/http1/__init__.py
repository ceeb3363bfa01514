"""HTTP/1.1 on connections: the door in and the door out."""

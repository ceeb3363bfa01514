"""Reverse tunnels: many streams on the one connection that somebody behind a NAT has made to us."""

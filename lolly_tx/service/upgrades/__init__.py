"""New code under the same sockets."""

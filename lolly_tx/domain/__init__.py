"""Layer 0: pure decisions. No Twisted, no clock, no random source, no sockets, no logging."""

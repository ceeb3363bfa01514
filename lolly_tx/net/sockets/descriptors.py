"""Reading and writing a socket that does not block: on its descriptor, where the extension for that was compiled.

    handle = handle_of(sock)      what the two are given; kept as long as the socket is open, and no longer
    receive(handle, most)         at most so many bytes, b"" at the end; raises OSError
    transmit(handle, data)        how many bytes of `data` went; raises OSError

The methods of a socket look for its time limit, make room for the largest answer and let other threads run; the
extension does none of it, which is half a microsecond for a read and a write.

Imports: net.sockets. Used by: net.sockets.at_once, net.sockets.transports.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

receive: Callable[[Any, int], bytes] = socket.socket.recv
transmit: Callable[[Any, bytes], int] = socket.socket.send


def _itself(sock: socket.socket) -> Any:
    return sock


handle_of: Callable[[socket.socket], Any] = _itself
"""What `receive` and `transmit` take for a socket."""

try:
    from lolly_tx.net.sockets import _descriptors
except ImportError:  # a pure installation
    pass
else:
    receive, transmit = _descriptors.receive, _descriptors.transmit
    handle_of = socket.socket.fileno

MOST_BYTES = 131072
"""What one `receive` may ask for."""

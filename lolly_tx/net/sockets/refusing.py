"""Listening sockets that take nobody for a while, without their address being given up.

    hear_nobody   no connection is begun any more     those that are half made are completed
    refuse        who asks is refused                  listen_again   and served again
    hide          a path leads nowhere                 reveal         and there again

A TCP socket that is not listened on stays bound, so nobody needs the right to bind a low port a second time. A UNIX
socket cannot be revived after a shutdown; its path is what leads to it.

Imports: nothing of ours. Used by: net.sockets.ports, net.sockets.slots.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from contextlib import suppress

_INET = (socket.AF_INET, socket.AF_INET6)

_ATTACH_FILTER = 26
_DETACH_FILTER = 27
"""SO_ATTACH_FILTER and SO_DETACH_FILTER of Linux, which the socket module has no names for."""

_NOBODY_NEW = ctypes.create_string_buffer(
    b"".join(
        struct.pack("HBBI", *each)
        for each in (
            (0x30, 0, 0, 13),  # load the byte of a TCP header that holds the flags
            (0x45, 0, 1, 2),  # is SYN among them?
            (0x06, 0, 0, 0),  # then nothing of it passes
            (0x06, 0, 0, 0xFFFFFFFF),  # else all of it
        )
    )
)
"""A program for that: what begins a connection does not pass, what completes one does."""

_HIDDEN = ".drained"
"""What is added to the path of a UNIX socket meanwhile."""


def hear_nobody(listening: socket.socket) -> None:
    """Have the kernel begin no more connections for `listening`, without a word to those who ask.

    Who comes between the last accept and the close would be told that there is a connection, and then be reset. Not
    heard, he asks again a second later, and finds who listens there then. Where it cannot be had, all is as without.
    """
    if listening.family in _INET:
        program = struct.pack("HP", 4, ctypes.addressof(_NOBODY_NEW))
        with suppress(OSError):
            listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def listens(one: socket.socket) -> bool:
    """Whether the kernel takes connections for it."""
    return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def refuse(listening: socket.socket) -> None:
    """Have the kernel refuse who asks for a connection; who waits in the queue is reset.

    Does nothing to a socket that does so already, nor to a UNIX socket.
    """
    if listening.family in _INET and listens(listening):
        address = listening.getsockname()
        listening.shutdown(socket.SHUT_RD)
        # A port that the system had chosen is given back with that.
        with suppress(OSError):
            listening.bind(address)


def listen_again(listening: socket.socket, backlog: int) -> None:
    """Have the kernel take connections as before. Raises OSError, when somebody else has the address by now."""
    if listening.family in _INET:
        listening.listen(backlog)
        with suppress(OSError):
            listening.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)


def hide(path: str) -> None:
    """Let nobody find the socket at `path`. Raises OSError."""
    if not is_hidden(path):
        os.rename(path, path + _HIDDEN)


def is_hidden(path: str) -> bool:
    """Whether the socket at `path` is."""
    return os.path.exists(path + _HIDDEN) and not os.path.exists(path)


def reveal(path: str) -> None:
    """Take `hide` back. Raises OSError, when somebody else has the path by now."""
    if os.path.exists(path):
        if os.path.exists(path + _HIDDEN):
            raise FileExistsError(17, "somebody else listens there", path)
        return
    os.rename(path + _HIDDEN, path)

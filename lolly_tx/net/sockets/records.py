"""Records of TLS read and written without pyOpenSSL's copies.

`SSL.Connection.recv` makes a buffer of the largest record for each read, and `send` goes through four calls and a
context manager. Here OpenSSL reads into one buffer that stays, and takes bytes as they are. An ordinary result is all
that is understood: whatever else OpenSSL says is for pyOpenSSL to make an exception of, from the same result.

It leans on private names of pyOpenSSL. Where one is missing, `read` and `write` are its own methods.

One read is one record, of whatever kind: left to itself, OpenSSL goes on to the next after a message of the handshake
that comes later, such as KeyUpdate, and a client that sends nothing else would have all the time there is.

Imports: Twisted, pyOpenSSL. Used by: net.sockets.records_at_once, net.sockets.tls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL, _util
from twisted.logger import Logger

RECORD_BYTES = 16384
"""The most a TLS record carries."""

_AUTO_RETRY = 4
"""SSL_MODE_AUTO_RETRY, which has no name in pyOpenSSL."""

_log = Logger()

Read = Callable[[Any], bytes]
Write = Callable[[Any, "bytes | memoryview"], int]


def missing_names(binding: Any = _util, connection: Any = SSL.Connection) -> list[str]:
    """The private names of pyOpenSSL this module leans on which are not there."""
    needed = (
        (binding, "lib ffi"),
        (getattr(binding, "lib", None), "SSL_clear_mode SSL_read SSL_write"),
        (getattr(binding, "ffi", None), "new buffer from_buffer"),
        (connection, "_raise_ssl_error"),
    )
    return [
        name
        for owner, names in needed
        for name in names.split()
        if not hasattr(owner, name)
    ]


def one_at_a_time(connection: Any, binding: Any = _util) -> None:
    """Let a read return after each record, also one that brings no data: whether there is more, the reactor knows.

    Only for a `connection` on a socket: what waits in memory nobody would tell of.
    """
    binding.lib.SSL_clear_mode(connection._ssl, _AUTO_RETRY)


def _without_it(connection: Any) -> None:
    """A pyOpenSSL without these names."""


def stock_read(connection: Any) -> bytes:
    """The next record, or a part of it. Raises `SSL.Error`."""
    data: bytes = connection.recv(RECORD_BYTES)
    return data


def stock_write(connection: Any, data: bytes | memoryview) -> int:
    """Send `data`; how much of it went. Raises `SSL.Error`."""
    sent: int = connection.send(data)
    return sent


def direct(binding: Any) -> tuple[Read, Write]:
    """`stock_read` and `stock_write` with OpenSSL called directly."""
    ssl_read, ssl_write = binding.lib.SSL_read, binding.lib.SSL_write
    window, view_of = binding.ffi.buffer, binding.ffi.from_buffer
    # One for all: what is read is copied out before anybody else reads.
    room = binding.ffi.new("char[]", RECORD_BYTES)

    def read(connection: Any) -> bytes:
        try:
            handle = connection._ssl
        except AttributeError:  # not pyOpenSSL's
            return stock_read(connection)
        count = ssl_read(handle, room, RECORD_BYTES)
        if count <= 0:
            connection._raise_ssl_error(handle, count)
        data: bytes = window(room, count)[:]
        return data

    def write(connection: Any, data: bytes | memoryview) -> int:
        try:
            handle = connection._ssl
        except AttributeError:
            return stock_write(connection, data)
        # The rest of what is longer than a record is a view: most of a download.
        given = data if data.__class__ is bytes else view_of(data)
        count: int = ssl_write(handle, given, len(data))
        if count <= 0:
            connection._raise_ssl_error(handle, count)
        return count

    return read, write


_MISSING = missing_names()
if _MISSING:  # pragma: no cover  # only with a pyOpenSSL that does not exist yet
    _log.warn(
        "This pyOpenSSL lacks {names}: TLS is as correct, but slower",
        names=", ".join(_MISSING),
    )
ways: tuple[Read, Write] = (stock_read, stock_write)
single: Callable[[Any], None] = _without_it
if not _MISSING:
    ways = direct(_util)
    single = one_at_a_time
read, write = ways

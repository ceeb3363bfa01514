"""What a client says first in TLS (RFC 8446 section 4.1.2), read without OpenSSL: the name it wants, what it speaks.

It decides nothing about security: who finds something odd here leaves the connection to OpenSSL, which refuses it.

Imports: nothing of ours. Used by: net.sockets, net.streams.
"""

from __future__ import annotations

import attrs

LARGEST_HELLO = 16384
"""Bytes. Those of browsers have two thousand, the keys of the next generation included."""

LARGEST_RECORD = 16384
"""Of its content, in the clear."""

_HANDSHAKE = b"\x16"
_CLIENT_HELLO = b"\1"
_SERVER_NAME = 0
_ALPN = 16


class NotAHello(ValueError):
    """These bytes do not begin a TLS connection."""


@attrs.frozen
class ClientHello:
    """`name`: lower case, without a final dot; "" = none. `protocols`: as they are offered by ALPN (RFC 7301)."""

    name: str
    protocols: tuple[bytes, ...]


class _Bytes:
    """Takes pieces off the front. Raises `NotAHello` where there are not enough."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next so many bytes."""
        end = self._at + count
        if end > len(self._data):
            raise NotAHello("a length in it leads beyond its end")
        found = self._data[self._at : end]
        self._at = end
        return found

    def counted(self, size: int) -> bytes:
        """What is behind a length of `size` bytes."""
        return self.take(int.from_bytes(self.take(size)))

    @property
    def left(self) -> bool:
        """There is more."""
        return self._at < len(self._data)


def read_hello(data: bytes) -> ClientHello | None:
    """The hello that `data`, the first bytes of a connection, holds; None: it is not there as a whole yet.

    Raises `NotAHello`.
    """
    body = _message(data)
    if body is None:
        return None
    rest = _Bytes(body)
    rest.take(34)  # version and random
    rest.counted(1)  # session
    rest.counted(2)  # cipher suites
    rest.counted(1)  # compression
    extensions = _Bytes(rest.counted(2) if rest.left else b"")
    name = ""
    protocols: tuple[bytes, ...] = ()
    while extensions.left:
        kind, value = int.from_bytes(extensions.take(2)), extensions.counted(2)
        if kind == _SERVER_NAME:
            name = _name(value)
        elif kind == _ALPN:
            protocols = _protocols(value)
    return ClientHello(name, protocols)


def _message(data: bytes) -> bytes | None:
    """The handshake message in the records of `data`, without its header; None: there is more to come."""
    message = b""
    at = 0
    while True:
        if message[:1] not in (b"", _CLIENT_HELLO):
            raise NotAHello("another message comes first")
        if len(message) >= 4:
            end = 4 + int.from_bytes(message[1:4])
            if end > LARGEST_HELLO:
                raise NotAHello("it is too long")
            if len(message) >= end:
                return message[4:end]
        head = data[at : at + 5]
        if head[:1] not in (b"", _HANDSHAKE):
            raise NotAHello("no handshake record of TLS")
        if len(head) < 5:
            return None
        length = int.from_bytes(head[3:])
        if not 0 < length <= LARGEST_RECORD:
            raise NotAHello("no length of a record")  # RFC 8446 section 5.1
        at += 5 + length
        if len(data) < at:
            return None
        message += data[at - length : at]


def _name(value: bytes) -> str:
    """The first host name of the extension (RFC 6066 section 3)."""
    names = _Bytes(_Bytes(value).counted(2))
    while names.left:
        kind, name = names.take(1), names.counted(2)
        if kind == b"\0":
            return name.decode("latin-1").lower().removesuffix(".")
    return ""


def _protocols(value: bytes) -> tuple[bytes, ...]:
    offered = _Bytes(_Bytes(value).counted(2))
    found = []
    while offered.left:
        found.append(offered.counted(1))
    return tuple(found)

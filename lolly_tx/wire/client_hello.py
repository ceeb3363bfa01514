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

_LONGEST_NAME = 255
"""Octets: more are no name in the DNS (RFC 1035 section 2.3.4)."""

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


class HelloReader:
    """Reads a hello while it comes. A record is looked at once, however tiny the pieces and the records are."""

    __slots__ = ("_at", "_message")

    def __init__(self) -> None:
        self._at = 0
        self._message = bytearray()

    def read(self, data: bytes) -> ClientHello | None:
        """The hello that `data`, all that has come of a connection, begins with; None: it is not there as a whole yet.

        Raises `NotAHello`.
        """
        message = self._message
        while True:
            if message[:1] not in (b"", _CLIENT_HELLO):
                raise NotAHello("another message comes first")
            if len(message) >= 4:
                end = 4 + int.from_bytes(message[1:4])
                if end > LARGEST_HELLO:
                    raise NotAHello("it is too long")
                if len(message) >= end:
                    return _hello(bytes(message[4:end]))
            head = data[self._at : self._at + 5]
            if head[:1] not in (b"", _HANDSHAKE):
                raise NotAHello("no handshake record of TLS")
            if len(head) < 5:
                return None
            length = int.from_bytes(head[3:])
            if not 0 < length <= LARGEST_RECORD:
                raise NotAHello("no length of a record")  # RFC 8446 section 5.1
            behind = self._at + 5 + length
            if len(data) < behind:
                return None
            message += data[behind - length : behind]
            self._at = behind


def read_hello(data: bytes) -> ClientHello | None:
    """The same of bytes that are looked at once. Raises `NotAHello`."""
    return HelloReader().read(data)


def _hello(body: bytes) -> ClientHello:
    rest = _Bytes(body)
    rest.take(34)  # version and random
    rest.counted(1)  # session
    rest.counted(2)  # cipher suites
    rest.counted(1)  # compression
    extensions = _Bytes(rest.counted(2) if rest.left else b"")
    name: str | None = None
    protocols: tuple[bytes, ...] = ()
    while extensions.left:
        kind, value = int.from_bytes(extensions.take(2)), extensions.counted(2)
        if kind == _SERVER_NAME:
            if name is not None:
                raise NotAHello("it has two names")  # RFC 8446 section 4.2
            name = _name(value)
        elif kind == _ALPN:
            protocols = _protocols(value)
    return ClientHello(name or "", protocols)


def _name(value: bytes) -> str:
    """The host name of the extension (RFC 6066 section 3): one at most, and all of it can be printed."""
    names = _Bytes(_Bytes(value).counted(2))
    found: bytes | None = None
    while names.left:
        kind, name = names.take(1), names.counted(2)
        if kind == b"\0":
            if found is not None:
                raise NotAHello("it has two names")
            found = name
    if found is None:
        return ""
    if len(found) > _LONGEST_NAME or not _printable(found):
        raise NotAHello("its name is none of a host")
    return found.decode("ascii").lower().removesuffix(".")


def _printable(name: bytes) -> bool:
    """ASCII, without controls and blanks."""
    return all(0x21 <= byte <= 0x7E for byte in name)


def _protocols(value: bytes) -> tuple[bytes, ...]:
    offered = _Bytes(_Bytes(value).counted(2))
    found = []
    while offered.left:
        found.append(offered.counted(1))
    return tuple(found)

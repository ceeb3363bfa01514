"""What a PROXY protocol header of version 2 says beside the addresses: type, length, value.

Imports: nothing of ours. Used by: net, net.sockets, wire.proxyline.
"""

from __future__ import annotations

import struct

import attrs

ALPN = 0x01
AUTHORITY = 0x02
CHECKSUM = 0x03
TLS = 0x20

_TLS_VERSION = 0x21
_TLS_NAME = 0x22
_CLIENT_TLS = 0x01
_CLIENT_CERTIFICATE = 0x02 | 0x04  # on this connection, and in this session


class BadProxyLine(ValueError):
    """No PROXY header, or none that may be believed. `code`: the reason in one word, for counters."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@attrs.frozen
class Encrypted:
    """How a client's connection to who sends the header is encrypted.

    `version`: such as "TLSv1.3", "" = not said. `certificate`: the client has shown one. `verified`: it was
    verified. `name`: its common name.
    """

    version: str = ""
    certificate: bool = False
    verified: bool = False
    name: str = ""

    @classmethod
    def read(cls, value: bytes) -> Encrypted | None:
        """What the TLV says; None: that the connection is not encrypted. Raises `BadProxyLine`."""
        if len(value) < 5:
            raise BadProxyLine("malformed", "version 2: too short to speak of TLS")
        flags, verify = struct.unpack_from("!BI", value)
        inner = split_tlvs(value[5:])
        if not flags & _CLIENT_TLS:
            return None
        certificate = bool(flags & _CLIENT_CERTIFICATE)
        return cls(
            inner.get(_TLS_VERSION, b"").decode("ascii", "replace"),
            certificate,
            certificate and not verify,
            inner.get(_TLS_NAME, b"").decode("utf-8", "replace"),
        )

    def render(self) -> bytes:
        """The value of the TLV."""
        flags = _CLIENT_TLS | (_CLIENT_CERTIFICATE if self.certificate else 0)
        value = struct.pack("!BI", flags, 0 if self.verified else 1)
        if self.version:
            value += render_tlv(_TLS_VERSION, self.version.encode("ascii"))
        if self.name:
            value += render_tlv(_TLS_NAME, self.name.encode("utf-8"))
        return value


def render_tlv(kind: int, value: bytes) -> bytes:
    """One of them. `value`: up to 65535 bytes."""
    return struct.pack("!BH", kind, len(value)) + value


def split_tlvs(data: bytes) -> dict[int, bytes]:
    """The values by type, also of types nobody knows; the first of several. Raises `BadProxyLine`."""
    found: dict[int, bytes] = {}
    for kind, start, end in _places(data):
        found.setdefault(kind, data[start:end])
    return found


def _places(data: bytes) -> list[tuple[int, int, int]]:
    places, at = [], 0
    while at < len(data):
        if at + 3 > len(data):
            raise BadProxyLine("malformed", "version 2: a TLV is cut short")
        kind, length = struct.unpack_from("!BH", data, at)
        start, at = at + 3, at + 3 + length
        if at > len(data):
            raise BadProxyLine("malformed", "version 2: a TLV is longer than the rest")
        places.append((kind, start, at))
    return places


def verify_checksum(header: bytes, behind: int) -> None:
    """Compare the checksum in `header`, whose TLVs begin at `behind`, with its own. Raises `BadProxyLine`."""
    for kind, start, end in _places(header[behind:]):
        if kind == CHECKSUM:
            at, to = behind + start, behind + end
            blank = header[:at] + bytes(to - at) + header[to:]
            if header[at:to] != crc32c(blank).to_bytes(4, "big"):
                raise BadProxyLine("checksum", "version 2: its checksum is wrong")
            return


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data` (RFC 4960 appendix B), which `zlib` does not have."""
    crc, table = 0xFFFFFFFF, _CRC
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF

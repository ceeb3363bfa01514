"""PROXY protocol headers, versions 1 and 2: who the client is, said ahead of everything else.

    read_proxy_line(data)      what has come so far: None while it is a part of a header, then (line, its length)
    render_v1, render_v2       a line as bytes

Version 1 is a line of text, version 2 is binary and may carry more (TLVs). The published text of the protocol is
HAProxy's doc/proxy-protocol.txt; the section numbers are its own.

Imports: wire. Used by: net, net.sockets, service.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType

import attrs

from lolly_tx.wire.tlvs import (
    ALPN,
    AUTHORITY,
    CHECKSUM,
    TLS,
    BadProxyLine,
    Encrypted,
    render_tlv,
    split_tlvs,
    verify_checksum,
)

V1_MOST = 107
"""Bytes of a version 1 line at most, its CR LF included (section 2.1)."""
V2_MOST = 536
"""Bytes of a version 2 header that we take: as much as fits the smallest segment (section 2.2)."""

V1_START = b"PROXY "
V2_START = b"\r\n\r\n\x00\r\nQUIT\n"

UNIX_CLIENT = "unix:"
"""The `source` of a client that came by a UNIX socket."""

_LINE = re.compile(rb"PROXY (TCP4|TCP6) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})")
_ADDRESS_BYTES = {0: 0, 1: 12, 2: 36, 3: 216}


@attrs.frozen
class ProxyLine:
    """What a header says.

    `source`, `destination`: the client's address and the one it connected to, as text; "" = nothing is said, and
    those of the connection count: it is the sender's own (a check), or of a kind we do not know. The ports are 0 where
    there are none. `authority`: the name the client asked for (SNI). `alpn`: what was agreed on. `tls`: how the
    client's connection is encrypted; None: it is not, or nobody said so.
    """

    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0
    authority: bytes = b""
    alpn: bytes = b""
    tls: Encrypted | None = None


NOBODY = ProxyLine()
"""A connection of the sender's own."""


def begins_one(data: bytes) -> bool | None:
    """Whether `data`, what has come first, begins a header; None: there is too little to tell."""
    for start in (V1_START, V2_START):
        if data.startswith(start):
            return True
        if start.startswith(data):
            return None
    return False


def read_proxy_line(data: bytes) -> tuple[ProxyLine, int] | None:
    """The header that `data` begins with, and how many bytes of `data` it has.

    None: it is not complete, and all of `data` belongs to it. Raises `BadProxyLine` as soon as it cannot become one.
    """
    begun = begins_one(data)
    if begun is False:
        raise BadProxyLine("missing", "no PROXY header")
    if begun is None:
        return None
    return _read_v1(data) if data.startswith(V1_START) else _read_v2(data)


def _read_v1(data: bytes) -> tuple[ProxyLine, int] | None:
    end = data.find(b"\n", 0, V1_MOST)
    if end < 0:
        if len(data) >= V1_MOST:
            raise BadProxyLine("too_long", f"version 1: over {V1_MOST} bytes")
        return None
    line = data[:end]
    if not line.endswith(b"\r") or b"\r" in line[:-1]:
        raise BadProxyLine("malformed", "version 1: does not end with CR LF")
    line = line[:-1]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return NOBODY, end + 1
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadProxyLine("malformed", "version 1: no such line")
    family, source, destination, *ports = match.groups()
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    try:
        # IPv6Address takes zones, which have no meaning on another machine.
        if b"%" in line:
            raise ValueError
        addresses = [kind(each.decode("ascii")) for each in (source, destination)]
    except ValueError:
        raise BadProxyLine("malformed", "version 1: not such an address") from None
    numbers = [int(port) for port in ports]
    if max(numbers) > 65535:
        raise BadProxyLine("malformed", "version 1: no such port")
    made = ProxyLine(_text(addresses[0]), numbers[0], _text(addresses[1]), numbers[1])
    return made, end + 1


def _read_v2(data: bytes) -> tuple[ProxyLine, int] | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (0x20, 0x21):
        raise BadProxyLine("malformed", f"version 2: no command 0x{command:02x}")
    end = 16 + length
    if end > V2_MOST:
        raise BadProxyLine("too_long", f"version 2: over {V2_MOST} bytes")
    if len(data) < end:
        return None
    if command == 0x20:
        return NOBODY, end  # and whatever it holds is of no matter (section 2.2)
    kind, transport = family >> 4, family & 15
    if kind not in _ADDRESS_BYTES or transport > 2:
        raise BadProxyLine("malformed", f"version 2: no family 0x{family:02x}")
    behind = 16 + _ADDRESS_BYTES[kind]
    if behind > end:
        raise BadProxyLine("malformed", "version 2: too short for its addresses")
    tlvs = split_tlvs(data[behind:end])
    if CHECKSUM in tlvs:
        verify_checksum(data[:end], behind)
    if not kind or not transport:
        return NOBODY, end
    return attrs.evolve(
        _addresses(data, kind),
        authority=tlvs.get(AUTHORITY, b""),
        alpn=tlvs.get(ALPN, b""),
        tls=Encrypted.read(tlvs[TLS]) if TLS in tlvs else None,
    ), end


def _addresses(data: bytes, kind: int) -> ProxyLine:
    if kind == 3:
        return ProxyLine(UNIX_CLIENT, 0, UNIX_CLIENT, 0)
    size = 4 if kind == 1 else 16
    address = IPv4Address if kind == 1 else IPv6Address
    source = address(data[16 : 16 + size])
    destination = address(data[16 + size : 16 + 2 * size])
    ports = struct.unpack_from("!HH", data, 16 + 2 * size)
    return ProxyLine(_text(source), ports[0], _text(destination), ports[1])


def _text(address: IPv4Address | IPv6Address) -> str:
    """An address in its one spelling: an IPv4 client of an IPv6 socket is an IPv4 client."""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _family(
    line: ProxyLine,
) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address] | None:
    """Both addresses, of one family; None where they cannot be said."""
    try:
        source, destination = ip_address(line.source), ip_address(line.destination)
    except ValueError:
        return None
    if source.version == destination.version:
        return source, destination
    return _as_v6(source), _as_v6(destination)


def _as_v6(address: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)


def render_v1(line: ProxyLine) -> bytes:
    """A version 1 line; UNKNOWN where there are no addresses both of which can be said."""
    both = _family(line)
    if both is None:
        return b"PROXY UNKNOWN\r\n"
    family = "TCP4" if both[0].version == 4 else "TCP6"
    return (
        f"PROXY {family} {both[0]} {both[1]} {line.source_port}"
        f" {line.destination_port}\r\n"
    ).encode("ascii")


def render_v2(line: ProxyLine) -> bytes:
    """A version 2 header; LOCAL where nothing is said.

    What would not fit `V2_MOST` bytes is left out, the largest first: receivers may take no more.
    """
    if not line.source:
        return V2_START + struct.pack("!BBH", 0x20, 0, 0)
    both = _family(line)
    if both is None:
        family, addresses = 0, b""  # the client is there, its address is not
    else:
        family = 0x11 if both[0].version == 4 else 0x21
        addresses = b"%b%b%b" % (
            both[0].packed,
            both[1].packed,
            struct.pack("!HH", line.source_port, line.destination_port),
        )
    tlvs = [render_tlv(ALPN, line.alpn)] if line.alpn else []
    if line.authority:
        tlvs.append(render_tlv(AUTHORITY, line.authority))
    if line.tls is not None:
        tlvs.append(render_tlv(TLS, line.tls.render()))
    while tlvs and 16 + len(addresses) + sum(map(len, tlvs)) > V2_MOST:
        tlvs.remove(max(tlvs, key=len))
    body = addresses + b"".join(tlvs)
    return V2_START + struct.pack("!BBH", 0x21, family, len(body)) + body


def for_datagrams(header: bytes) -> bytes:
    """A version 2 header whose client sends datagrams (section 2.2: DGRAM in place of STREAM)."""
    family = header[13]
    kind = (family & 0xF0) | 2 if family else 0
    return header[:13] + bytes((kind,)) + header[14:]


RENDERERS: Mapping[str, Callable[[ProxyLine], bytes]] = MappingProxyType(
    {"v1": render_v1, "v2": render_v2}
)
"""By the name of the version."""

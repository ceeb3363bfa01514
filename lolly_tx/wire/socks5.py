"""SOCKS5, both sides (RFC 1928, and RFC 1929 for user and password): bytes to values, and back.

    greeting  05 n methods          read_methods     method   05 method, or 05 FF
    login     01 n user n password  read_login                01 00, or 01 01
    request   05 cmd 00 address     read_request     reply    05 code 00 address     read_reply
    datagram  00 00 00 address data read_datagram    both ways

Each reader takes what has come so far: None while it is not whole, else the value and how many bytes it was. A length
says how much is read, and nothing behind it is touched: it may be the tunnel's. What breaks the rules is
`BadMessage`, as soon as it can be seen.

Imports: domain.routing, wire. Used by: net.forward, wire.asking.
"""

from __future__ import annotations

from collections.abc import Container
from ipaddress import IPv4Address, IPv6Address, ip_address

from lolly_tx.domain.routing.hosts import BadHost, host_name
from lolly_tx.wire.errors import BadMessage

VERSION = 5
NO_LOGIN, LOGIN, NONE_OF_THEM = 0, 2, 0xFF
CONNECT, ASSOCIATE = 1, 3
OK, FAILED, NOT_ALLOWED, NET_UNREACHABLE, HOST_UNREACHABLE, REFUSED = range(6)
EXPIRED, NO_SUCH_COMMAND, NO_SUCH_ADDRESS = 6, 7, 8
GRANTED, DENIED = b"\x01\x00", b"\x01\x01"
"""Answers to a login; after the second one the connection is closed."""

_IPV4, _NAME, _IPV6 = 1, 3, 4


class NotServed(BadMessage):
    """A request that is well-formed, or nearly. `code`: of the reply."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


def read_methods(data: bytes) -> tuple[bytes, int] | None:
    """The methods that a client offers, an octet each; there may be none."""
    if data and data[0] != VERSION:
        raise BadMessage("not SOCKS5")
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    end = 2 + data[1]
    return data[2:end], end


def method(chosen: int) -> bytes:
    """The answer to that."""
    return bytes((VERSION, chosen))


def read_login(data: bytes) -> tuple[bytes, bytes, int] | None:
    """User and password, in no encoding in particular; both have an octet at least."""
    if data and data[0] != 1:
        raise BadMessage("not a login of version 1")
    if len(data) < 2:
        return None
    if not data[1]:
        raise BadMessage("login without a user")
    at = 2 + data[1]
    if len(data) <= at:
        return None
    if not data[at]:
        raise BadMessage("login without a password")
    end = at + 1 + data[at]
    if len(data) < end:
        return None
    return data[2:at], data[at + 1 : end], end


def read_request(
    data: bytes, commands: Container[int] = (CONNECT,)
) -> tuple[int, str, int, int] | None:
    """The command, one of `commands`, and where to: host (lower case, IPv6 in brackets) and port.

    Raises `NotServed` for other commands and addresses.
    """
    if data and data[0] != VERSION:
        raise BadMessage("not SOCKS5")
    if len(data) >= 3 and data[2]:
        raise BadMessage("reserved octet is not 0")
    if len(data) < 5:
        return None
    end = _end_of_address(data)
    if len(data) < end:
        return None
    if data[1] not in commands:
        raise NotServed("no such command", NO_SUCH_COMMAND)
    return data[1], *_place(data, end), end


def _end_of_address(data: bytes) -> int:
    """Where address and port end that begin at the fourth byte; five are there. Raises `NotServed`."""
    kind = data[3]
    if kind == _NAME:
        return 5 + data[4] + 2
    if kind not in (_IPV4, _IPV6):
        raise NotServed("no such type of address", NO_SUCH_ADDRESS)
    return 4 + (4 if kind == _IPV4 else 16) + 2


def _place(data: bytes, end: int) -> tuple[str, int]:
    """Host and port of the address that ends there."""
    kind = data[3]
    host = _host(kind, data[5 if kind == _NAME else 4 : end - 2])
    return host, int.from_bytes(data[end - 2 : end], "big")


def _host(kind: int, raw: bytes) -> str:
    if kind == _IPV4:
        return str(IPv4Address(raw))
    if kind == _IPV6:
        return host_name(b"[%b]" % str(IPv6Address(raw)).encode())
    if raw.count(b":") == 1:  # the port has a place of its own, and two could be two
        raise NotServed("no name of a host", FAILED)
    try:
        # Clients write addresses of IPv6 as names, too, without brackets.
        return host_name(b"[%b]" % raw if raw.count(b":") > 1 else raw)
    except BadHost:
        raise NotServed("no name of a host", FAILED) from None


def read_datagram(data: bytes) -> tuple[str, int, int]:
    """Where a datagram of a client is to go, and where in it its payload begins.

    Raises `BadMessage` for fragments as well: nobody sends any.
    """
    if len(data) < 5 or data[:3] != b"\0\0\0":
        raise BadMessage("no datagram, or a fragment of one")
    end = _end_of_address(data)
    if len(data) < end:
        raise BadMessage("datagram cut short")
    return *_place(data, end), end


def datagram(host: str, port: int) -> bytes:
    """What goes in front of one for a client. `host`: the address of who sends it."""
    return b"\0\0\0" + _address(host, port)


def reply(code: int, host: str = "0.0.0.0", port: int = 0) -> bytes:
    """The answer to a request. `host`, `port`: where the connection comes from that was made."""
    try:
        ip_address(host)
    except ValueError:
        host = "0.0.0.0"
    return bytes((VERSION, code, 0)) + _address(host, port)


def _address(host: str, port: int) -> bytes:
    """As it stands in requests, replies and datagrams. `host`: without brackets."""
    try:
        address = ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return bytes((_NAME, len(name))) + name + port.to_bytes(2, "big")
    kind = _IPV4 if address.version == 4 else _IPV6
    return bytes((kind,)) + address.packed + port.to_bytes(2, "big")


# -- the client's side


def greeting(with_login: bool, private: bytes = b"") -> bytes:
    """The methods that we can do. `private`: more of them, at most 253, that are meant for who knows them."""
    methods = bytes((NO_LOGIN, LOGIN) if with_login else (NO_LOGIN,)) + private
    return bytes((VERSION, len(methods))) + methods


def login(user: bytes, password: bytes) -> bytes:
    """Who we are; each has 1 to 255 bytes."""
    return b"\x01%c%b%c%b" % (len(user), user, len(password), password)


def request(host: str, port: int) -> bytes:
    """Connect us to that. `host`: without brackets; a name is left to the proxy to look up."""
    return bytes((VERSION, CONNECT, 0)) + _address(host, port)


def read_reply(data: bytes) -> tuple[int, int] | None:
    """The code of an answer, and its length. One that says no is known by its first two bytes."""
    if data and data[0] != VERSION:
        raise BadMessage("not SOCKS5")
    if len(data) < 2:
        return None
    if data[1] != OK:
        return data[1], len(data)
    if len(data) < 5:
        return None
    if data[2]:
        raise BadMessage("reserved octet is not 0")
    end = _end_of_address(data)
    return None if len(data) < end else (OK, end)

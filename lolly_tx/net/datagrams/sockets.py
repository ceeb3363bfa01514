"""UDP sockets: made, bound, and asked for the address that a datagram was sent to.

A socket that is bound to every address of a machine would answer from the one the route goes out by, which need not be
the one that was asked. So it asks the kernel for that of each datagram, and says it with each answer (`IP_PKTINFO`,
ip(7) and ipv6(7)).

Imports: Twisted. Used by: net.datagrams.acceptor, net.datagrams.endpoint,
net.datagrams.port, net.datagrams.session, net.forward, proxy.streams.
"""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address

LONGEST = 65536
"""Bytes of a buffer that takes any datagram: IPv4 carries 65,507 at most, IPv6 65,527."""

QUEUE_BYTES = 4 << 20
"""Asked for as the receive buffer; `rmem_max` is the most. The kernel's default holds three of the longest."""

EVERYWHERE = ("0.0.0.0", "::")

IP_PKTINFO = 8
"""ip(7); the module `socket` of Python 3.11 does not know it."""

Ancillary = list[tuple[int, int, bytes]]

_V4 = struct.Struct("@I4s4s")
_V6 = struct.Struct("@16sI")

ANCILLARY_BYTES = socket.CMSG_SPACE(_V6.size)

_DROPPED = {
    errno.EAGAIN: "no room in the socket",
    errno.ENOBUFS: "no socket buffer left",
    errno.ENOMEM: "no memory left",
    errno.EMSGSIZE: "too long",
    errno.EPERM: "forbidden by this machine",
    errno.EACCES: "forbidden by this machine",
}

UNREACHED = frozenset(
    (
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EPROTO,
        errno.ENOPROTOOPT,
    )
)
"""What ICMP says of a target that does not get the datagrams (udp(7), ICMP errors of `net/ipv4/icmp.c`)."""


def bound(interface: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket at an address of this machine. `shared`: others of this user may have it as well. Raises OSError."""
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((interface, port))
    except OSError:
        made.close()
        raise
    prepared(made)
    return made


def prepared(listening: socket.socket) -> None:
    """Have a bound socket hold enough, and tell where datagrams were sent to if that is not known."""
    enlarge(listening)
    if is_everywhere(listening):
        if listening.family == socket.AF_INET6:
            level, name = socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO
        else:
            level, name = socket.IPPROTO_IP, IP_PKTINFO
        listening.setsockopt(level, name, 1)


def enlarge(made: socket.socket) -> None:
    """Have it hold more datagrams that nobody has read yet."""
    with suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)


def connected(address: str, port: int) -> socket.socket:
    """A socket that hears and reaches only that address. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        enlarge(made)
        made.connect((address, port))
    except OSError:
        made.close()
        raise
    return made


def is_everywhere(listening: socket.socket) -> bool:
    """Whether it is bound to every address of this machine."""
    return listening.getsockname()[0] in EVERYWHERE


def asked_at(ancillary: Ancillary) -> bytes:
    """The address of ours that a datagram was sent to, with the interface where the address needs it; b"": unknown."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            return data[4:8]  # ipi_spec_dst: also right for what was broadcast
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            # A link-local address says nothing without its interface.
            return data if data[:2] == b"\xfe\x80" else data[:16]
    return b""


def answering_from(address: bytes) -> Ancillary:
    """What `sendmsg` is told, to answer from such an address."""
    if not address:
        return []
    if len(address) == 4:
        said = _V4.pack(0, address, bytes(4))
        return [(socket.IPPROTO_IP, IP_PKTINFO, said)]
    said = address if len(address) == _V6.size else _V6.pack(address, 0)
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, said)]


def text_of(address: bytes) -> str:
    """Such an address in letters; "" for none."""
    if not address:
        return ""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, address[:16])


def why_dropped(error: OSError) -> str:
    """In a few words, why a datagram was not sent."""
    return _DROPPED.get(error.errno or 0, "not sent")


def host_of(listening: socket.socket) -> Any:
    """The address of a socket as Twisted has it."""
    name = listening.getsockname()
    if listening.family == socket.AF_INET6:
        return IPv6Address("UDP", *name)
    return IPv4Address("UDP", *name)

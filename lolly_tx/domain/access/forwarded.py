"""Who the client is, and what the backend is told about it.

A peer that is no trusted proxy is the client, and what it says of itself is replaced. What a
trusted one says is read as RFC 7239, nginx, Envoy and Azure write it, believed from the peer to
the left as long as hops are trusted, and continued:

    received     X-Forwarded-* or Forwarded, whichever there is of them (the first, if they differ)
    facts        the chain of addresses, the protocol and the host of the client's own request
    sent         the same facts in each of the two forms, and X-Real-IP

An address has one spelling everywhere, in fields, logs and keys: IPv4 for an IPv4 address that
came mapped into IPv6, IPv6 compressed and in lower case, never a port; "unix:" for the peer of
a UNIX socket.

Imports: domain.routing. Used by: config, config.kinds, config.middleware,
domain.access.destinations, net.datagrams, net.forward, net.sockets, net.tunnels, proxy,
proxy.forwards, proxy.middleware, service, service.changes, service.tunnels,
service.workers, simulate.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

from lolly_tx.domain.routing.hosts import BadHost, host_name

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Received = Sequence[tuple[bytes, bytes]]
"""Forwarding fields of a request: (lower-case name, value), in order."""
Elements = list[dict[bytes, bytes]]
Valid = Callable[[bytes], object]

UNIX = "unix:"
"""The peer of a UNIX socket, which has no address."""
_UNIX_NODE = "_unix"  # the same as a node identifier of RFC 7239

X_FORWARDED, FORWARDED, X_REAL_IP = "x-forwarded", "forwarded", "x-real-ip"
SENT = (X_FORWARDED, FORWARDED)
"""The forms that are sent when nobody chooses others."""

MAX_HOPS = 64
"""Addresses of a chain that are looked at and passed on: the last ones. No honest one is longer."""
_MOST_PARTS = 4 * MAX_HOPS  # commas and semicolons, for some stand beside nothing

_TOKEN = re.compile(rb"[A-Za-z0-9._-]+")
_HIDDEN = re.compile(r"_[A-Za-z0-9._-]+")
_SCHEME = re.compile(rb"[a-z][a-z0-9+.-]*")
_PORT = r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
_NODE = re.compile(rf"\[([0-9A-Fa-f:.]+)\]{_PORT}|([0-9.]+){_PORT}|([0-9A-Fa-f:.]+)")
# One pair of Forwarded, with what ends it (RFC 7239 section 4).
_PAIR = re.compile(
    rb"""[\t ]*+(?:([!#$%&'*+.^_`|~0-9A-Za-z-]++)=(?:"((?:[^"\\]|\\.)*+)"|([^\t ",;]*+)))?+"""
    rb"[\t ]*+([,;]|\Z)"
)
_ESCAPE = re.compile(rb"\\(.)")

# Those we write ourselves; every other one of a trusted peer passes as it came.
_OURS = frozenset(
    (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded")
)


def canonical(text: str) -> str:
    """The one spelling of an address; "" for what is none.

    With or without port, brackets and quotes. A zone ("fe80::1%eth0") means nothing here and
    may be any text, so with one it is no address.
    """
    text = text.strip("\t ")
    if text.startswith('"') and text.endswith('"'):
        text = text[1:-1]
    if text in (UNIX, _UNIX_NODE):
        return UNIX
    match = _NODE.fullmatch(text)
    if match is None:
        return ""
    try:
        address = ipaddress.ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


class TrustedPeers:
    """The proxies in front of us: networks, and "unix" for who connects by a UNIX socket.

    Verdicts on addresses are remembered.
    """

    def __init__(self, networks: Sequence[Network | str]) -> None:
        self._networks = tuple(n for n in networks if not isinstance(n, str))
        self._any = bool(networks)
        self._known: dict[str, bool] = {}
        self._local = "unix" in networks

    def __contains__(self, address: str) -> bool:
        if not self._any:
            return False
        known = self._known.get(address)
        if known is None:
            if address == UNIX:
                return self._local
            try:
                parsed = ipaddress.ip_address(address)
            except ValueError:
                return False
            mapped = getattr(parsed, "ipv4_mapped", None)
            parsed = mapped or parsed
            known = any(
                parsed in n for n in self._networks if n.version == parsed.version
            )
            if len(self._known) >= 4096:
                self._known.clear()
            self._known[address] = known
        return known


def original_client(peer: str, received: Received, trusted: TrustedPeers) -> str:
    """The address of the client, believing what trusted hops say of each other.

    X-Forwarded-For counts; Forwarded does where there is none.
    """
    if peer not in trusted:
        return peer
    client = peer
    for hop in reversed(_hops(received, None)):
        address = canonical(hop)
        if not address:
            break  # a malformed entry ends what can be believed
        client = address
        if address not in trusted:
            break
    return client


def forwarding_lines(
    peer: str,
    secure: bool,
    host: bytes,
    received: Received = (),
    trusted: bool = False,
    *,
    client: str = "",
    sent: Sequence[str] = SENT,
) -> bytes:
    """The field lines to send upstream, each with its CRLF.

    `received`: the forwarding fields of the request; they are looked at only if the peer is
    `trusted`. `client`: what `original_client` says, for X-Real-IP. `sent`: the forms chosen.
    """
    proto = b"https" if secure else b"http"
    chain = []
    passed = []
    forwarded = []
    if trusted and received:
        elements = _elements(received)
        chain = [_written(hop) for hop in _hops(received, elements)]
        proto = (
            _proto(received) or _first(elements, b"proto", _SCHEME.fullmatch) or proto
        )
        host = (
            _of_client(received, b"x-forwarded-host", _is_host)
            or _first(elements, b"host", _is_host)
            or host
        )
        if _agree(elements, chain, proto, host):
            forwarded = [value for name, value in received if name == b"forwarded"]
        passed = [
            (name, value)
            for name, value in received
            if name == b"x-real-ip" or (name not in _OURS and X_FORWARDED in sent)
        ]
    chain.append(peer or "unknown")
    lines = b""
    if X_FORWARDED in sent:
        lines += b"X-Forwarded-For: %b\r\n" % ", ".join(chain).encode(
            "ascii", "replace"
        )
        lines += b"X-Forwarded-Proto: %b\r\n" % proto
        if host:
            lines += b"X-Forwarded-Host: %b\r\n" % host
    if FORWARDED in sent:
        if forwarded:
            forwarded.append(b"for=" + _node(chain[-1]))
        else:
            forwarded = [b"for=" + _node(hop) for hop in chain]
            forwarded[0] += b";proto=" + proto
            if host:
                forwarded[0] += b";host=" + _quoted(host)
        lines += b"Forwarded: %b\r\n" % b", ".join(forwarded)
    if X_REAL_IP in sent and not any(name == b"x-real-ip" for name, _ in passed):
        address = client or peer or "unknown"
        lines += b"X-Real-IP: %b\r\n" % address.encode("ascii", "replace")
    for name, value in passed:
        lines += b"%b: %b\r\n" % (name.title().replace(b"-Ip", b"-IP"), value)
    return lines


# -- what a trusted peer says


def _hops(received: Received, elements: Elements | None) -> list[str]:
    """The addresses as they were written, the last `MAX_HOPS`; empty ones do not count.

    `elements`: of Forwarded, if they have been read already.
    """
    joined = b",".join([v for n, v in received if n == b"x-forwarded-for"])
    parts = [part.strip(b"\t ") for part in joined.rsplit(b",", _MOST_PARTS)]
    hops = [part for part in parts if part]
    if not hops:
        if elements is None:
            elements = _elements(received)
        hops = [element.get(b"for", b"unknown") for element in elements]
    return [hop.decode("latin-1") for hop in hops[-MAX_HOPS:]]


def _elements(received: Received) -> Elements:
    """The elements of Forwarded: values by lower-case name. None of a malformed field."""
    text = b",".join([v for n, v in received if n == b"forwarded"])
    elements: Elements = []
    if not text or text.count(b",") + text.count(b";") > _MOST_PARTS:
        return elements
    element: dict[bytes, bytes] = {}
    at = 0
    while True:
        match = _PAIR.match(text, at)
        if match is None:
            return []  # whose words the rest are cannot be told
        name, quoted, plain, end = match.groups()
        if name is not None:
            value = plain if quoted is None else _ESCAPE.sub(rb"\1", quoted)
            element.setdefault(name.lower(), value)
        if end != b";":
            if element:
                elements.append(element)
            element = {}
        if not end:
            return elements
        at = match.end()


def _agree(elements: Elements, chain: list[str], proto: bytes, host: bytes) -> bool:
    """Whether Forwarded says just this already, so that it can be continued as it came."""
    hops = [element.get(b"for", b"").decode("latin-1") for element in elements]
    return (
        bool(elements)
        and [_written(hop) for hop in hops] == chain
        and _first(elements, b"proto", bool) == proto
        and _first(elements, b"host", bool) == host
    )


def _first(elements: Elements, name: bytes, valid: Valid) -> bytes:
    """What the first element that has `name` says; b"" where that is not valid."""
    for element in elements:
        if name in element:
            value = element[name]
            return value if valid(value) else b""
    return b""


def _of_client(received: Received, name: bytes, valid: Valid) -> bytes:
    """The first value of a list: the one about the client's own request; b"" if not valid."""
    for key, value in received:
        if key == name:
            value = value.partition(b",")[0].strip(b"\t ")
            return value if valid(value) else b""
    return b""


def _proto(received: Received) -> bytes:
    said = _of_client(received, b"x-forwarded-proto", _SCHEME.fullmatch)
    ssl = _of_client(received, b"x-forwarded-ssl", bool)
    return said or (b"https" if ssl.lower() == b"on" else b"")


def _is_host(value: bytes) -> bool:
    try:
        return bool(host_name(value))
    except BadHost:
        return False


# -- writing


def _written(hop: str) -> str:
    """A hop in its one spelling; a name that hides an address (RFC 7239 section 6.3) as it is."""
    if hop != _UNIX_NODE and _HIDDEN.fullmatch(hop):
        return hop
    return canonical(hop) or "unknown"


def _node(hop: str) -> bytes:
    """A node identifier (RFC 7239 section 6): IPv6 in brackets and quotes."""
    if hop == UNIX:
        return _UNIX_NODE.encode()
    text = hop.encode("ascii", "replace")
    return b'"[%b]"' % text if b":" in text else text


def _quoted(host: bytes) -> bytes:
    """A host as token or quoted-string; it has been validated, so nothing needs a backslash."""
    return host if _TOKEN.fullmatch(host) else b'"%b"' % host

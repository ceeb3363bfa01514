"""Who the client is, and what the backend is told about it.

X-Forwarded-For, -Proto, -Host and Forwarded (RFC 7239) are replaced unless the peer is a
trusted proxy, whose values are continued. The client's own address is found by walking
from the peer to the left as long as hops are trusted (RELIABILITY S19, S20).

May import: ipaddress. Used by: proxy.proxy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN = re.compile(rb"[A-Za-z0-9._-]+")


class TrustedPeers:
    """The proxies in front of us. Verdicts on addresses are remembered."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        known = self._known.get(address)
        if known is None:
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


def original_client(
    peer: str, received: Sequence[tuple[bytes, bytes]], trusted: TrustedPeers
) -> str:
    """The address of the client, believing X-Forwarded-For as far as it was set by trusted hops."""
    if peer not in trusted:
        return peer
    hops = b",".join(v for n, v in received if n == b"x-forwarded-for").split(b",")
    client = peer
    for hop in reversed(hops):
        try:
            text = str(ipaddress.ip_address(hop.strip(b"\t ").decode("ascii")))
        except ValueError:
            break  # a malformed entry ends what can be believed
        if "%" in text:
            break  # so does a zone: it means nothing here and may be any text
        client = text
        if text not in trusted:
            break
    return client


def forwarding_lines(
    peer: str,
    secure: bool,
    host: bytes,
    received: Sequence[tuple[bytes, bytes]] = (),
    trusted: bool = False,
) -> bytes:
    """The field lines to send upstream, each with its CRLF.

    `received`: the forwarding fields of the request, (lower-case name, value); they are
    looked at only if the peer is `trusted`.
    """
    proto = b"https" if secure else b"http"
    address = peer.encode("ascii", "replace") or b"unknown"
    chain = address
    forwarded = b"for=%b;proto=%b" % (_node(peer), proto)
    if host:
        forwarded += b";host=" + _quoted(host)
    if trusted:
        values = {name: value for name, value in received}
        before = b", ".join(v for n, v in received if n == b"x-forwarded-for")
        chain = before + b", " + address if before else address
        proto = values.get(b"x-forwarded-proto", proto)
        host = values.get(b"x-forwarded-host", host)
        before = b", ".join(v for n, v in received if n == b"forwarded")
        if before:
            forwarded = before + b", " + forwarded
    lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (chain, proto)
    if host:
        lines += b"X-Forwarded-Host: %b\r\n" % host
    return lines + b"Forwarded: %b\r\n" % forwarded


def _node(peer: str) -> bytes:
    """A node identifier (RFC 7239 section 6): IPv6 in brackets and quotes."""
    if not peer:
        return b"unknown"
    return b'"[%b]"' % peer.encode() if ":" in peer else peer.encode("ascii", "replace")


def _quoted(host: bytes) -> bytes:
    """A host as token or quoted-string; it has been validated, so nothing needs a backslash."""
    return host if _TOKEN.fullmatch(host) else b'"%b"' % host

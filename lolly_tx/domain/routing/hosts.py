"""What a Host value and the host of an address may look like, in one place.

`uri-host [ ":" port ]` (RFC 9110 section 7.2), without the forms that only serve to confuse whoever reads it next:
percent-escapes, sub-delimiters, empty labels, zone identifiers.

Imports: domain. Used by: commands, config, config.kinds, config.middleware, domain,
domain.access, domain.caching, domain.routing.references, domain.routing.routes,
importing.lolly, importing.nginx, net.proxies, proxy, proxy.forwards, wire.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from lolly_tx.domain.errors import DownstreamError

_NAME = re.compile(rb"([A-Za-z0-9_~-]++(?:\.[A-Za-z0-9_~-]++)*+)\.?(?::([0-9]{0,5}))?")
REMEMBERED = 1024
"""Hosts whose names are known again: the same few come all the time."""
REMEMBERED_BYTES = 261
"""The longest of them: the longest name DNS has, and a port."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\.?")
_LITERAL = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?")


class BadHost(DownstreamError):
    """The Host value is no host (RFC 9110 section 7.2)."""


def host_name(value: bytes) -> str:
    """The name in a Host value: lower case, without port and final dot.

    An IPv6 address is in the form of RFC 5952, whatever form it came in. Raises `BadHost`.
    """
    return _known_name(value) if len(value) <= REMEMBERED_BYTES else _name_in(value)


def _name_in(value: bytes) -> str:
    match = _NAME.fullmatch(value) or _LITERAL.fullmatch(value)
    if match is None or (match[2] and int(match[2]) > 65535):
        raise BadHost("malformed Host")
    name = match[1].decode("ascii").lower()
    if name.startswith("["):
        try:
            address = IPv6Address(name[1:-1])
        except ValueError:
            raise BadHost("malformed Host") from None
        mapped = address.ipv4_mapped
        return f"[::ffff:{mapped}]" if mapped else f"[{address.compressed}]"
    return name


_known_name = lru_cache(REMEMBERED)(_name_in)


def valid_host(host: str) -> bool:
    """Whether `host` is a DNS name or an IP address, IPv6 with or without brackets."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare or bare != host or re.fullmatch(r"[0-9.]+", bare):
        try:
            ip_address(bare)
        except ValueError:
            return False
        return True
    return len(host) <= 253 and bool(_DNS_NAME.fullmatch(host.lower()))

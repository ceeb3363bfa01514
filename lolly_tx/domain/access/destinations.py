"""Where the clients of a forward proxy may go: ports, names, and what names resolve to.

    admit(host, port)            before a name is looked up: its port, its name, or the address that it is
    choose(addresses, ...)       after that: each address is looked at, and only those that are left are connected to

What is not allowed by name or network is refused where it is special: loopback, private, link-local, multicast and
what else the IANA registries of special-purpose addresses have (RFC 6890), IPv6 with an IPv4 address inside (mapped,
NAT64, 6to4, Teredo) included. The list is written out, because what `ipaddress` calls private or global differs from
one Python to the next. Listeners of our own are refused whatever is allowed: that would be a loop.

Imports: domain, domain.access. Used by: config, net.forward, proxy.forwards,
service.forwards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import ClassVar

import attrs

from lolly_tx.domain.access.forwarded import Network
from lolly_tx.domain.errors import DownstreamError

Address = IPv4Address | IPv6Address

_SPECIAL_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
"""All that is assigned for global unicast; the rest of IPv6 is special."""
_SPECIAL_6 = tuple(
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0:0/96"))
"""With an IPv4 address at their end."""
_REMEMBERED = 4096


class Denied(DownstreamError):
    """A client may not go there, whatever its proxy thinks of it. `why`: in one word."""

    source = "internal"
    token = "http_request_denied"
    why: ClassVar[str] = "name"

    def __init__(self, detail: str, status: int = 403) -> None:
        super().__init__(detail, status, nothing_sent=True)


class PortDenied(Denied):
    """The port is none of those that are allowed."""

    why = "port"


class AddressDenied(Denied):
    """The address is denied, or special and not allowed."""

    token = "destination_ip_prohibited"
    why = "address"


class LoopDenied(Denied):
    """A listener of our own is there."""

    token = "proxy_loop_detected"
    why = "loop"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, 508)


def unwrapped(address: Address) -> Address:
    """The address that a connect to it leads to: IPv4 where that is mapped into IPv6."""
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def inner(address: Address) -> IPv4Address | None:
    """The IPv4 address that a translator on the way would make of it; None: none would."""
    if isinstance(address, IPv4Address):
        return None
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    return None if address.teredo is None else address.teredo[1]


@lru_cache(_REMEMBERED)
def is_special(address: Address) -> bool:
    """Whether it is none that everybody can be reached at."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _SPECIAL_4)
    if address not in _GLOBAL_6:
        return True
    return any(address in network for network in _SPECIAL_6)


def name_matches(name: str, patterns: Collection[str]) -> bool:
    """Whether one of `patterns` is `name`, or "*." and what follows a dot of it."""
    if name in patterns:
        return True
    rest = name
    while rest:
        _, _, rest = rest.partition(".")
        if rest and f"*.{rest}" in patterns:
            return True
    return False


def literal(host: str) -> Address | None:
    """The address that `host` is, with or without brackets; None: it is a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


@attrs.frozen
class Places:
    """Networks and names of a rule."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    def has(self, address: Address) -> bool:
        """Whether `address` is in one of the networks."""
        return any(
            network.version == address.version and address in network
            for network in self.networks
        )


def places_of(entries: Collection[Network | str]) -> Places:
    """The rule that `entries` make."""
    return Places(
        tuple(one for one in entries if not isinstance(one, str)),
        frozenset(one for one in entries if isinstance(one, str)),
    )


class Destinations:
    """See the module. `ports`: None: any. `own(address, port)`: whether one of our own listeners is there."""

    def __init__(
        self,
        ports: frozenset[int] | None,
        allow: Places,
        deny: Places,
        own: Callable[[Address, int], bool],
    ) -> None:
        self.ports = ports
        self.allow = allow
        self.deny = deny
        self._own = own

    def admit(self, host: str, port: int) -> None:
        """Raise `Denied` for what no lookup of `host` (lower case, no final dot) could make right."""
        if not 1 <= port <= 65535 or (
            self.ports is not None and port not in self.ports
        ):
            raise PortDenied(f"port {port} is not allowed")
        address = literal(host)
        if address is None:
            if name_matches(host, self.deny.names):
                raise Denied(f"{host} is denied")
        else:
            self._look_at(address, port, False)

    def choose(self, host: str, addresses: Sequence[str], port: int) -> list[str]:
        """Those of `addresses`, to which `host` resolves, that may be connected to, in the form to connect to.

        Raises `Denied` where there is none.
        """
        named = literal(host) is None and name_matches(host, self.allow.names)
        chosen: list[str] = []
        why: Denied | None = None
        for text in addresses:
            address = literal(text)
            if address is None:  # with a zone
                why = AddressDenied(f"{host} has an address of one link only")
                continue
            try:
                self._look_at(address, port, named)
            except Denied as denied:
                why = denied
            else:
                chosen.append(str(unwrapped(address)))
        if why is not None and not chosen:
            raise why
        return chosen

    def _look_at(self, address: Address, port: int, named: bool) -> None:
        """Raise `Denied` unless `address` may be connected to. `named`: its name is allowed."""
        plain = unwrapped(address)
        if self.deny.has(plain) or self.deny.has(address):
            raise AddressDenied("the address is denied")
        if self._own(plain, port):
            raise LoopDenied("that is this proxy itself")
        if named:
            return
        known = self.allow.has(plain) or self.allow.has(address)
        if not known and is_special(plain):
            raise AddressDenied("the address is not a public one")
        within = inner(plain)
        if within is not None:
            self._look_at(within, port, False)

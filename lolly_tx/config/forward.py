"""The settings of forward proxies: who may use them, and where they may go.

Imports: config, config.kinds, config.middleware, domain.access. Used by: config.facts,
config.model, config.rules, service, service.changes, service.forwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import attrs

from lolly_tx.config.kinds.addresses import LISTEN
from lolly_tx.config.kinds.plain import FLAG, Choice, Count, Duration, quoted
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import NETWORKS, ListOf, Table
from lolly_tx.config.listening import ListenerTLS
from lolly_tx.config.middleware.basic_auth import (
    ABOUT_USERS,
    ABOUT_USERS_FILE,
    NOBODY,
    REALM,
)
from lolly_tx.config.parents import TARGET_PATTERNS, Parent, parent_facts, parent_rules
from lolly_tx.config.passive import PassiveRecord
from lolly_tx.config.retrying import PoolTimeout
from lolly_tx.domain.access.destinations import is_special
from lolly_tx.domain.access.forwarded import Network

ANY = "any"
HTTP, SOCKS5 = "http", "socks5"
_MAIL_PORTS = (25, 465, 587)


class _Port:
    """A port, or "any"."""

    word = "port"

    def read(self, raw: Any, place: Place) -> int | str:
        if isinstance(raw, str):
            if raw != ANY:
                raise Rejected(f'must be a port such as 443, or "{ANY}"')
            return ANY
        return Count(1, 65535).read(raw, place)

    def show(self, value: Any) -> str:
        return quoted(value) if isinstance(value, str) else str(value)


@attrs.frozen
class Forward:
    """A forward proxy: clients say where they want to go, by HTTP (absolute URLs and CONNECT) or SOCKS5."""

    name: str
    endpoint: str = attrs.field(
        metadata=about(
            LISTEN,
            'Any Twisted server endpoint string: "tcp:3128:interface=127.0.0.1".',
        )
    )
    protocols: tuple[str, ...] = attrs.field(
        default=(HTTP, SOCKS5),
        metadata=about(
            ListOf(Choice(HTTP, SOCKS5), "protocols"),
            'What is spoken there: "http" (absolute URLs and CONNECT), "socks5", or both, told apart by the first'
            " byte.",
        ),
    )
    users: Mapping[str, str] = attrs.field(
        default=NOBODY, repr=False, metadata=ABOUT_USERS
    )
    users_file: str = attrs.field(default="", metadata=ABOUT_USERS_FILE)
    realm: str = attrs.field(
        default="proxy",
        metadata=about(REALM, "What clients are told that they have to log in to."),
    )
    allow: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            NETWORKS,
            "Networks that clients may come from; with users as well both must be right. Without users, and without"
            " these, it does not start. none = from anywhere.",
        ),
    )
    ports: tuple[int | str, ...] = attrs.field(
        default=(80, 443),
        metadata=about(
            ListOf(_Port(), "ports"),
            'Ports that clients may go to; ["any"]: all of them.',
        ),
    )
    allow_targets: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            TARGET_PATTERNS,
            "Exceptions to what is refused after a name was looked up (loopback, private, link-local, multicast and"
            ' other special addresses): networks, and names such as "intranet.example.com" or "*.example.com". A name'
            " here opens that name, not its address to others.",
        ),
    )
    deny_targets: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            TARGET_PATTERNS,
            'Networks and names that are refused, whatever allows them: "*.ads.example".',
        ),
    )
    parents: tuple[Parent, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(Table(Parent), "rules"),
            "Ways to where clients go, by where that is; the first rule that matches holds, and where none does it is"
            ' direct: `[{ match = ["*.example.com"], proxy = "socks5://10.0.0.9:1080" }]`.',
        ),
    )
    udp: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "SOCKS5 clients may have datagrams relayed (UDP ASSOCIATE), to targets as of `ports`, `allow_targets` and"
            " `deny_targets`.",
        ),
    )
    associations: int = attrs.field(
        default=1000,
        metadata=about(
            Count(1, 100_000),
            "Clients at once whose datagrams are relayed, each with two or three sockets; others are refused.",
        ),
    )
    passive: PassiveRecord = attrs.field(
        default=PassiveRecord(),
        metadata=about(
            Table(PassiveRecord),
            "The record of connects, by address: one that is down is refused at once. Pools have records of their own.",
        ),
    )
    timeout: PoolTimeout = attrs.field(
        default=PoolTimeout(),
        metadata=about(
            Table(PoolTimeout), "How long a host may take that clients are sent to."
        ),
    )
    idle_timeout: float = attrs.field(
        default=600.0,
        metadata=about(
            Duration(1.0),
            "Without a byte either way for so long, a tunnel is closed; a relay of datagrams without one, too.",
        ),
    )
    tls: ListenerTLS | None = attrs.field(
        default=None,
        metadata=about(
            Table(ListenerTLS),
            "Its presence makes it an HTTPS proxy: TLS between clients and the proxy, as at a listener.",
        ),
    )
    proxy_protocol: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            NETWORKS,
            "Load balancers that have to begin with a PROXY header, as of a listener.",
        ),
    )

    @property
    def any_port(self) -> bool:
        """Clients may go to every port."""
        return ANY in self.ports

    @property
    def asks_for_passwords(self) -> bool:
        """Clients have to log in."""
        return bool(self.users or self.users_file)


def parent_pools(forwards: Iterable[Forward]) -> set[str]:
    """The pools whose targets are proxies on the way of `forwards`."""
    return {parent.pool for forward in forwards for parent in forward.parents}


def _everybody(network: Network | str) -> bool:
    return not isinstance(network, str) and network.prefixlen == 0


def forward_rules(
    forward: Forward,
    local: bool,
    pools: Mapping[str, str],
    datagrams: Collection[str],
    place: Place,
) -> None:
    """What must hold for one. `local`: only this machine can reach its endpoint. `datagrams`: pools of nothing else."""
    parent_rules(forward.parents, pools, datagrams, place.at("parents"))
    if forward.udp and SOCKS5 not in forward.protocols:
        place.at("udp").wrong('is a part of SOCKS5; add "socks5" to protocols')
    # What could not be read is a problem already, and no second one.
    written = [place.at(key).written for key in ("users", "users_file", "allow")]
    if not any(written):
        place.wrong(
            'would be open to everybody; set users = { name = "HASH" } (lolly hash-password), users_file, or'
            ' allow = ["10.0.0.0/8"]'
        )
    elif not any(written[:2]) and any(map(_everybody, forward.allow)) and not local:
        place.at("allow").wrong(
            "lets in everybody, which makes an open proxy; name your networks, or set users"
        )
    if not forward.protocols:
        place.at("protocols").wrong("must name a protocol at least")
    if not forward.ports:
        place.at("ports").wrong(f'must name a port at least, or "{ANY}"')
    if forward.any_port and len(forward.ports) > 1:
        place.at("ports").wrong(
            f'has "{ANY}", which is all ports; leave out the others'
        )


def _text(entries: tuple[Any, ...]) -> str:
    return ", ".join(str(one) for one in entries)


def forward_facts(forward: Forward, local: bool) -> Iterator[tuple[str, bool]]:
    """What its settings imply: a sentence each, and whether it is a doubt."""
    who = "whoever logs in" if forward.asks_for_passwords else "everybody"
    if forward.allow:
        who += f" from {_text(forward.allow)}"
    where = "any port" if forward.any_port else f"ports {_text(forward.ports)}"
    yield f"{who} may go to {where} of public addresses", False
    opened = [one for one in forward.allow_targets if isinstance(one, str)]
    private = [
        one
        for one in forward.allow_targets
        if not isinstance(one, str)
        and (one.prefixlen == 0 or is_special(one.network_address))
    ]
    if private:
        yield f"its clients reach private addresses: {_text(tuple(private))}", True
    if opened:
        text = f"its clients reach {_text(tuple(opened))}, whatever address that is, private ones too"
        yield text, True
    mail = [port for port in _MAIL_PORTS if port in forward.ports]
    if forward.any_port or mail:
        yield (
            "mail can be sent through it (ports 25, 465, 587), which abusers look for",
            True,
        )
    yield from parent_facts(forward.parents)
    if forward.udp:
        yield (
            f"datagrams of {forward.associations} clients at once are relayed, to the same places; by no parent",
            False,
        )
    if forward.asks_for_passwords and forward.tls is None and not local:
        yield (
            "passwords come to it in the clear; set tls.certificate, or listen on loopback",
            True,
        )

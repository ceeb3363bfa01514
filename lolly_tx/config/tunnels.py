"""The settings of reverse tunnels: where connectors connect to, and what connects from behind a NAT.

Imports: config, config.kinds. Used by: config.model, config.rules, service,
service.tunnels.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.addresses import CONNECT, HOST_PATTERN, LISTEN
from lolly_tx.config.kinds.httpkinds import OPTIONAL_SECRET
from lolly_tx.config.kinds.plain import (
    TEXT,
    Count,
    Duration,
    Size,
    Word,
    plain_text,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import (
    HOST_PATTERNS,
    NAME,
    NAME_LIST,
    NO_NAME,
    ListOf,
    Named,
    Table,
    read_or_none,
)
from lolly_tx.config.listening import ListenerTLS
from lolly_tx.config.pools import UpstreamTLS

NO_SERVICES: Mapping[str, str] = MappingProxyType({})
FORWARD = "forward:"
"""What a service begins with that is a forward proxy of the same file."""
_MOST_BYTES = 1 << 34


class _ServiceName(Word):
    """What a service is called."""

    word = "name"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not NAME.fullmatch(text):
            raise Rejected(NO_NAME)
        return text


class _Services:
    """Services by name, each with the endpoint that leads to it."""

    word = "table of names and endpoints"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            said = f"must be a table of names and endpoints, not {type_word(raw)}"
            raise Rejected(said)
        out: dict[str, str] = {}
        for name, value in raw.items():
            here = place.at(name)
            if read_or_none(_SERVICE, name, here) is not None:
                ours = isinstance(value, str) and value.startswith(FORWARD)
                endpoint = read_or_none(TEXT if ours else CONNECT, value, here)
                if endpoint is not None:
                    out[name] = endpoint
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        inside = ", ".join(f'{key} = "{text}"' for key, text in value.items())
        return f"{{ {inside} }}" if inside else "{}"


class _OptionalHost(Word):
    """A host, or none."""

    word = "host"

    def read(self, raw: Any, place: Place) -> str:
        return "" if raw == "" else HOST_PATTERN.read(raw, place)


_SERVICE = _ServiceName()
_PORT = Count(1, 65535)


@attrs.frozen
class Permitted:
    """A connector that is let in, and what it may publish. `name`: its key."""

    name: str
    secret: str = attrs.field(
        default="",
        repr=False,
        metadata=about(
            OPTIONAL_SECRET,
            'What both sides know, 16 characters or more, from the environment: "${HOME_SECRET}". "": the connector'
            " shows a certificate whose common name is its own (`tls.client_ca` of the tunnel).",
        ),
    )
    services: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(_SERVICE, "names", single=True),
            'Services that it may offer, as targets "tunnel:CONNECTOR:SERVICE"; none = nothing is.',
        ),
    )
    hosts: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            HOST_PATTERNS,
            "Hosts that it may publish a service at; requests for them go to it, behind all routes of the file.",
        ),
    )
    ports: tuple[int, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(_PORT, "ports"),
            "Ports that it may publish a service at; they are listened on in any case.",
        ),
    )


def _heartbeat() -> Any:
    return attrs.field(
        default=15.0,
        metadata=about(
            Duration(1.0),
            "After so long a silence the other side is asked whether it is there; after two of them the connection is"
            " ended.",
        ),
    )


def _streams() -> Any:
    return attrs.field(
        default=256,
        metadata=about(
            Count(1, 65536), "Connections that one tunnel may carry at once."
        ),
    )


def _memory() -> Any:
    return attrs.field(
        default=128 << 20,
        metadata=about(
            Size(1 << 20, _MOST_BYTES),
            "What may wait here for who reads slowly, on all connections of one tunnel together.",
        ),
    )


@attrs.frozen
class Tunnel:
    """An address where connectors connect, and what they may have published."""

    name: str
    endpoint: str = attrs.field(
        metadata=about(
            LISTEN,
            "Where connectors connect: any Twisted server endpoint string, with `tls` unless it is on loopback.",
        )
    )
    tls: ListenerTLS | None = attrs.field(
        default=None,
        metadata=about(
            Table(ListenerTLS),
            'As of a listener; `client_ca` without `client` means "request" here. Nothing that ends TLS may stand'
            " between connectors and this.",
        ),
    )
    connectors: Mapping[str, Permitted] = attrs.field(
        default=MappingProxyType({}),
        metadata=about(
            Named(Permitted),
            "Connectors that are let in, by name: `{ home = { secret = "
            '"${HOME_SECRET}", services = ["web"] } }`.',
        ),
    )
    listeners: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            NAME_LIST,
            "Names of the listeners that serve published hosts; none = every one.",
            key="listener",
        ),
    )
    ports_interface: str = attrs.field(
        default="",
        metadata=about(
            TEXT, 'Where published ports listen; "" = where the tunnel does.'
        ),
    )
    heartbeat: float = _heartbeat()
    streams: int = _streams()
    memory: int = _memory()

    @property
    def secured(self) -> ListenerTLS | None:
        """Its TLS, with what authorities without a word about clients mean."""
        tls = self.tls
        if tls is not None and tls.client_ca and tls.client == "off":
            return attrs.evolve(tls, client="request")
        return tls


@attrs.frozen
class Publish:
    """What a connector asks to have published."""

    service: str = attrs.field(metadata=about(_SERVICE, "Name of one of its services."))
    host: str = attrs.field(
        default="",
        metadata=about(_OptionalHost(), "The host that it is to be served at; or"),
    )
    port: int = attrs.field(
        default=0, metadata=about(Count(0, 65535), "the port of the server.")
    )

    @property
    def where(self) -> str:
        """In words, as the other side says it."""
        return f"host {self.host}" if self.host else f"port {self.port}"


@attrs.frozen
class Connector:
    """What connects from here to a tunnel, and offers services there. `table`: its key."""

    name: str
    server: str = attrs.field(
        metadata=about(
            CONNECT,
            'The tunnel: "tls:HOST:PORT", verified as `tls` says, or any client endpoint string; without TLS on'
            " loopback only.",
        )
    )
    called: str = attrs.field(
        default="",
        metadata=about(TEXT, 'Its name there; "" = the table\'s.', key="name"),
    )
    secret: str = attrs.field(
        default="",
        repr=False,
        metadata=about(
            OPTIONAL_SECRET,
            'What both sides know, from the environment: "${HOME_SECRET}"; "" where `tls.certificate` does.',
        ),
    )
    tls: UpstreamTLS = attrs.field(
        default=UpstreamTLS(),
        metadata=about(
            Table(UpstreamTLS),
            'How the server is verified, and what certificate it is shown; with "tls:HOST:PORT" only.',
        ),
    )
    services: Mapping[str, str] = attrs.field(
        default=NO_SERVICES,
        metadata=about(
            _Services(),
            'What it offers, by name: `{ web = "tcp:127.0.0.1:3000" }`, any client endpoint strings; "forward:NAME" is'
            " the [forward.NAME] of this file.",
        ),
    )
    publish: tuple[Publish, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(Table(Publish), "tables"),
            'What it asks to have published, such as `[{ service = "web", host = "home.example.com" }]`.'
            " The server permits it, or says why not.",
        ),
    )
    connections: int = attrs.field(
        default=1,
        metadata=about(
            Count(1, 16),
            "How many it keeps: a lost segment holds up the streams of one of them only.",
        ),
    )
    heartbeat: float = _heartbeat()
    streams: int = _streams()
    memory: int = _memory()

    @property
    def known_as(self) -> str:
        """Its name at the server."""
        return self.called or self.name

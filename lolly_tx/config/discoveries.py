"""The settings of what discovers targets, one class for each type; `discovering` has what all types have.

Imports: config.kinds, domain, domain.routing. Used by: net.discovery.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from lolly_tx.config.kinds.addresses import MAYBE_FILE, OPTIONAL_MAYBE_FILE, ServiceURL
from lolly_tx.config.kinds.clusters import (
    CLUSTER_URL,
    LABEL,
    OF_CA,
    OF_CLUSTER,
    OF_TOKEN_FILE,
    SLICE_PORT,
)
from lolly_tx.config.kinds.plain import TEXT, Choice, Count, Filled, Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf
from lolly_tx.domain.routing.hosts import valid_host
from lolly_tx.domain.target import host_and_port

_SCHEMES = ("http", "https", "tcp", "tls")


class _Name(Word):
    """A name in the DNS; those of services begin with underscores."""

    word = "name"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw).rstrip(".")
        if not valid_host(text.replace("_", "")) or len(text) > 253:
            raise Rejected('must be a name in the DNS, such as "api.example.com"')
        return text


class _Resolver(Word):
    """Address and port of a DNS server."""

    word = "address"

    def read(self, raw: Any, place: Place) -> tuple[str, int]:
        found = host_and_port(plain_text(raw))
        if found is None or not _is_address(found[0]):
            raise Rejected('must be the IP address of a server, such as "10.0.0.2:53"')
        return found[0].strip("[]"), found[1] or 53

    def show(self, value: Any) -> str:
        """See `schema.ShownKind`."""
        return f'"{value[0]}:{value[1]}"'


def _is_address(host: str) -> bool:
    return valid_host(host) and (":" in host or host.replace(".", "").isdigit())


_NAME = _Name()
_URL = ServiceURL("http://127.0.0.1:2379")
_FILLED = Filled()
_PORT = Count(1, 65535)
_RESOLVERS = ListOf(_Resolver(), "addresses", single=True)
_SCHEME = about(
    Choice(*_SCHEMES),
    'What the targets speak: "http", "https", or "tcp" or "tls" for streams.',
)
_OF_RESOLVERS = about(
    _RESOLVERS,
    'DNS servers, such as "10.0.0.2:53"; the next is asked when one does not answer. None = those of the system.',
)
_TOKEN = about(TEXT, "What we show to be let in; never shown or logged.")
Scheme = Literal["http", "https", "tcp", "tls"]


@attrs.frozen
class Dns:
    """All addresses (A and AAAA) of a name, looked up again when their time to live is over."""

    name: str = attrs.field(metadata=about(_NAME, "The name."))
    port: int = attrs.field(metadata=about(_PORT, "The port of every target."))
    scheme: Scheme = attrs.field(default="http", metadata=_SCHEME)
    resolvers: tuple[tuple[str, int], ...] = attrs.field(
        default=(), metadata=_OF_RESOLVERS
    )


@attrs.frozen
class Srv:
    """The hosts and ports of a service (SRV, RFC 2782), with their priorities and weights."""

    name: str = attrs.field(
        metadata=about(_NAME, 'Such as "_http._tcp.api.example.com".')
    )
    scheme: Scheme = attrs.field(default="http", metadata=_SCHEME)
    resolvers: tuple[tuple[str, int], ...] = attrs.field(
        default=(), metadata=_OF_RESOLVERS
    )


@attrs.frozen
class File:
    """A list of targets in a JSON or TOML file, read again when it changes."""

    path: str = attrs.field(
        metadata=about(
            MAYBE_FILE,
            "The file; it may not be there yet. JSON: a list of targets, or a table with `targets`; TOML"
            " (`.toml`): `targets = [...]`.",
        )
    )


@attrs.frozen
class Http:
    """A list of targets as JSON from a URL, asked for every `interval`."""

    url: str = attrs.field(metadata=about(_URL, "Where the list is."))
    token: str = attrs.field(default="", repr=False, metadata=_TOKEN)


@attrs.frozen
class Etcd:
    """The keys below a prefix in etcd (v3, by its JSON gateway), each with a target for its value.

    Changes come at once.
    """

    url: str = attrs.field(metadata=about(_URL, "Of the gateway."))
    prefix: str = attrs.field(
        metadata=about(_FILLED, 'Such as "/lolly/api/": each key below it is a target.')
    )


@attrs.frozen
class Consul:
    """The instances of a service in Consul whose checks pass. Changes come at once."""

    url: str = attrs.field(metadata=about(_URL, "Of an agent."))
    service: str = attrs.field(metadata=about(_FILLED, "Name of the service."))
    tag: str = attrs.field(
        default="", metadata=about(TEXT, 'Only instances with it; "" = all.')
    )
    scheme: Scheme = attrs.field(default="http", metadata=_SCHEME)
    token: str = attrs.field(default="", repr=False, metadata=_TOKEN)


@attrs.frozen
class Kubernetes:
    """The endpoints of a service in Kubernetes, by its EndpointSlices. Changes come at once."""

    service: str = attrs.field(metadata=about(LABEL, "Name of the service."))
    namespace: str = attrs.field(
        default="default", metadata=about(LABEL, "Namespace of the service.")
    )
    port: str = attrs.field(
        default="",
        metadata=about(
            SLICE_PORT,
            'Name of the port, or its number at the endpoints (`targetPort`); "" = the only one there is.',
        ),
    )
    scheme: Scheme = attrs.field(default="http", metadata=_SCHEME)
    zone: str = attrs.field(
        default="",
        metadata=about(
            TEXT,
            "The zone we run in: endpoints that are meant for others (hints) are the second choice.",
        ),
    )
    watch: Literal["namespace", "all"] = attrs.field(
        default="namespace",
        metadata=about(
            Choice("namespace", "all"),
            "What one watch covers, which pools share: the namespace, or all of the cluster (needs a ClusterRole).",
        ),
    )
    url: str = attrs.field(default="", metadata=about(CLUSTER_URL, OF_CLUSTER))
    token: str = attrs.field(default="", repr=False, metadata=_TOKEN)
    token_file: str = attrs.field(
        default="", metadata=about(OPTIONAL_MAYBE_FILE, OF_TOKEN_FILE)
    )
    ca: str = attrs.field(default="", metadata=about(OPTIONAL_MAYBE_FILE, OF_CA))

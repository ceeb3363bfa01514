"""Routes and pools from elsewhere: `[provider.NAME]`.

    [provider.cluster]
    type = "kubernetes"          # or a provider of texts: `config.textproviders`
    listeners = { http = "web", https = "secure" }

Imports: config, config.kinds, domain.routing. Used by: config.facts, config.model,
config.rules, service.certificates, service.providers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs

from lolly_tx.config.kinds.addresses import OPTIONAL_FOLDER, OPTIONAL_MAYBE_FILE
from lolly_tx.config.kinds.checkkinds import FREE
from lolly_tx.config.kinds.clusters import (
    CLUSTER_URL,
    LABEL,
    OF_CA,
    OF_CLUSTER,
    OF_TOKEN_FILE,
)
from lolly_tx.config.kinds.plain import (
    TEXT,
    Choice,
    Word,
    nearest,
    plain_text,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf, Table
from lolly_tx.config.pools import PoolSettings
from lolly_tx.config.textproviders import (
    EtcdTexts,
    HttpTexts,
    text_provider_facts,
    text_provider_rules,
)
from lolly_tx.domain.routing.hosts import valid_host

NO_POOL: Mapping[str, Any] = MappingProxyType({})


class _Listeners:
    """Listeners of Gateways, each with one of ours."""

    word = "table of listeners"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of names, not {type_word(raw)}")
        if not raw:
            raise Rejected("must name a listener at least, else nothing is served")
        out: dict[str, str] = {}
        for name, value in raw.items():
            try:
                out[name] = plain_text(value)
            except Rejected as rejected:
                place.at(name).wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        inside = ", ".join(f'{name} = "{ours}"' for name, ours in value.items())
        return f"{{ {inside} }}" if inside else "{}"


class _PoolLike:
    """Settings of pools, as written; they are read again for each pool."""

    word = "table of a pool's settings"

    def read(self, raw: Any, place: Place) -> Mapping[str, Any]:
        given = FREE.read(raw, place)
        for key in ("targets", "discover", "name"):
            if key in given:
                place.at(key).wrong("is what the provider says")
        rest = {
            key: value
            for key, value in given.items()
            if key not in ("targets", "discover")
        }
        _POOL.read_named({**rest, "targets": []}, place, {"name": "provided"})
        return MappingProxyType(rest)

    def show(self, value: Any) -> str:
        return FREE.show(value)


class _Address(Word):
    """A name or an IP address."""

    word = "address"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not valid_host(f"[{text}]" if ":" in text else text):
            raise Rejected(
                'must be a host name or an IP address, such as "203.0.113.7"'
            )
        return text


_POOL = Table(PoolSettings)


@attrs.frozen
class Provider:
    """A Kubernetes cluster whose Gateways, routes and Ingresses are served; see docs/kubernetes.md."""

    name: str
    type: Literal["kubernetes"] = attrs.field(
        metadata=about(Choice("kubernetes"), "What it is."),
    )
    listeners: Mapping[str, str] = attrs.field(
        metadata=about(
            _Listeners(),
            "Which listener or stream of the file serves those of Gateways, by their name, their port or their protocol"
            ' ("http", "https", "tls", "tcp"): `{ http = "web", https = "secure" }`.',
        ),
    )
    api: str = attrs.field(default="", metadata=about(CLUSTER_URL, OF_CLUSTER))
    token: str = attrs.field(
        default="",
        repr=False,
        metadata=about(TEXT, "What we show to be let in; never shown or logged."),
    )
    token_file: str = attrs.field(
        default="", metadata=about(OPTIONAL_MAYBE_FILE, OF_TOKEN_FILE)
    )
    ca: str = attrs.field(default="", metadata=about(OPTIONAL_MAYBE_FILE, OF_CA))
    of_class: str = attrs.field(
        default="lolly",
        metadata=about(
            LABEL, "Name of the GatewayClass and the IngressClass.", key="class"
        ),
    )
    namespaces: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(LABEL, "names"),
            "Those that are looked at; none = all of the cluster.",
        ),
    )
    pool: Mapping[str, Any] = attrs.field(
        default=NO_POOL,
        metadata=about(
            _PoolLike(),
            'Settings of each of its pools, as of `[pool.NAME]`: `{ balance = "least_conn" }`.',
        ),
    )
    addresses: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(_Address(), "addresses"),
            "Where clients reach the listeners: what the status of Gateways and Ingresses says.",
        ),
    )
    folder: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FOLDER,
            'Where certificates from Secrets are put for the listeners, unreadable for others; "" = below `state_dir`.',
        ),
    )


AnyProvider = Provider | EtcdTexts | HttpTexts


def clusters_of(providers: Mapping[str, AnyProvider]) -> dict[str, Provider]:
    """Those that are clusters."""
    return {name: one for name, one in providers.items() if isinstance(one, Provider)}


def provided_listeners(providers: Mapping[str, AnyProvider]) -> frozenset[str]:
    """The names of listeners and streams that clusters bring something for."""
    return frozenset(
        ours
        for one in clusters_of(providers).values()
        for ours in one.listeners.values()
    )


def text_providers_of(
    providers: Mapping[str, AnyProvider],
) -> dict[str, EtcdTexts | HttpTexts]:
    """Those that bring texts, which may have a route for any listener."""
    return {
        name: one for name, one in providers.items() if not isinstance(one, Provider)
    }


def provider_facts(config: Any) -> Iterator[tuple[str, str, bool]]:
    """What the settings of providers imply: the name of each, a sentence, and whether that is perhaps not meant.

    `config`: a `model.Config`.
    """
    for name, one in config.providers.items():
        if not isinstance(one, Provider):
            for text, doubt in text_provider_facts(one, config):
                yield name, text, doubt
            continue
        where = ", ".join(one.namespaces) or "all of the cluster"
        ours = ", ".join(f"{key} at {ours}" for key, ours in one.listeners.items())
        yield (
            name,
            f"Gateways and Ingresses of class {one.of_class} ({where}) bring routes beside those of the file: {ours};"
            " what is said here of routes and pools is without them",
            False,
        )


def provider_rules(config: Any, listeners: Collection[str], place: Place) -> None:
    """Record what contradicts the rest of `config`, a `model.Config`. `listeners`: their names, right or wrong."""
    for name, provider in config.providers.items():
        here = place.at(name)
        if not isinstance(provider, Provider):
            text_provider_rules(provider, config, here)
            continue
        known = (*listeners, *config.streams)
        for key, ours in provider.listeners.items():
            if ours not in known:
                said = "no listener or stream has this name" + nearest(ours, known)
                here.at("listeners").at(key).wrong(said)
            elif ours in config.listeners and config.listeners[ours].tls is not None:
                if not provider.folder and not config.state_dir:
                    here.wrong(
                        f"needs `folder` or state_dir, for the certificates of {ours}"
                    )

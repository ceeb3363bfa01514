"""The settings of certificate authorities that are asked by ACME (RFC 8555), and what is asked of them.

Imports: config, config.kinds. Used by: config.facts, config.model, config.rules,
service, service.acme.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, Protocol

import attrs

from lolly_tx.config.kinds.addresses import OPTIONAL_FILE
from lolly_tx.config.kinds.plain import TEXT, Choice, Word, nearest, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.listening import Listener
from lolly_tx.config.stores import known_store

HTTP = "http-01"
TLS_ALPN = "tls-alpn-01"
IN_STORE = "store:"


class _State(Word):
    """Where account and certificates are, beside `state_dir`."""

    word = "text"

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = plain_text(raw)
        if text and (not text.startswith(IN_STORE) or text == IN_STORE):
            raise Rejected('must be "store:NAME", NAME being that of a [store.NAME]')
        return text


@attrs.frozen
class Acme:
    """An authority that signs certificates of those who control a name."""

    name: str
    directory: str = attrs.field(
        metadata=about(TEXT, "URL of its directory, https://..."),
    )
    email: str = attrs.field(
        default="",
        metadata=about(TEXT, 'Where it can write to; "" = nowhere.'),
    )
    challenge: Literal["http-01", "tls-alpn-01"] = attrs.field(
        default="http-01",
        metadata=about(
            Choice(HTTP, TLS_ALPN),
            "How a name is shown to be ours: its port 80 leads here, or its port 443"
            " leads to a listener with `tls`.",
        ),
    )
    ca: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            "PEM file of the authorities that the directory's own TLS is trusted by;"
            ' "" = the system\'s.',
        ),
    )
    state: str = attrs.field(
        default="",
        metadata=about(
            _State(),
            '"store:NAME": one account and one certificate for a host in all instances that share the [store.NAME];'
            ' "" = this instance orders for itself.',
        ),
    )
    key_file: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            "File with the key that what is in the store is encrypted with, the same everywhere: 32 bytes in base64,"
            ' as "openssl rand -base64 32" makes them.',
        ),
    )

    @property
    def store(self) -> str:
        """The name of the store that it is shared by; "": none."""
        return self.state.removeprefix(IN_STORE)


class _Route(Protocol):
    @property
    def listeners(self) -> tuple[str, ...]:
        """Those it holds for."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Those it is for."""


def acme_hosts(listener: str, routes: Iterable[_Route]) -> tuple[str, ...]:
    """The names of a listener that a certificate can be asked for: those of its routes, wildcards left out."""
    return tuple(
        dict.fromkeys(
            host
            for route in routes
            if not route.listeners or listener in route.listeners
            for host in route.hosts
            if "*" not in host and host[0] not in "[~" and "." in host
        )
    )


def acme_state_rules(
    known: Mapping[str, Acme], stores: Collection[str], place: Place
) -> None:
    """Record what is wrong with what authorities are shared by. `place`: of all of them."""
    for name, one in known.items():
        here = place.at(name)
        known_store(one.store, stores, here.at("state"))
        if one.store and not here.at("key_file").written:
            here.at("state").wrong(
                "needs key_file: keys are not put into a store unless they are encrypted"
            )
        if one.key_file and not one.store:
            here.at("key_file").wrong('is for state = "store:NAME", which is missing')


def acme_rules(
    listener: Listener,
    routes: Iterable[_Route],
    known: Mapping[str, Acme],
    state_dir: str,
    place: Place,
) -> None:
    """Record what is wrong with the `tls.acme` of a listener. `place`: of its TLS."""
    assert listener.tls is not None
    name = listener.tls.acme
    if not name:
        return
    here = place.at("acme")
    if name not in known:
        here.wrong("no [acme.NAME] has this name" + nearest(name, known))
    if not state_dir:
        here.wrong("needs state_dir, where accounts and certificates are kept")
    if listener.tls.key:
        place.at("key").wrong("has to be in the file of the certificate, beside acme")
    if not acme_hosts(listener.name, routes):
        here.wrong(
            "needs a route for a host on this listener: a certificate is for a name"
        )

"""`[store.NAME]`: a Redis or Valkey that several instances share what they know by.

    [store.shared]
    url = "redis://127.0.0.1:6379/0"     # or rediss:// for TLS, unix:///run/redis.sock
    timeout = "50ms"
    fail = "local"

Imports: config, config.kinds, domain. Used by: config.acme, config.caching,
config.facts, config.middleware, config.model, config.rules, net.stores,
proxy.middleware, service, service.stores.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import attrs

from lolly_tx.config.kinds.addresses import OPTIONAL_FILE
from lolly_tx.config.kinds.plain import (
    TEXT,
    Choice,
    Duration,
    Word,
    duration_text,
    nearest,
    plain_text,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import Table
from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.target import host_and_port

PORT = 6379
LOCAL, OPEN, CLOSED = "local", "open", "closed"
Fail = Literal["local", "open", "closed"]

_URL = re.compile(r"(redis|rediss|unix)://([^/?#]*)(/[^?#]*)?")
_DATABASE = re.compile(r"/?|/([0-9]{1,5})")
_PREFIX = re.compile(r"[A-Za-z0-9._:/-]{1,64}")


@attrs.frozen
class StoreAddress:
    """Where a store is. `path`: of a UNIX socket, "" where there is `host`. `database`: its number."""

    host: str = ""
    port: int = 0
    path: str = ""
    database: int = 0
    secure: bool = False


def store_address(text: str) -> StoreAddress:
    """What a URL says. Raises `Rejected`."""
    match = _URL.fullmatch(text)
    if match is None:
        raise Rejected('must be a URL such as "redis://127.0.0.1:6379/0"')
    scheme, authority, rest = match[1], match[2], match[3] or ""
    if "@" in authority:
        raise Rejected("must have no user and password: see username, password_file")
    if scheme == "unix":
        if authority or len(rest) < 2:
            raise Rejected('must be as "unix:///run/redis.sock"')
        return StoreAddress(path=rest)
    place = host_and_port(authority)
    if place is None or not 1 <= (place[1] or PORT) <= 65535:
        raise Rejected("has no valid host and port")
    database = _DATABASE.fullmatch(rest)
    if database is None:
        raise Rejected('must end with the number of a database, such as "/0"')
    return StoreAddress(
        place[0],
        place[1] or PORT,
        database=int(database[1] or 0),
        secure=scheme == "rediss",
    )


class _StoreURL(Word):
    """The URL of a store."""

    word = "URL"

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = plain_text(raw)
        store_address(text)
        return text


class _Prefix(Word):
    """What the names of keys begin with."""

    word = "text"

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = plain_text(raw)
        if not _PREFIX.fullmatch(text):
            raise Rejected("must be 1 to 64 letters, digits and any of . _ : / -")
        return text


@attrs.frozen
class Store:
    """A Redis or Valkey, from version 5 on, that instances share what they know by; see docs/stores.md."""

    name: str
    url: str = attrs.field(
        metadata=about(
            _StoreURL(),
            'Where it is: "redis://HOST:PORT/DATABASE", "rediss://..." for TLS, "unix:///PATH".',
        )
    )
    username: str = attrs.field(
        default="", metadata=about(TEXT, 'Who we are there; "" = its default user.')
    )
    password_file: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE, 'File with our password; "" = none is asked for.'
        ),
    )
    tls: UpstreamTLS = attrs.field(
        default=UpstreamTLS(),
        metadata=about(Table(UpstreamTLS), "TLS towards it, for rediss://."),
    )
    timeout: float = attrs.field(
        default=0.05,
        metadata=about(
            Duration(0.001),
            "The longest that a request waits for its answer. After three in a row without one it is taken for away,"
            " and nobody waits until it answers again.",
        ),
    )
    fail: Fail = attrs.field(
        default="local",
        metadata=about(
            Choice(LOCAL, OPEN, CLOSED),
            'What limits do while it is away: "local" = each process admits its part by counters of its own, "open" ='
            ' all are let in, "closed" = all get 503.',
        ),
    )
    prefix: str = attrs.field(
        default="lolly:",
        metadata=about(
            _Prefix(),
            "What all of its keys and channels begin with; another one for each fleet that is to share nothing.",
        ),
    )


def store_rules(stores: Mapping[str, Store], place: Place) -> None:
    """What must hold between the settings of each."""
    for name, store in stores.items():
        here = place.at(name)
        if store.tls != UpstreamTLS() and not store_address(store.url).secure:
            here.at("tls").wrong("is for rediss://, and the url has no TLS")
        if store.tls.key and not store.tls.certificate:
            here.at("tls").at("key").wrong(
                "is the key of `certificate`, which is missing"
            )
        if store.username and not store.password_file:
            here.at("username").wrong("needs password_file")


def known_store(name: str, known: Collection[str], place: Place) -> None:
    """A setting names a store: there has to be one."""
    if name and name not in known:
        place.wrong("no [store.NAME] has this name" + nearest(name, known))


def store_users(config: Any) -> dict[str, list[str]]:
    """Who names each store, by its name. `config`: a `model.Config`."""
    found: dict[str, list[str]] = {}
    named = [(f"middleware {n}", one.settings) for n, one in config.middlewares.items()]
    named += [(f"cache {n}", one) for n, one in config.caches.items()]
    for who, settings in named:
        store = getattr(settings, "store", "")
        if store:
            found.setdefault(store, []).append(who)
    for pool in config.pools.values():
        if pool.passive.share:
            found.setdefault(pool.passive.share, []).append(f"pool {pool.name}")
    for name, one in config.acme.items():
        if one.store:
            found.setdefault(one.store, []).append(f"acme {name}")
    return found


_FAILS = {
    LOCAL: "each process admits its part of limits by itself",
    OPEN: "limits let in everybody",
    CLOSED: "limits refuse everybody with 503",
}


def store_facts(
    stores: Mapping[str, Store], users: Mapping[str, Collection[str]]
) -> Iterator[tuple[str, str, bool]]:
    """What they imply, and what looks wrong (True). `users`: who names each, by its name."""
    for name, store in stores.items():
        address = store_address(store.url)
        who = users.get(name, ())
        if not who or any(one.startswith("middleware ") for one in who):
            yield (
                name,
                f"a request waits {duration_text(store.timeout)} for it at most; while it is away {_FAILS[store.fail]}",
                False,
            )
        if any(one.startswith("pool ") for one in who):
            text = "pools tell of failures by it, and nobody waits; while it is away each instance counts for itself"
            yield name, text, False
        if who:
            yield name, f"used by {', '.join(who)}", False
        else:
            yield name, "nothing uses it: it is connected to for nothing", True
        away = address.host and not _is_here(address.host)
        if away and not address.secure:
            text = "what is said to it passes other machines' wires in the clear: use rediss://"
            yield name, text, True
        if address.secure and not store.tls.verify:
            yield name, "its certificate is not verified", True
        if store.timeout > 1.0:
            yield name, "a request may wait for it longer than a second", True


def _is_here(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "localhost")

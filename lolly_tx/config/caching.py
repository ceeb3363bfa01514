"""`[cache.NAME]`: where answers are stored that middleware of the type `cache` shares between clients.

Imports: config, config.kinds. Used by: config.facts, config.model, config.rules,
proxy.caching, proxy.middleware, service, service.stores.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.addresses import OPTIONAL_FOLDER
from lolly_tx.config.kinds.httpkinds import FIELD_NAME
from lolly_tx.config.kinds.plain import (
    TEXT,
    Choice,
    Count,
    Duration,
    Size,
    duration_text,
    quoted,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf
from lolly_tx.config.kinds.templatekinds import TEMPLATE
from lolly_tx.config.stores import known_store

_STATUS = re.compile(r"[2-5](?:[0-9][0-9]|xx)")
_NEVER_STORED = ("206", "304")
_DURATION = Duration(0.0)


class _Ttls:
    """Durations by status."""

    word = "table of durations by status"

    def read(self, raw: Any, place: Place) -> Mapping[str, float]:
        """See `schema.Kind`."""
        if not isinstance(raw, dict):
            raise Rejected(
                f'must be a table such as {{ "404" = "10s" }}, not {type_word(raw)}'
            )
        out = {}
        for status, duration in raw.items():
            here = place.at(status)
            if not _STATUS.fullmatch(status) or status in _NEVER_STORED:
                here.wrong(
                    'must be a status such as "404", or "5xx" for a hundred of them;'
                    " 206 and 304 are not stored"
                )
                continue
            try:
                out[status] = _DURATION.read(duration, here)
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Mapping[str, float]) -> str:
        """See `schema.ShownKind`."""
        inner = ", ".join(
            f"{quoted(status)} = {_DURATION.show(seconds)}"
            for status, seconds in value.items()
        )
        return f"{{ {inner} }}" if inner else "{}"


NO_TTLS: Mapping[str, float] = MappingProxyType({})


@attrs.frozen
class CacheSettings:
    """A cache that any number of routes may use; what it stores stays when its settings change."""

    name: str
    size: int = attrs.field(
        default=256 << 20,
        metadata=about(
            Size(1 << 16, 1 << 50),
            "Bytes of everything it stores, with what it takes to know of it; divided between `workers`.",
        ),
    )
    dir: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FOLDER,
            'Folder of files that answers are kept in over a restart, for nothing else; made when it is missing; "" ='
            " in memory only.",
        ),
    )
    memory: int = attrs.field(
        default=64 << 20,
        metadata=about(
            Size(1 << 16, 1 << 40),
            "With `dir`: bytes of memory for what is known of files, and bodies beside them; divided between"
            " `workers`.",
        ),
    )
    entry: int = attrs.field(
        default=16 << 20,
        metadata=about(
            Size(0, 1 << 40), "Largest body that is stored; larger ones pass."
        ),
    )
    default_ttl: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "How long answers with the status 200, 203, 204, 300, 301 or 308 are fresh that do not say so; 0 = they"
            " are not stored.",
        ),
    )
    ttl: Mapping[str, float] = attrs.field(
        default=NO_TTLS,
        metadata=about(
            _Ttls(),
            'The same by status, `{ "404" = "10s", "5xx" = "1s" }`, before `default_ttl`.',
        ),
    )
    methods: tuple[str, ...] = attrs.field(
        default=("GET", "HEAD"),
        metadata=about(
            ListOf(Choice("GET", "HEAD"), "methods", single=True),
            "Methods that are answered from it; answers to GET are what is stored.",
        ),
    )
    vary: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(FIELD_NAME, "names", single=True),
            "Fields of requests that answers depend on beside those that they name in Vary.",
        ),
    )
    key: str = attrs.field(
        default="",
        metadata=about(
            TEMPLATE,
            'What stands for path and query where answers are stored, such as "$path" to leave the query out of it;'
            ' "" = both, as the client sent them. What is not in it must not change an answer.',
        ),
    )
    lock_timeout: float = attrs.field(
        default=5.0,
        metadata=about(
            Duration(0.0),
            "How long a request waits for the answer to another that asks for the same; after that it goes to a"
            " target itself.",
        ),
    )
    stale_if_error: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "How long after its time an answer may stand in for one that cannot be had (refusals, timeouts, 500, 502,"
            " 503, 504), where it does not say so itself; 0 = not at all.",
        ),
    )
    stale_while_revalidate: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "How long after its time an answer is used while a new one is fetched, where it does not say so itself;"
            " 0 = not at all.",
        ),
    )
    min_uses: int = attrs.field(
        default=1,
        metadata=about(
            Count(1, 1000),
            "Stored from this request for it on; 2 keeps out what is asked for once.",
        ),
    )

    store: str = attrs.field(
        default="",
        metadata=about(
            TEXT,
            "A [store.NAME] by which instances tell each other of purges: those with the same store and the same name"
            ' of the cache; "" = each instance is told by itself.',
        ),
    )

    def ttls(self) -> Mapping[int, float]:
        """`ttl` by each status; one that is named by itself has its own."""
        found: dict[int, float] = {}
        for status, seconds in sorted(self.ttl.items(), reverse=True):
            if status.endswith("xx"):
                begin = int(status[0]) * 100
                found.update(dict.fromkeys(range(begin, begin + 100), seconds))
        for status, seconds in self.ttl.items():
            if not status.endswith("xx"):
                found[int(status)] = seconds
        return MappingProxyType(found)


def cache_rules(cache: CacheSettings, place: Place) -> None:
    """What must hold between its settings."""
    if cache.entry > cache.size:
        place.at("entry").wrong("must not be above size")
    if "GET" not in cache.methods:
        place.at("methods").wrong("must have GET, whose answers are what is stored")


def caches_rules(
    caches: Mapping[str, CacheSettings], stores: Collection[str], place: Place
) -> None:
    """Apply every rule to all of them: two in one folder would remove each other's files. `stores`: names of them."""
    seen: dict[str, str] = {}
    for name, cache in caches.items():
        here = place.at(name)
        cache_rules(cache, here)
        known_store(cache.store, stores, here.at("store"))
        if cache.dir and cache.dir in seen:
            here.at("dir").wrong(f"is the folder of cache {seen[cache.dir]}")
        seen.setdefault(cache.dir, name)


def cache_facts(caches: Mapping[str, CacheSettings]) -> Iterator[tuple[str, str, bool]]:
    """What they imply, and what looks wrong (True): the name, a sentence each."""
    for name, cache in caches.items():
        where = f"files in {cache.dir}" if cache.dir else "memory"
        others = ""
        if cache.default_ttl:
            others = f"; others are fresh for {duration_text(cache.default_ttl)}"
        yield (
            name,
            f"stores in {where} what says for how long it is fresh{others}",
            False,
        )
        if cache.store:
            yield (
                name,
                f"purges are told by store {cache.store} to all instances that have a cache of this name",
                False,
            )
        if cache.entry > cache.size // 10:
            yield (
                name,
                "one answer may take more than a tenth of it and displace many others:"
                " see entry and size",
                True,
            )

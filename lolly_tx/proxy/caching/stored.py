"""A stored answer, and what is said of it each time that it is used.

Imports: domain.caching, wire. Used by: proxy.caching.
"""

from __future__ import annotations

from typing import Any

import attrs

from lolly_tx.domain.caching.freshness import Life
from lolly_tx.wire.cachefields import (
    Names,
    Pairs,
    cache_status,
    date_of,
    etag_of,
    values_of,
)
from lolly_tx.wire.fields import render_fields

OVERHEAD_BYTES = 3072
"""What an answer takes beside its body and its fields: objects, and places in dictionaries."""

SHORT_BYTES = 65536
"""Bodies up to this go out with their head."""

_NO_LENGTH = frozenset((204, 304))


@attrs.frozen
class Facts:
    """What is known of an answer, and outlives the process where it is in a file.

    `site`, `target`, `url_target`, `vary`, `selecting`, `tags`: see `domain.caching.catalog`. `pairs`: its fields.
    `length`: bytes of the body. `for_all`: requests with credentials may have it, too.
    """

    site: bytes
    target: bytes
    url_target: bytes
    vary: Names
    selecting: Names
    tags: frozenset[bytes]
    status: int
    reason: bytes
    pairs: Pairs
    length: int
    for_all: bool


class Stored:
    """See the module; `domain.caching.catalog.Variant` and `domain.caching.eviction.Item`.

    `body`: None where it is in a file only. `ready`: its fields with what is said of them until `ready_until`.
    `asked_again_at`: not before then is its target asked for it, after `failures` to. `dropped`: it is not in the
    store any more. `known`: bytes without the body; `size`: with it. `short`: its body is in memory, and goes out with
    its head. `writing`: its file is being written.
    """

    __slots__ = (
        "asked_again_at",
        "body",
        "dropped",
        "etag",
        "facts",
        "failures",
        "file",
        "for_all",
        "fresh_until",
        "in_main",
        "key",
        "known",
        "length",
        "life",
        "lines",
        "made",
        "modified",
        "ready",
        "ready_until",
        "reason",
        "selecting",
        "short",
        "site",
        "size",
        "status",
        "tags",
        "target",
        "url_target",
        "uses",
        "vary",
        "writing",
    )

    def __init__(
        self, facts: Facts, life: Life, body: bytes | None, wall: float
    ) -> None:
        """`wall`: now, seconds since the epoch."""
        self.facts = facts
        self.take_body(body)
        self.file: Any = None
        self.site, self.target = facts.site, facts.target
        self.url_target = facts.url_target
        self.vary, self.selecting = facts.vary, facts.selecting
        self.tags, self.for_all = facts.tags, facts.for_all
        self.key: object = (facts.site, facts.target, facts.vary, facts.selecting)
        self.status, self.reason = facts.status, facts.reason
        self.length = facts.length
        fields = [
            (name, value)
            for name, value in facts.pairs
            if name.lower() != b"content-length"
        ]
        if facts.status not in _NO_LENGTH:
            fields.append((b"Content-Length", b"%d" % facts.length))
        self.lines = b"\r\n" + render_fields(fields)
        self.etag = etag_of(values_of(facts.pairs, b"etag"))
        self.modified = date_of(values_of(facts.pairs, b"last-modified"), wall)
        self.made = date_of(values_of(facts.pairs, b"date"), wall)
        self.known = OVERHEAD_BYTES + 4 * len(self.lines)
        self.size = self.known + facts.length
        self.writing = False
        self.uses = 0
        self.in_main = False
        self.dropped = False
        self.failures = 0
        self.asked_again_at = 0.0
        self.live(life)

    def take_body(self, body: bytes | None) -> None:
        """It is in memory, or not."""
        self.body = body
        self.short = body is not None and len(body) <= SHORT_BYTES

    def __repr__(self) -> str:
        kind = "file" if self.body is None else "memory"
        return f"<Stored {self.site!r} {self.target!r} {self.status} {self.length} in {kind}>"

    def live(self, life: Life) -> None:
        """Its life is that from now on."""
        self.life = life
        self.fresh_until = life.fresh_until
        self.ready = b""
        self.ready_until = float("-inf")

    def fields(self, now: float, said: bytes = b"") -> bytes:
        """Its fields for a use at `now`: CRLF, then lines that each end with CRLF, with its age and `said`.

        `said`: what Cache-Status says of this use; b"": that it is a hit.
        """
        if said:
            return self.lines + b"Age: %d\r\n" % self.life.age(now) + said
        if now >= self.ready_until:
            life = self.life
            age = life.age(now)
            left = b"ttl=%d" % (int(life.lifetime) - age)
            self.ready = self.lines + b"Age: %d\r\n" % age + cache_status(b"hit", left)
            self.ready_until = life.born + age + 1
        return self.ready

"""The ends that a cache gives requests in place of a pool: a stored answer, or one that comes in.

Imports: domain.caching, net, proxy.caching, proxy.chains, wire. Used by:
proxy.caching.desk, proxy.middleware.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from lolly_tx.domain.caching.eviction import MOST_USES
from lolly_tx.net.doors import LENGTH, STREAM, BodyStart, DoorIn
from lolly_tx.proxy.caching.choosing import Choice, choose
from lolly_tx.proxy.caching.fetch import Fetch
from lolly_tx.proxy.caching.sending import ENDLESS, FromFetch, FromMemory
from lolly_tx.proxy.caching.store import Store
from lolly_tx.proxy.caching.stored import Stored
from lolly_tx.proxy.chains.innerdoor import InnerDoor
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.wire.cachefields import Asked, date_of, etag_of
from lolly_tx.wire.message import RequestHead


class Counter(Protocol):
    """Whose cache it is."""

    store: Store
    random: Random


class ShortHit:
    """`proxy.proxy.RouteEnd`: a fresh answer that is in memory and short, to a request that asks for all of it."""

    __slots__ = ("_now", "_passage", "_store", "_stored")

    def __init__(
        self, store: Store, stored: Stored, passage: Passage, now: float
    ) -> None:
        self._store = store
        self._stored = stored
        self._passage = passage
        self._now = now

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """See `proxy.proxy.RouteEnd`."""
        store, stored, passage = self._store, self._stored, self._passage
        store.short_hits += 1
        if stored.uses < MOST_USES:
            store.used(stored)
        now, status = self._now, stored.status
        fields = stored.ready if now < stored.ready_until else stored.fields(now)
        whole = stored.body
        if head.is_head or whole is None:
            whole = b""
        door.answer(status, stored.reason, fields, whole)
        size = len(whole)
        if door is not passage.door and isinstance(door, InnerDoor):
            status, size = door.status, door.sent
        passage.chain.told(passage.door, passage.asked, status, size, "hit")


class Hit:
    """`proxy.proxy.RouteEnd`: a stored answer.

    `verdict`: a word for logs and metrics. `said`: Cache-Status, b"" = a hit. `begin`: what was read of its file.
    `fetch`: the request that was sent for it, whose line in the access log is this one's; None: there is none.
    """

    __slots__ = (
        "_asked",
        "_desk",
        "_passage",
        "_said",
        "begin",
        "fetch",
        "stored",
        "verdict",
    )

    def __init__(
        self,
        desk: Counter,
        stored: Stored,
        passage: Passage,
        asked: Asked,
        verdict: str,
        said: bytes = b"",
    ) -> None:
        self._desk = desk
        self.stored = stored
        self._passage = passage
        self._asked = asked
        self.verdict = verdict
        self._said = said
        self.begin = b""
        self.fetch: Fetch | None = None

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """See `proxy.proxy.RouteEnd`."""
        stored, store = self.stored, self._desk.store
        store.counts[self.verdict] += 1
        now = store.now()
        fields = stored.fields(now, self._said)
        whole = stored.body
        if whole is None and len(self.begin) == stored.length:
            whole = self.begin  # there was no room to keep it
        if self._asked.conditions is None and (head.is_head or stored.short):
            sent = b"" if head.is_head or whole is None else whole
            door.answer(stored.status, stored.reason, fields, sent)
            self._answered(door, stored.status, len(sent))
            return
        choice = choose(
            self._asked,
            head.method,
            status=stored.status,
            reason=stored.reason,
            fields=fields,
            length=stored.length,
            etag=stored.etag,
            modified=stored.modified,
            made=stored.made,
            wall=store.wall(),
            several=None if whole is None else self._desk.random,
        )
        if head.is_head or not choice.size:
            door.answer(choice.status, choice.reason, choice.fields, b"")
            self._answered(door, choice.status, 0)
        elif whole is not None:
            FromMemory(door, choice, whole, self._told).begin()
        else:
            store.send_from_shelf(door, choice, stored, self.begin, self._told)

    def _answered(self, door: DoorIn, status: int, size: int) -> None:
        if isinstance(door, InnerDoor):
            status, size = door.status, door.sent
        self._told(status, size)

    def _told(self, status: int, size: int) -> None:
        fetch = self.fetch
        if fetch is not None:
            fetch.got = status, size
        else:
            passage = self._passage
            passage.chain.told(passage.door, passage.asked, status, size, self.verdict)


class Fetched:
    """`proxy.proxy.RouteEnd`: an answer that is on its way in. `first`: it was fetched for this request."""

    __slots__ = ("_asked", "_desk", "_fetch", "_first", "_passage", "_said", "verdict")

    def __init__(
        self,
        desk: Counter,
        fetch: Fetch,
        passage: Passage,
        asked: Asked,
        verdict: str,
        said: bytes,
        first: bool,
    ) -> None:
        self._desk = desk
        self._fetch = fetch
        self._passage = passage
        self._asked = asked
        self.verdict = verdict
        self._said = said
        self._first = first

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """See `proxy.proxy.RouteEnd`."""
        fetch, store = self._fetch, self._desk.store
        store.counts[self.verdict] += 1
        fields = fetch.fields + self._said
        block = fetch.block
        assert block is not None
        wall = store.wall()
        if fetch.length is None:
            # Nobody knows yet what a part of it is.
            choice = Choice(fetch.status, fetch.reason, fields, ((0, ENDLESS),))
            self._begin(FromFetch(door, choice, fetch, self._told), STREAM)
            return
        choice = choose(
            self._asked,
            head.method,
            status=fetch.status,
            reason=fetch.reason,
            fields=fields,
            length=fetch.length,
            etag=etag_of(block.get_all(b"etag")),
            modified=date_of(block.get_all(b"last-modified"), wall),
            made=date_of(block.get_all(b"date"), wall),
            wall=wall,
            several=None,
        )
        sending = FromFetch(door, choice, fetch, self._told)
        self._begin(sending, LENGTH)

    def _begin(self, sending: FromFetch, framing: int) -> None:
        self._fetch.read_by(sending, self._first)
        sending.begin(framing)

    def _told(self, status: int, size: int) -> None:
        if self._first:
            self._fetch.got = status, size
        else:
            passage = self._passage
            passage.chain.told(passage.door, passage.asked, status, size, self.verdict)

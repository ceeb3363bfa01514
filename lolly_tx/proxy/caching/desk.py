"""What a cache does with a request: it answers from the store, waits for the answer to another, fetches, lets it pass.

    stored, fresh ------------------------------------------> hit
    stored, stale, good enough while it is asked for -------> hit, and a fetch behind it
    stored, stale -------------- fetch with its validators --> 304: hit; failure: hit if good enough; else the answer
    not stored, being fetched -- wait -----------------------> the answer if it can be shared; else look again
    not stored ----------------- fetch ----------------------> the answer, stored if it may be
    known not to be storable, other methods ----------------> passes

It is long because these are the branches of one decision, which share what they know of a request.

Imports: domain.caching, net, proxy, proxy.caching, proxy.chains, wire, Twisted. Used
by: proxy.caching.watching, proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, TimeoutError

from lolly_tx.domain.caching.catalog import Select
from lolly_tx.domain.caching.freshness import FAILURES, life_of, why_not
from lolly_tx.domain.caching.notes import seconds_until_asked_again
from lolly_tx.net.doors import BODILESS, Peer
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.caching.ends import Fetched, Hit
from lolly_tx.proxy.caching.fetch import Fetch, Waiting
from lolly_tx.proxy.caching.store import Store
from lolly_tx.proxy.caching.stored import Facts, Stored
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.cachefields import (
    CAPABILITY,
    Asked,
    Names,
    cache_status,
    merged,
    said_by,
    selecting,
    stored_pairs,
    tags_of,
    values_of,
    vary_names,
)
from lolly_tx.wire.fieldlines import without_fields
from lolly_tx.wire.fields import FieldBlock, ResponseBlock
from lolly_tx.wire.message import RequestHead

# Fields that are ours to send: nothing that is not in the key may change what others get.
_OWN = (
    CAPABILITY[0],
    b"if-match",
    b"if-none-match",
    b"if-modified-since",
    b"if-unmodified-since",
    b"if-range",
    b"range",
)

_OF_THE_REQUEST = frozenset(("request-no-store", "authorization", "min-uses"))
"""Reasons against storing that say nothing of the next request."""

_MOST_LOOKS = 4


@attrs.frozen
class Wanted:
    """A request, as the cache sees it. `site`, `target`: what it asks for. `alone`: its answer may be for it only."""

    site: bytes
    target: bytes
    url_target: bytes
    asked: Asked
    select: Select
    rest: RouteEnd
    head: RequestHead
    peer: Peer

    @property
    def alone(self) -> bool:
        """Nobody else waits for its answer."""
        return self.asked.credentials or self.asked.no_store


@attrs.define(eq=False)
class _Errand:
    """What a fetch is for. `validates`: what it asks about. `reason`: why it was sent, for Cache-Status.

    `purges`: those there had been before.
    """

    wanted: Wanted
    validates: Stored | None
    reason: bytes
    uses: int
    purges: int
    said: Any = None
    why: str = ""


class Desk:
    """See the module. `vary`: names that all answers depend on. `dropped`: fields that are not stored."""

    def __init__(
        self,
        store: Store,
        clock: Any,
        *,
        random: Any,
        vary: Names = (),
        dropped: frozenset[bytes] = frozenset(),
    ) -> None:
        self.store = store
        self.random = random
        self._clock = clock
        self._vary = vary
        self._dropped = dropped
        self._fetching: dict[tuple[bytes, bytes], list[Fetch]] = {}

    # -- requests

    def look(self, wanted: Wanted, passage: Passage) -> Hit | None:
        """The answer to a request that is there, and good."""
        store, asked = self.store, wanted.asked
        stored = store.find(wanted.site, wanted.target, wanted.select)
        if stored is None or (asked.credentials and not stored.for_all):
            return None
        now = store.now()
        if now < stored.fresh_until:
            store.used(stored)
            return Hit(self, stored, passage, asked, "hit")
        life = stored.life
        if now < life.refreshable_until:
            store.used(stored)
            if now >= stored.asked_again_at and self._in_flight(wanted) is None:
                self._refresh(wanted, stored)
            return Hit(self, stored, passage, asked, "updating")
        if now < stored.asked_again_at and now < life.usable_until:
            return Hit(self, stored, passage, asked, "stale")
        return None

    async def find(self, wanted: Wanted, passage: Passage) -> RouteEnd | None:
        """The answer to a request, as soon as it is known where that comes from; None: it passes."""
        store, asked = self.store, wanted.asked
        key = (wanted.site, wanted.target)
        until = store.now() + store.bounds.lock_timeout
        uses = store.notes.asked(key) if store.bounds.min_uses > 1 else 1
        for _ in range(_MOST_LOOKS if wanted.alone else 1000):
            hit = self.look(wanted, passage)
            if hit is not None:
                if await self._is_there(hit):
                    return hit
                continue
            stored = store.find(wanted.site, wanted.target, wanted.select)
            if stored is None and store.notes.passes(key, store.now()):
                return None
            if asked.only_stored:
                return Answer(504, b"\r\n" + cache_status(b"fwd=request"))
            fetch = None if wanted.alone else self._in_flight(wanted)
            first = fetch is None
            waiting: Deferred[Fetch | None] | None = None
            if fetch is None:
                if asked.credentials and stored is not None and not stored.for_all:
                    stored = None
                fetch = self._fetch_for(wanted, stored, uses)
                # The exchange's line in the access log is that of the client it is for.
                fetch.asked, fetch.identity = passage.asked, passage.identified
                waiting = fetch.wait(wanted.select, first=True)
                self._send(fetch)
            elif not fetch.head_seen:
                left = until - store.now()
                if left <= 0:
                    return None
                waiting = fetch.wait(wanted.select)
                waiting.addTimeout(left, self._clock)
            try:
                found = fetch if waiting is None else await waiting
            except TimeoutError:
                return None
            if found is not None:
                end = self._end_of(found, wanted, passage, first)
                if not isinstance(end, Hit) or await self._is_there(end):
                    return end
        return None

    async def _is_there(self, hit: Hit) -> bool:
        """Whether its body can be read."""
        if hit.stored.body is None:
            try:
                hit.begin = await self.store.load(hit.stored)
            except (
                Exception
            ):  # the shelf has said what it is, and nothing is stored any more
                return False
        return True

    def _end_of(
        self, fetch: Fetch, wanted: Wanted, passage: Passage, first: bool
    ) -> RouteEnd:
        """What a client gets of a fetch whose head is there."""
        errand: _Errand = fetch.asked_for
        instead = fetch.instead
        parameters = [
            b"fwd=" + errand.reason,
            b"fwd-status=%d" % fetch.status,
            *([b"stored"] if fetch.storing else []),
            *([b"detail=" + errand.why.encode()] if errand.why else []),
            *([] if first else [b"collapsed"]),
        ]
        said = cache_status(*parameters)
        if isinstance(instead, Stored):
            verdict = "revalidated" if fetch.status == 304 else "stale"
            hit = Hit(self, instead, passage, wanted.asked, verdict, said)
            hit.fetch = fetch if first else None
            return hit
        verdict = "miss" if errand.validates is None else "expired"
        if not first:
            verdict = "collapsed"
        return Fetched(self, fetch, passage, wanted.asked, verdict, said, first)

    def _in_flight(self, wanted: Wanted) -> Fetch | None:
        """A fetch whose answer may be the one, too."""
        for fetch in self._fetching.get((wanted.site, wanted.target), ()):
            if fetch.vary is None or wanted.select(fetch.vary) == fetch.selecting:
                return fetch
        return None

    # -- fetches

    def _fetch_for(self, wanted: Wanted, stored: Stored | None, uses: int = 1) -> Fetch:
        """A fetch that is not sent yet."""
        store = self.store
        reason, verdict = b"stale", "expired"
        if stored is None:
            known = store.variants(wanted.site, wanted.target)
            reason, verdict = b"vary-miss" if known else b"uri-miss", "miss"
        errand = _Errand(wanted, stored, reason, uses, store.purges)
        fetch = Fetch(wanted.peer, self, errand, store.now(), self._hold)
        fetch.verdict = verdict
        if not wanted.alone:
            self._note(fetch)
        return fetch

    def _note(self, fetch: Fetch) -> None:
        wanted = fetch.asked_for.wanted
        self._fetching.setdefault((wanted.site, wanted.target), []).append(fetch)

    def _send(self, fetch: Fetch) -> None:
        errand: _Errand = fetch.asked_for
        head = _asking(errand.wanted.head, errand.validates)
        errand.wanted.rest.open_exchange(fetch, head, BODILESS)

    def _refresh(self, wanted: Wanted, stored: Stored) -> None:
        """Fetch it anew, for nobody: once for all who ask meanwhile, those with credentials as well."""
        if wanted.asked.no_store:  # the next one asks, whose answer may be stored
            return
        fetch = self._fetch_for(wanted, stored)
        if wanted.alone:
            self._note(fetch)
        fetch.peer = wanted.peer.unlogged()
        fetch.background = True
        fetch.verdict = "updating"
        self._send(fetch)

    def _hold(self, count: int) -> None:
        self.store.filling += count

    def _forget(self, fetch: Fetch) -> None:
        wanted = fetch.asked_for.wanted
        key = (wanted.site, wanted.target)
        fetches = self._fetching.get(key, [])
        if fetch in fetches:
            fetches.remove(fetch)
            if not fetches:
                del self._fetching[key]

    # -- Judge

    def answered(self, fetch: Fetch) -> None:
        """See `proxy.caching.fetch.Judge`."""
        errand: _Errand = fetch.asked_for
        stored, block = errand.validates, fetch.block
        assert block is not None
        store = self.store
        now, wall = store.now(), store.wall()
        fetch.head_at = now
        if stored is not None and fetch.status == 304:
            fetch.instead = self.renew(stored, 304, block, wall, now - fetch.started)
            fetch.ignore()
            self._forget(fetch)
            self._release(fetch, fetch.instead)
            return
        if stored is not None and fetch.status in FAILURES:
            stored.failures += 1
            stored.asked_again_at = now + seconds_until_asked_again(stored.failures)
            if now < stored.life.usable_until:
                fetch.instead = stored
                fetch.ignore()
                self._forget(fetch)
                self._release(fetch, stored)
                return
        self._judge(fetch, errand, block, now, wall)

    def _judge(
        self,
        fetch: Fetch,
        errand: _Errand,
        block: ResponseBlock,
        now: float,
        wall: float,
    ) -> None:
        """It is an answer of its own."""
        wanted, store = errand.wanted, self.store
        asked, key = wanted.asked, (wanted.site, wanted.target)
        said = errand.said = said_by(fetch.status, block, wall, now - fetch.started)
        why = why_not(
            said, store.rules, credentials=asked.credentials, secret=asked.no_store
        )
        if not why and not store.room_for(fetch.length or 0):
            why = "too-large"
        if not why and errand.uses < store.bounds.min_uses:
            why = "min-uses"
        errand.why = why
        if not why:
            names = vary_names([*block.get_all(b"vary"), *self._vary])
            fetch.vary = names or ()
            fetch.selecting = wanted.select(fetch.vary)
            fetch.store()
            fetch.release(
                lambda one: one.first or one.select(fetch.vary or ()) == fetch.selecting
            )
            return
        self._forget(fetch)
        if fetch.status not in FAILURES:
            if why not in _OF_THE_REQUEST:
                store.notes.let_pass(key, now)
            if errand.validates is not None:
                store.drop(errand.validates)
        if fetch.background:
            fetch.ignore()
        fetch.release(lambda one: one.first)

    def _release(self, fetch: Fetch, stored: Stored | None) -> None:
        """All those whom `stored` suits get it."""

        def suits(one: Waiting) -> bool:
            if stored is None:
                return False
            return one.select(stored.vary) == stored.selecting

        fetch.release(suits)

    def more(self, fetch: Fetch) -> None:
        """See `Judge`."""
        if fetch.total > self.store.bounds.entry or not self.store.room_for(0):
            fetch.asked_for.why = "too-large"
            wanted = fetch.asked_for.wanted
            self.store.notes.let_pass((wanted.site, wanted.target), self.store.now())
            self._forget(fetch)
            fetch.stop_storing()

    def complete(self, fetch: Fetch, body: bytes) -> None:
        """See `Judge`."""
        self._forget(fetch)
        errand: _Errand = fetch.asked_for
        block, store = fetch.block, self.store
        assert block is not None
        facts = self._facts(fetch, errand, block, len(body))
        life = life_of(errand.said, store.rules, fetch.head_at)
        stored = Stored(facts, life, body, store.wall())
        if not store.purged_since(stored, errand.purges):
            store.put(stored)

    def _facts(
        self, fetch: Fetch, errand: _Errand, block: ResponseBlock, length: int
    ) -> Facts:
        wanted = errand.wanted
        return Facts(
            wanted.site,
            wanted.target,
            wanted.url_target,
            fetch.vary or (),
            fetch.selecting or (),
            tags_of(block),
            fetch.status,
            fetch.reason,
            self._kept(stored_pairs(block)),
            length,
            errand.said.for_all,
        )

    def _kept(self, pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        return [pair for pair in pairs if pair[0].lower() not in self._dropped]

    def failed(self, fetch: Fetch) -> None:
        """See `Judge`."""
        self._forget(fetch)
        stored = fetch.asked_for.validates
        if stored is not None and fetch.status not in FAILURES:  # those have counted
            stored.failures += 1
            stored.asked_again_at = self.store.now() + seconds_until_asked_again(
                stored.failures
            )

    def renew(
        self,
        stored: Stored,
        status: int,
        block: ResponseBlock,
        wall: float,
        seconds: float,
    ) -> Stored | None:
        """What has been found to be right still lives on, with the fields of a 304 or of the answer to a HEAD."""
        pairs = self._kept(merged(stored.facts.pairs, block))
        updated = ResponseBlock.from_pairs(pairs)
        said = said_by(stored.status, updated, wall, seconds)
        life = life_of(said, self.store.rules, self.store.now())
        names = vary_names([*updated.get_all(b"vary"), *self._vary])
        if names != stored.vary:  # it depends on something else now
            self.store.drop(stored)
            return None
        facts = attrs.evolve(
            stored.facts, pairs=pairs, tags=tags_of(updated), for_all=said.for_all
        )
        return self.store.renewed(stored, facts, life)


def _asking(head: RequestHead, stored: Stored | None) -> RequestHead:
    """The request for the whole answer, or whether `stored` still is it (RFC 9111 section 4.3.1)."""
    block = head.block
    lines = block.kept
    low = lines.lower()
    if any(b"\n%b:" % name in low for name in _OWN):
        lines = without_fields(lines, _OWN)
    lines += CAPABILITY[1]
    if stored is not None:
        if stored.etag:
            lines += b"If-None-Match: %b\r\n" % stored.etag
        dates = values_of(stored.facts.pairs, b"last-modified")
        if stored.modified is not None and dates:
            lines += b"If-Modified-Since: %b\r\n" % dates[0]
    # A HEAD may be what has a stale answer fetched anew, and what is stored has a body.
    method = b"GET" if head.is_head else head.method
    return RequestHead(
        method, head.target, head.version, block.like(lines, lines), head.end
    )


def select_of(head: RequestHead, peer: Peer) -> Callable[[Names], Names]:
    """What selects a variant for a request: what its target would get of it, with what we say of its client."""
    return lambda names: selecting(
        FieldBlock(head.block.kept + peer.lines(head)), names
    )

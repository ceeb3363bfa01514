"""Where answers are stored, within its bounds, and what is being fetched for it.

    memory only        answers with their bodies, `size` bytes together
    with a shelf       answers in files of `size` bytes together, bodies in memory beside them of `memory` bytes

What an answer takes is its body, its fields, and what it takes to know of it (`Stored.size`).

Imports: domain.caching, net, proxy.caching, Twisted. Used by: proxy.caching.caches,
proxy.caching.desk, proxy.caching.ends, proxy.caching.shelf, service, service.metrics,
service.records.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from lolly_tx.domain.caching.catalog import Catalog, Purge, Select, is_named
from lolly_tx.domain.caching.eviction import S3Fifo
from lolly_tx.domain.caching.freshness import NO_RULES, Life, Rules
from lolly_tx.domain.caching.notes import Notes
from lolly_tx.domain.caching.purgeset import PurgeSet
from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.caching.choosing import Choice
from lolly_tx.proxy.caching.sending import Ended
from lolly_tx.proxy.caching.stored import Facts, Stored

VERDICTS = (
    "hit",
    "miss",
    "collapsed",
    "revalidated",
    "expired",
    "stale",
    "updating",
    "bypass",
)
"""What becomes of requests. Collapsed: fetched for another one. Expired: asked about, and there was another answer."""

_MOST_PURGES = 256
"""Remembered, for what is on its way in."""

FILLING_SHARE = 4
"""Answers that are on their way in take at most this part of `size` together; more of them is not stored."""


@attrs.frozen
class Bounds:
    """`size`: bytes of all that is stored. `entry`: of one body. `memory`: of what is in memory beside files.

    `lock_timeout`: how long a request waits for the answer to another, seconds. `min_uses`: from this request for it
    on, an answer is stored.
    """

    size: int
    entry: int
    memory: int = 0
    lock_timeout: float = 5.0
    min_uses: int = 1


class Shelf(Protocol):
    """Files that answers are kept in (`proxy.caching.shelf`)."""

    def keep(self, stored: Stored) -> None:
        """Write it, and say `written` of it when that is done. It is `writing` until then."""

    def discard(self, file: Any) -> None:
        """Remove a file."""

    def load(self, stored: Stored) -> Deferred[bytes]:
        """Read its body, or the begin of one that is long. Errbacks when that cannot be; then it is dropped."""

    def send(
        self, door: DoorIn, choice: Choice, stored: Stored, begin: bytes, ended: Ended
    ) -> None:
        """Send what `choice` says of the body in its file. `begin`: what `load` has read."""


class _Body:
    """The body of a stored answer as it counts in memory, beside its file."""

    __slots__ = ("in_main", "key", "size", "stored", "uses")

    def __init__(self, stored: Stored) -> None:
        self.key: object = stored.key
        self.size = stored.length
        self.stored = stored
        self.uses = 0
        self.in_main = False


class Store:
    """See the module. `name`: of its table. `now`: seconds, monotonic; `wall`: since the epoch.

    `counts`: what became of requests, but for `short_hits`, by a word each (`proxy.caching.ends`). `filling`: bytes of
    bodies that are on their way in. `keyed`: targets may be keys. `evicted`, `stored_count`: answers, since the start;
    `purges`: and invalidations. `file_errors`: files that could not be written or read.
    """

    def __init__(
        self,
        name: str,
        bounds: Bounds,
        rules: Rules = NO_RULES,
        *,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.name = name
        self.bounds = bounds
        self.rules = rules
        self.now = now
        self.wall = wall
        self.notes = Notes()
        self.counts: Counter[str] = Counter()
        self.short_hits = 0
        self.keyed = False
        self.filling = 0
        self.evicted = self.stored_count = self.file_errors = 0
        self._catalog: Catalog[Stored] = Catalog()
        self._all = S3Fifo(bounds.size)
        self._shelf: Shelf | None = None
        self._bodies = S3Fifo(bounds.memory)
        self._in_memory: dict[object, _Body] = {}
        self._known = 0
        self.purges = 0
        self._purges: deque[Purge] = deque(maxlen=_MOST_PURGES)
        self._under_way: list[PurgeSet] = []
        """Purges that have not gone through all that is stored."""

    def __len__(self) -> int:
        return len(self._all)

    @property
    def sites(self) -> dict[bytes, dict[bytes, list[Stored]]]:
        """What there is, by site and target; to look at."""
        return self._catalog.sites

    def counted(self) -> dict[str, int]:
        """What became of requests, by verdict."""
        counts = dict.fromkeys(VERDICTS, 0) | self.counts
        counts["hit"] += self.short_hits
        return counts

    def count_on(
        self,
        requests: Mapping[str, int],
        stored: int,
        evicted: int,
        file_errors: int = 0,
    ) -> None:
        """So much was counted before: what became of requests, answers that were stored, and dropped for room."""
        self.counts.update({str(word): int(n) for word, n in requests.items()})
        self.stored_count += int(stored)
        self.evicted += int(evicted)
        self.file_errors += int(file_errors)

    def __iter__(self) -> Iterator[Stored]:
        return iter(self._catalog)

    @property
    def held(self) -> int:
        """Bytes of all that is stored."""
        return self._all.held

    def use_shelf(self, shelf: Shelf) -> None:
        """Keep answers in files from now on; nothing is stored yet."""
        self._shelf = shelf

    def go_by(self, bounds: Bounds, rules: Rules) -> None:
        """Other settings: what is too much goes at once."""
        self.bounds, self.rules = bounds, rules
        self._all.limit = bounds.size
        for gone in self._all.trim():
            self._gone(gone)
        self._make_room()

    # -- finding

    def variants(self, site: bytes, target: bytes) -> list[Stored]:
        """All that is stored of a target."""
        return self._catalog.variants(site, target) or []

    def find(self, site: bytes, target: bytes, select: Select) -> Stored | None:
        """What a request for it selects."""
        return self._catalog.find(site, target, select)

    def used(self, stored: Stored) -> None:
        """It has answered a request."""
        if stored.uses < 3:
            stored.uses += 1
        if self._in_memory:
            body = self._in_memory.get(stored.key)
            if body is not None:
                body.uses += body.uses < 3

    # -- storing

    def room_for(self, length: int) -> bool:
        """Whether a body of so many bytes may come in, beside those that are about to."""
        if length > self.bounds.entry:
            return False
        return self.filling + length <= max(
            self.bounds.size // FILLING_SHARE, self.bounds.entry
        )

    def put(self, stored: Stored) -> None:
        """Store it, in place of what it replaces."""
        stored.writing = self._shelf is not None
        self._add(stored)
        self.stored_count += 1
        self.notes.stored((stored.site, stored.target))
        self._keep(stored)

    def _keep(self, stored: Stored) -> None:
        if self._shelf is not None and stored.writing and not stored.dropped:
            self._shelf.keep(stored)

    def found_on_shelf(self, facts: Facts, life: Life, file: Any) -> None:
        """There is a file of an earlier process; what has been stored since then is newer."""
        stored = Stored(facts, life, None, self.wall())
        for one in self.variants(facts.site, facts.target):
            if one.vary != stored.vary or one.selecting == stored.selecting:
                assert self._shelf is not None
                self._shelf.discard(file)
                return
        stored.file = file
        if self.purged_since(stored, 0):
            assert self._shelf is not None
            self._shelf.discard(file)
            return
        if stored.facts.length == 0:
            stored.take_body(b"")
        self._add(stored)

    def _add(self, stored: Stored) -> None:
        for replaced in self._catalog.add(stored):
            self._all.remove(replaced)
            self._let_go(replaced)
        self._known += stored.known
        for gone in self._all.add(stored):
            self._gone(gone)
        if self._shelf is not None:
            # What is known of files is in memory, too.
            while self._known > self.bounds.memory // 2:
                self._gone(self._all.evict())
            self._make_room()
            self.body_read(stored)

    def _make_room(self) -> None:
        self._bodies.limit = max(0, self.bounds.memory - self._known)
        self._forget_bodies(self._bodies.trim())

    def renewed(self, stored: Stored, facts: Facts, life: Life) -> Stored | None:
        """The same body with other fields and another life; None: it is not there any more."""
        if any(wanted.names(stored) for wanted in self._under_way):
            self.drop(stored)
        if stored.dropped:
            return None
        new = Stored(facts, life, stored.body, self.wall())
        new.file, stored.file = stored.file, None
        new.writing = self._shelf is not None and not new.file
        self._add(new)
        self._keep(new)
        return new

    def _gone(self, item: object) -> None:
        """It had to go."""
        assert isinstance(item, Stored)
        self.evicted += 1
        self._catalog.remove(item)
        self._let_go(item)

    def _let_go(self, stored: Stored) -> None:
        stored.dropped = True
        self._known -= stored.known
        body = self._in_memory.get(stored.key)
        if body is not None and body.stored is stored:
            self._bodies.remove(body)
            del self._in_memory[stored.key]
        if stored.file and self._shelf is not None:
            self._shelf.discard(stored.file)
            stored.file = None

    def drop(self, stored: Stored) -> None:
        """It is not right any more."""
        if not stored.dropped:
            self._catalog.remove(stored)
            self._all.remove(stored)
            self._let_go(stored)

    # -- bodies in memory beside files

    def body_read(self, stored: Stored) -> None:
        """Its body is in memory now; it may stay as long as there is room, once it is in a file."""
        if self._shelf is None or stored.body is None or stored.dropped:
            return
        body = self._in_memory[stored.key] = _Body(stored)
        self._forget_bodies(self._bodies.add(body))

    def written(self, stored: Stored, file: Any) -> None:
        """Its file is complete; None: there is none."""
        stored.writing = False
        if stored.dropped:
            if file and self._shelf is not None:
                self._shelf.discard(file)
            return
        stored.file = file
        body = self._in_memory.get(stored.key)
        if body is None or body.stored is not stored:
            self._without_body(stored)

    def _forget_bodies(self, gone: Iterable[object]) -> None:
        for body in gone:
            assert isinstance(body, _Body)
            if self._in_memory.get(body.key) is body:
                del self._in_memory[body.key]
            self._without_body(body.stored)

    def _without_body(self, stored: Stored) -> None:
        """There is no room in memory for its body."""
        if stored.file:
            stored.take_body(None)
        elif not stored.writing:
            self.drop(stored)

    def load(self, stored: Stored) -> Deferred[bytes]:
        """See `Shelf`; of a body that is in a file only."""
        assert self._shelf is not None
        return self._shelf.load(stored)

    def send_from_shelf(
        self, door: DoorIn, choice: Choice, stored: Stored, begin: bytes, ended: Ended
    ) -> None:
        """See `Shelf.send`."""
        assert self._shelf is not None
        self._shelf.send(door, choice, stored, begin, ended)

    # -- purging

    def purging(self, purges: Sequence[Purge]) -> Iterator[bool]:
        """Drop all that they name, one answer looked at a step: whether it went.

        What is on its way in and is named is not stored, from now on.
        """
        wanted = PurgeSet(purges)
        for purge in purges:
            self._note(purge)
        self._under_way.append(wanted)
        return self._gone_through(wanted)

    def _gone_through(self, wanted: PurgeSet) -> Iterator[bool]:
        try:
            for stored in self._catalog.suspects(wanted.tags):
                goes = not stored.dropped and wanted.names(stored)
                if goes:
                    self.drop(stored)
                yield goes
        finally:
            self._under_way.remove(wanted)

    def invalidate(self, site: bytes, target: bytes) -> int:
        """Drop all of a target, which an unsafe method has changed (RFC 9111 section 4.4).

        Where another key stands for it, as far as it was asked for by this one.
        """
        host = site.partition(b"://")[2]
        self._note(Purge(path=target, exact=True, host=host))
        variants = list(self.variants(site, target))
        if self.keyed:
            variants = [
                one for one in self if one.site == site and one.url_target == target
            ]
        for stored in variants:
            self.drop(stored)
        return len(variants)

    def _note(self, purge: Purge) -> None:
        self.purges += 1
        self._purges.append(purge)

    def purged_since(self, stored: Stored, purges: int) -> bool:
        """Whether it has been named since there were so many `purges`; if that cannot be told any more, it has."""
        later = self.purges - purges
        if later > len(self._purges):
            return True
        return any(is_named(stored, self._purges[-1 - at]) for at in range(later))

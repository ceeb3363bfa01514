"""The targets that others say a pool has: who is asked, what was found last, and how it gets into force.

    a feed --entries--> Discovery --> gathered a moment --> Reloader.amend: as any other change, in all workers
       `--failed------>     what was found before stays, and why is said

Whoever answers less than `least`, or nothing, is not believed. A target that vanished is first turned off, and taken
out after `settle`; one that is back before is what it was. What was found is kept in the state folder for the next
start, and left to new code in an upgrade.

Imports: config, domain, net.discovery, service, service.changes, service.providers,
Twisted. Used by: tap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.discovering import Discover
from lolly_tx.config.model import Config
from lolly_tx.config.pools import PoolSettings
from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.domain.target import Target
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.generation import Refused
from lolly_tx.service.providers.foundstate import save
from lolly_tx.service.registry import Registry
from lolly_tx.service.statefolder import StateFolder

if TYPE_CHECKING:  # pragma: no cover  # imported with the first answer
    from lolly_tx.config.found import Found, Known

GATHER_SECONDS = 0.2
"""Changes that follow one within this time are one change of the settings."""

SHOWN = 20
"""Entries that could not be used, of which the reason is kept."""


@attrs.define
class Discovery:
    """What is known of one pool's discovery. Times are monotonic seconds; None: never.

    `failures`: questions in a row that had no answer that is believed, and in all; `error`: why the last had none.
    `reading`: an answer is being read, and `latest` is what has come since. `entries`: the last answer that was read,
    beside the settings `beside`, and `copy` what it said then; `known`: what was read of it.
    """

    pool: str
    settings: Discover
    feed: IDiscovery | None = None
    answered_at: float | None = None
    in_a_row: int = 0
    failures: int = 0
    error: str = ""
    skipped: tuple[str, ...] = ()
    vanished: dict[str, float] = attrs.field(factory=dict)
    reading: bool = False
    latest: Sequence[Any] | None = None
    entries: Sequence[Any] | None = None
    copy: Sequence[Any] = ()
    beside: Config | None = None
    known: Known | None = None

    @property
    def state(self) -> str:
        """In a word: "asking" until the first answer, "current", or "stale"."""
        if self.in_a_row:
            return "stale"
        return "asking" if self.answered_at is None else "current"


class Discoveries:
    """Those of all pools of the service of `reloader`. `folder`: where what is found is kept; None: nowhere."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, reloader: Reloader, registry: Registry, folder: StateFolder | None = None
    ) -> None:
        self._reloader = reloader
        self._registry = registry
        self._folder = folder
        around = reloader.service.surroundings
        self._around = around
        self._clock = around.reactor
        self.by_pool: dict[str, Discovery] = {}
        self._shared: dict[Any, Any] = {}
        self._wanted: dict[str, tuple[Target, ...]] = {}
        self._timer: IDelayedCall | None = None
        self._changing: Deferred[Any] | None = None
        self._stopped = False
        reloader.on_change.append(self._changed)
        reloader.on_provided.append(lambda: self._changed(False))

    def start(self) -> None:
        """Ask from now on, for the pools that there are."""
        self._follow()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True
        for one in self.by_pool.values():
            self._end(one)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _changed(self, begins: bool) -> None:
        if not begins and not self._stopped:
            self._follow()

    def _follow(self) -> None:
        """Ask for the pools that the settings say now; who is asked as before goes on."""
        pools = self._reloader.service.config.pools
        for name, one in list(self.by_pool.items()):
            pool = pools.get(name)
            if pool is None or pool.discover != one.settings:
                self._end(self.by_pool.pop(name))
        for name, pool in pools.items():
            if pool.discover is not None and name not in self.by_pool:
                self._begin(name, pool.discover)

    def _begin(self, name: str, settings: Discover) -> None:
        one = self.by_pool[name] = Discovery(name, settings)
        around = self._around
        deps = DiscoveryDeps(
            pool=name,
            interval=settings.interval,
            reactor=around.reactor,
            clock=around.reactor,
            now=around.now,
            random=around.random,
            log=Logger(f"lolly_tx.discovery.{settings.type}"),
            in_thread=self._in_thread,
            shared=self._shared,
        )
        try:
            one.feed = self._registry.discovery(settings.type, settings.settings, deps)
            one.feed.start(
                lambda entries: self._found(one, entries),
                lambda why: self._failed(one, why),
            )
        except Exception as error:
            self.log.failure("Discovery of pool {pool} cannot begin", pool=name)
            self._failed(one, str(error) or type(error).__name__)

    def _end(self, one: Discovery) -> None:
        feed, one.feed = one.feed, None
        if feed is None:
            return
        try:
            feed.stop()
        except Exception:
            self.log.failure("Discovery of pool {pool} cannot end", pool=one.pool)

    def _in_thread(self, work: Any) -> Deferred[Any]:
        reactor = self._around.reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    # -- what is said

    def _found(self, one: Discovery, entries: Sequence[Any]) -> None:
        """Read them in a thread, for ten thousand take a second, and the latest of those that come meanwhile then."""
        one.latest = entries
        pool = self._pool_of(one)
        if pool is None or one.reading:
            return
        one.latest = None
        from lolly_tx.config.found import Known, read_found

        standing = self._reloader.standing
        whole, names = standing.whole, standing.names
        same = entries is one.entries and one.copy == _copy(entries)
        if same and whole is one.beside and not one.in_a_row:
            one.answered_at = self._around.now()
            return
        one.reading, one.entries, one.beside = True, entries, whole
        one.copy = _copy(entries)
        known = one.known = (one.known or Known(names)).beside(names)
        reading = self._in_thread(
            lambda: read_found(entries, whole, pool, names, known)
        )
        reading.addCallback(self._cb_read, one)
        reading.addErrback(self._eb_unreadable, one)
        reading.addCallback(self._cb_next, one)

    def _cb_next(self, _: None, one: Discovery) -> None:
        one.reading = False
        if one.latest is not None:
            self._found(one, one.latest)

    def _cb_read(self, found: Found, one: Discovery) -> None:
        if self._pool_of(one) is None:
            return
        self._tell_skipped(one, found)
        least = one.settings.least
        if len(found.targets) < least:
            count = len(found.targets)
            why = f"it names {count} usable target{'s' * (count != 1)}, and least = {least}"
            self._failed(one, "; ".join((why, *found.skipped[:1])))
            return
        if one.in_a_row:
            self.log.info("Discovery of pool {pool} answers again", pool=one.pool)
        one.in_a_row, one.error = 0, ""
        one.answered_at = self._around.now()
        self._want(one, found.targets)

    def _eb_unreadable(self, reason: Failure, one: Discovery) -> None:
        self.log.failure(
            "What was discovered for pool {pool} cannot be read",
            reason,
            pool=one.pool,
        )
        self._failed(one, f"its answer cannot be read: {type(reason.value).__name__}")

    def _tell_skipped(self, one: Discovery, found: Found) -> None:
        skipped = found.skipped[:SHOWN]
        if skipped and skipped != one.skipped:
            more = len(found.skipped) - 1
            self.log.warn(
                "Discovery of pool {pool}: {first}{more}",
                pool=one.pool,
                first=skipped[0],
                more=f" (and {more} more)" if more else "",
            )
        one.skipped = skipped

    def _failed(self, one: Discovery, why: str) -> None:
        if self._pool_of(one) is None:
            return
        one.failures += 1
        one.in_a_row += 1
        if why != one.error:
            one.error = why
            self.log.warn(
                "Discovery of pool {pool} has no answer to go by, {count} targets of"
                " before stay: {why}",
                pool=one.pool,
                count=len(self._standing(one.pool)),
                why=why,
            )

    def _pool_of(self, one: Discovery) -> PoolSettings | None:
        """Its settings as the file has them; None: it is asked for no more."""
        if self._stopped or self.by_pool.get(one.pool) is not one:
            return None
        return self._reloader.standing.whole.pools.get(one.pool)

    def _standing(self, pool: str) -> tuple[Target, ...]:
        """What was found so far, in force or on its way there."""
        wanted = self._wanted.get(pool)
        return self._reloader.standing.found.get(pool, ()) if wanted is None else wanted

    # -- into force

    def _want(self, one: Discovery, targets: tuple[Target, ...]) -> None:
        """Let these be the pool's; those that vanished stay a while, turned off, as far as there is room for them."""
        from lolly_tx.config.found import MOST_FOUND

        now, settle = self._around.now(), one.settings.settle
        there = {target.id for target in targets}
        vanished = {}
        leaving: list[Target] = []
        for target in self._standing(one.pool):
            if target.id in there or len(targets) + len(leaving) >= MOST_FOUND:
                continue
            end = one.vanished.get(target.id, now + settle)
            if end > now:
                vanished[target.id] = end
                leaving.append(attrs.evolve(target, down=True))
        one.vanished = vanished
        whole = (*targets, *leaving)
        if whole != self._standing(one.pool):
            self._wanted[one.pool] = whole
        self._soon()

    def _soon(self) -> None:
        """Come to it when what follows at once is there, or when a target that vanished is to go."""
        if self._timer is not None or self._changing is not None or self._stopped:
            return
        now = self._around.now()
        ends = [end for one in self.by_pool.values() for end in one.vanished.values()]
        if self._wanted:
            self._timer = self._clock.callLater(GATHER_SECONDS, self._turn)
        elif ends:
            self._timer = self._clock.callLater(max(0.0, min(ends) - now), self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = self._around.now()
        for one in self.by_pool.values():
            gone = {name for name, end in one.vanished.items() if end <= now}
            if gone:
                one.vanished = {
                    name: end for name, end in one.vanished.items() if name not in gone
                }
                left = self._standing(one.pool)
                self._wanted[one.pool] = tuple(t for t in left if t.id not in gone)
        wanted, self._wanted = self._wanted, {}
        if not wanted:
            self._soon()
            return
        names = ", ".join(sorted(wanted))
        changing = self._reloader.amend(
            lambda standing: standing.finding_all(wanted), f"discovery: {names}"
        )
        self._changing = changing
        changing.addCallbacks(self._cb_changed, self._eb_refused)
        changing.addErrback(self._eb_bug)
        changing.addBoth(self._cb_over)

    def _cb_changed(self, result: Any) -> Deferred[Any] | None:
        folder, standing = self._folder, self._reloader.standing
        if folder is None:
            return None
        file, found = standing.base.file, standing.found
        saving = self._in_thread(lambda: save(folder, file, found))
        return saving.addErrback(self._eb_not_saved)

    def _eb_not_saved(self, failure: Failure) -> None:
        failure.trap(OSError)
        self.log.error(
            "A restart will not know what was discovered: {why}",
            why=failure.getErrorMessage(),
        )

    def _eb_refused(self, failure: Failure) -> None:
        failure.trap(Refused)
        self.log.error(
            "What was discovered cannot be used: {why}", why=failure.getErrorMessage()
        )

    def _eb_bug(self, failure: Failure) -> None:
        self.log.failure("What was discovered cannot be used", failure)

    def _cb_over(self, _: Any) -> None:
        self._changing = None
        self._soon()

    # -- what is shown

    @property
    def found(self) -> Mapping[str, tuple[Target, ...]]:
        """What is in force, by pool."""
        return self._reloader.standing.found

    def shown(self, pool: str) -> Mapping[str, Any] | None:
        """Of one pool, as JSON-able values; None: nothing is discovered for it."""
        one = self.by_pool.get(pool)
        if one is None:
            return None
        age = None
        if one.answered_at is not None:
            age = round(self._around.now() - one.answered_at, 3)
        return {
            "type": one.settings.type,
            "state": one.state,
            "age_seconds": age,
            "targets": len(self._reloader.standing.found.get(pool, ())),
            "vanished": sorted(one.vanished),
            "failures": one.failures,
            "error": one.error,
            "skipped": list(one.skipped),
        }


def _copy(entries: Sequence[Any]) -> list[Any]:
    """What those that are read say now: whoever says it may change it in place, and say it again."""
    from lolly_tx.config.found import MOST_LOOKED_AT

    read = entries[:MOST_LOOKED_AT]
    return [dict(one) if isinstance(one, dict) else one for one in read]

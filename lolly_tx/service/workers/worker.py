"""A process that serves: what it does from its fork to its end.

    begin   the settings, the slots, the facts of all targets: it builds, listens and says "ready"
    facts   what the supervisor decided of some targets         staples   what certificates are shown with
    adopt, leave   accept on the slot of a sibling that has died, and no more
    listener   the operator's word about one: to rest, to wake, to hurry, to be cut
    purge   drop what caches have of something            network   it is lost, or there again
    connectors   those that are connected to a sibling          hop   a sibling asks for one of ours
    reopen  open the log files anew             stop   accept nothing more, let exchanges end, and end

and upwards: `ready` or `failed`; `beat`, the numbers that changed, several times a second, which shows that it lives;
`seen`, what happened at targets; `short`, what this process has run out of; `log`, its lines, so that there is one
log; `traces`; `connectors` and `tunnels`, who is connected here and how that is; `hop`, to reach a sibling; `leaving`,
before it ends.

When the supervisor is gone it serves on by the last it heard, for `ORPHAN_SECONDS`, and then drains.

It is long because it is the one end of that talk: whatever the supervisor may say
is answered here, and each answer is short.

Imports: config, domain, domain.shared, net.sockets, service, service.process,
service.records, service.workers, Twisted. Used by: service.workers.template.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    eventAsText,
    formatEvent,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.config.model import Config
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shared.facts import Elsewhere, Facts, follow
from lolly_tx.domain.shared.tallies import Number, Tally
from lolly_tx.domain.shared.together import hold_together
from lolly_tx.domain.shares import Shares
from lolly_tx.net.sockets.adopted import AdoptedPort, AdoptingReactor, by_slot
from lolly_tx.service import purging
from lolly_tx.service.ahead import import_ahead
from lolly_tx.service.build import build
from lolly_tx.service.division import of_worker
from lolly_tx.service.listener_drains import carry_out
from lolly_tx.service.listening import CannotListen
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.process.descriptors import make_room
from lolly_tx.service.process.housekeeping import (
    collect_garbage,
    loop_first,
    settle_memory,
)
from lolly_tx.service.records.exemplars import ExemplarNews
from lolly_tx.service.records.reopening import NotReopened
from lolly_tx.service.registry import Registry
from lolly_tx.service.service import LollyService
from lolly_tx.service.surroundings import Part
from lolly_tx.service.workers.channel import Channel, Message
from lolly_tx.service.workers.counting import COUNTING_PAUSE, numbers_of
from lolly_tx.service.workers.evidence import Outbox
from lolly_tx.service.workers.following import Following
from lolly_tx.service.workers.parcel import unpacked
from lolly_tx.service.workers.sharedmemory import SharedMemory

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.workers.siblings import Reach

BEAT_SECONDS = 0.1
"""From one message with numbers to the next: as much as a killed worker takes with it uncounted."""

ORPHAN_SECONDS = 30.0
"""How long a worker serves on without its supervisor before it drains."""

TOGETHER_SECONDS = 0.01
"""How often those who wait for room look whether another process has made some."""


@implementer(IEventSink)
class _Nobody:
    """The supervisor tells of changes, once."""

    def emit(self, event: Event) -> None:
        """It is no news."""


@attrs.frozen
class Inheritance:
    """What a worker has from the fork. `number`: 1 and up. `mapped`: the memory that all workers share."""

    number: int
    config: Config
    registry: Registry
    shared: SharedMemory
    mapped: memoryview

    @property
    def workers(self) -> int:
        """How many there are."""
        return self.shared.workers


@implementer(ILogObserver)
class Worker:
    """One process that serves, on `reactor`. `leave`: end the process."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, reactor: Any, inherited: Inheritance, leave: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._inherited = inherited
        self._leave = leave
        self.channel = Channel(self._told, self._orphaned)
        self._service: LollyService | None = None
        self._following: Following | None = None
        self._shares: Shares | None = None
        self._reach: Reach | None = None
        self._sockets: dict[str, dict[int, socket.socket]] = {}
        self._lent: frozenset[str] = frozenset()
        self._tally = Tally()
        self._exemplars = ExemplarNews()
        self._count_at = 0.0
        self._traced = 0
        self._ending = False
        self._outbox = Outbox(reactor, self._send_seen)
        self._beating = LoopingCall(self._beat)
        self._beating.clock = reactor
        self._looking = LoopingCall(self._look_for_room)
        self._looking.clock = reactor

    # -- from the supervisor

    def _told(self, message: Message, descriptors: list[int]) -> None:
        kind = message["t"]
        if kind == "begin":
            self._begin(message, descriptors)
        elif kind == "facts":
            self._follow(message["facts"])
        elif kind == "staples" and self._service is not None:
            self._service.commons.staples.take(message["staples"])
        elif kind == "adopt":
            self._adopt(message, descriptors)
        elif kind == "leave":
            self._leave_slots(message["slot"])
        elif kind == "prepare":
            self._prepare(message, descriptors)
        elif kind == "commit":
            self._commit(message)
        elif kind == "forget" and self._following is not None:
            self._following.forget()
        elif kind == "cut":
            self._cut(message["pool"], message["target"])
        elif kind == "listener":
            self._hear_of_listener(message["word"], message["name"])
        elif kind == "purge":
            self._purge(message)
        elif kind == "network" and self._service is not None:
            self._service.commons.health_map.records.hold(message["lost"])
        elif kind in ("connectors", "hop") and self._reach is not None:
            self._reach.heard(message, descriptors)
        elif kind == "reopen":
            self._reopen()
        elif kind == "stop":
            if self._service is not None:
                if message.get("replaced"):
                    self._service.retire()
                self._service.patient = message["patient"]
            self.stop(last=message["last"])
        elif kind == "hurry" and self._service is not None:
            self._service.hurry()

    def _begin(self, message: Message, descriptors: list[int]) -> None:
        """Build, listen, and say so; or say why not, and end."""
        number = self._inherited.number
        self._take_slots(message, descriptors)
        try:
            service = self._service = self._built(message)
            service.listeners.resting.update(message["resting"])
            self._follow(message["facts"])
            service.commons.staples.take(message["staples"])
            service.commons.health_map.records.hold(message.get("lost", False))
            self._purge_of(service, message.get("purges", ()))
            self._reach_siblings(service.config, message.get("connectors", {}))
            collect_garbage()
            service.privilegedStartService()
            service.startService()
        except Exception as error:
            self.log.failure("Worker {number} cannot start", number=number)
            why = f"{type(error).__name__}: {error}"
            self.channel.send({"t": "failed", "why": why})
            self.channel.close()
            self._reactor.callLater(0.1, self._leave)
            return
        finally:
            self._close_slots()
        make_room()
        loop_first()
        settle_memory()
        self._beating.start(BEAT_SECONDS, now=True)
        self._look_where_it_is_needed()
        self.channel.send({"t": "ready", "pid": os.getpid()})

    def _take_slots(self, message: Message, descriptors: Sequence[int]) -> None:
        """The sockets of listeners that are to be listened on."""
        self._lent = frozenset(message["lent"])
        own, workers = self._inherited.number - 1, self._inherited.workers
        self._sockets.update(by_slot(own, workers, message["listeners"], descriptors))

    def _close_slots(self) -> None:
        """Whoever listens on them has copies."""
        for one in self._sockets.values():
            for listening in one.values():
                listening.close()
        self._sockets.clear()

    def _built(self, message: Message) -> LollyService:
        inherited = self._inherited

        def ports(listener: str, view: Any) -> Any:
            sockets = self._sockets.get(listener, {})
            return AdoptingReactor(view, sockets, lent=listener in self._lent)

        tapes = inherited.shared.tapes(inherited.mapped)
        service = build(
            self._reactor,
            of_worker(inherited.config, inherited.workers),
            events=_Nobody(),
            registry=inherited.registry,
            stdout=LogFile("-", whole_lines=True),
            part=Part(
                ports,
                message["hop"].encode(),
                Elsewhere,
                admin=False,
                number=inherited.number,
                tape=tapes[inherited.number - 1] if tapes else None,
            ),
        )
        cells = inherited.shared.cells(inherited.mapped)
        self._shares = Shares(cells, inherited.workers, inherited.number - 1)
        self._shares.learn(message["rows"])
        for pool in service.pools.values():
            self._join(pool)
        service.commons.local_faults.elsewhere = lambda words: self.channel.send(
            {"t": "short", "words": words}
        )
        self._following = Following(service, self._join)
        return service

    def _join(self, pool: Pool) -> None:
        """A pool is to be served with the others."""
        if self._shares is not None:
            hold_together(pool, self._shares)
        self._outbox.watch(pool)

    def _prepare(self, message: Message, descriptors: Sequence[int]) -> None:
        """Make ready for other settings, and say whether that is done."""
        following, shares = self._following, self._shares
        self._take_slots(message, descriptors)
        if following is None or shares is None or self._ending:
            self._close_slots()
            return
        shares.learn(message["rows"])

        def unpack() -> Config:
            config = of_worker(unpacked(message["config"]), self._inherited.workers)
            import_ahead(config)
            return config

        def follow(config: Config) -> Deferred[None]:
            self._reach_siblings(config, {})
            return following.prepare(config)

        # In a thread, for clients are served meanwhile.
        reactor = self._reactor
        preparing: Deferred[Any] = deferToThreadPool(
            reactor, reactor.getThreadPool(), unpack
        )
        preparing.addCallback(follow)
        preparing.addBoth(self._cb_prepared)

    def _reach_siblings(self, config: Config, connectors: Mapping[str, Any]) -> None:
        """Where there are tunnels; `connectors`: of each sibling."""
        if self._reach is None and self._service is not None:
            if config.tunnels or config.connectors:
                from lolly_tx.service.workers.siblings import (
                    Reach,  # few have use for it
                )

                own = self._inherited.number
                self._reach = Reach(self._service, self.channel, own)
                self._reach.begin(connectors)

    def _cb_prepared(self, result: Failure | None) -> None:
        self._close_slots()
        why = "" if result is None else result.getErrorMessage() or repr(result.value)
        self.channel.send({"t": "prepared", "why": why})

    def _commit(self, message: Message) -> None:
        """What was prepared is in force."""
        following = self._following
        try:
            if following is not None:
                following.commit()
        except Exception:
            self.log.failure("Other settings are only partly in force: ending")
            self.stop()
            return
        self._follow(message["facts"])
        self.channel.send({"t": "committed"})
        self._look_where_it_is_needed()

    def _look_where_it_is_needed(self) -> None:
        """Somebody may wait for room that another process makes."""
        service = self._service
        pools = service.running_pools.values() if service is not None else ()
        waiting = any(one.forwarder.policy.room is not None for one in pools)
        if waiting and not self._looking.running:
            self._looking.start(TOGETHER_SECONDS, now=False)

    def _follow(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        service = self._service
        if service is None:
            return
        now = service.now()
        for pool_name, nodes in facts.items():
            pool = service.pools.get(pool_name)
            if pool is None:
                continue
            for node_id, said in nodes.items():
                follow(pool, node_id, Facts.from_dict(said), now)

    def _ports(self) -> dict[str, AdoptedPort]:
        service = self._service
        if service is None:
            return {}
        places = service.listeners.places.items()
        return {n: p.port for n, p in places if isinstance(p.port, AdoptedPort)}

    def _adopt(self, message: Message, descriptors: Sequence[int]) -> None:
        ports, workers = self._ports(), self._inherited.workers
        found = by_slot(message["slot"], workers, message["listeners"], descriptors)
        for name, slots in found.items():
            for slot, one in slots.items():
                with one:
                    if name in ports and not self._ending:
                        ports[name].adopt(slot, one)

    def _leave_slots(self, first: int) -> None:
        """A sibling accepts on its own again."""
        workers = self._inherited.workers
        for port in self._ports().values():
            for slot in port.slots:
                if slot % workers == first:
                    port.leave(slot)

    def _cut(self, pool_name: str, target: str) -> None:
        """The deadline of a drain has passed."""
        service = self._service
        pool = None if service is None else service.pools.get(pool_name)
        node = None if pool is None else pool.nodes.get(target)
        if service is not None and node is not None:
            service.cut(pool_name, node)

    def _purge(self, message: Message) -> None:
        """Drop what caches have of what it names, and say so."""
        number = message["number"]
        if self._service is None:
            self._have_purged(0, number)
        else:
            done = self._purge_of(self._service, message["purges"])
            done.addCallback(self._have_purged, number)

    def _purge_of(
        self, service: LollyService, words: Sequence[Mapping[str, Any]]
    ) -> Deferred[int]:
        return service.middlewares.purge([purging.heard(one) for one in words])

    def _have_purged(self, count: int, number: int) -> None:
        self.channel.send({"t": "purged", "number": number, "count": count})

    def _hear_of_listener(self, word: str, name: str) -> None:
        """The operator's word; who stops has nothing to open again."""
        if self._service is None or self._ending:
            return
        try:
            carry_out(self._service.listeners, word, name)
        except CannotListen as error:
            self.log.error("Listener {name}: {error}", name=name, error=error)

    def _reopen(self) -> None:
        if self._service is not None:
            try:
                self._service.reopen_logs()
            except NotReopened as failed:
                for error in failed.errors:
                    self.log.error("The log stays as it is: {error}", error=error)

    # -- to the supervisor

    def _send_seen(self, entries: list[Any]) -> None:
        self.channel.send({"t": "seen", "entries": entries})

    def _beat(self) -> None:
        service = self._service
        if service is None:
            return
        changes: dict[str, Number] = {}
        began = self._reactor.seconds()
        if began >= self._count_at or self._ending:
            try:
                changes = self._tally.changes(numbers_of(service))
            except Exception:
                self.log.failure("Counting failed")
            took = self._reactor.seconds() - began
            self._count_at = began + COUNTING_PAUSE * took
        ages = {n: a.oldest_seconds for n, a in service.acceptors.items() if a.doors}
        self.channel.send({"t": "beat", "numbers": changes, "oldest": ages})
        if self._reach is not None:
            self._reach.beat()
        traces = service.traces
        if traces is not None and traces.count > self._traced:
            fresh = traces.latest()[-(traces.count - self._traced) :]
            self._traced = traces.count
            self.channel.send({"t": "traces", "traces": fresh})
        if service.config.trace is not None:
            exemplars = self._exemplars.changes(service.counters)
            if exemplars:
                self.channel.send({"t": "exemplars", "exemplars": exemplars})

    def __call__(self, event: LogEvent) -> None:
        """A line of this process, for the log of all."""
        text = formatEvent(event)
        if event.get("log_failure") is not None:
            text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        level = event.get("log_level", LogLevel.info).name
        name = event.get("log_namespace", "-")
        if self.channel.open:
            line = {"t": "log", "level": level, "name": name, "text": text}
            self.channel.send(line)
        elif level != "debug":
            os.write(2, f"worker {self._inherited.number}: {text}\n".encode())

    # -- what waits for other processes

    def _look_for_room(self) -> None:
        """A lease of another process may have ended, and somebody here waits for its room."""
        service = self._service
        for one in service.running_pools.values() if service is not None else ():
            room = one.forwarder.policy.room
            if room is not None and room.occupied:
                room.admit(one.forwarder.now())

    # -- the end

    def _orphaned(self) -> None:
        if self._ending:
            return
        self.log.error(
            "The supervisor is gone: serving on with what it said last for {seconds:g} s",
            seconds=ORPHAN_SECONDS,
        )
        self._reactor.callLater(ORPHAN_SECONDS, self.stop, last=True)

    def stop(self, *, last: bool = False) -> None:
        """Accept nothing more and end when all is answered. `last`: nobody else will accept on the slots either."""
        if self._ending:
            return
        self._ending = True
        self.channel.send({"t": "leaving"})
        service = self._service
        if service is None:
            self._leave()
            return
        if last:
            for port in self._ports().values():
                port.call_last()
        stopped: Deferred[Any] = service.stopService()
        stopped.addErrback(partial(self.log.failure, "Stopping failed"))
        stopped.addBoth(self._cb_stopped)

    def _cb_stopped(self, _: object) -> None:
        if self._following is not None:
            self._following.stop()
        if self._reach is not None:
            self._reach.stop()
        self._outbox.flush()
        self._beat()
        for loop in (self._beating, self._looking):
            if loop.running:
                loop.stop()
        self.channel.send({"t": "stopped"})
        self.channel.close()
        # What was sent goes out in the next rounds of the reactor.
        self._reactor.callLater(0.05, self._leave)

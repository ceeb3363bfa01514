"""The process that owns the listening sockets, probes, judges and shows, while others serve.

    LollyService (listens in slots, checks, admin) --facts--> workers --what they saw, numbers--> LollyService

It has the pools of the settings like any other service, with their checks, agents and passive policies; what workers
see is judged by the same code as what it would see itself. What follows for a target is told to all workers as soon as
it is a fact, and what they count is shown by the same pools.

Imports: config, domain, net.sockets, service, Twisted. Used by: service.several, tap.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, LogLevel

from lolly_tx.config.model import Config
from lolly_tx.domain.shares import CELL_BYTES, Shares
from lolly_tx.domain.tallies import Totals
from lolly_tx.domain.together import shared_names
from lolly_tx.net.sockets.slots import SlotPort
from lolly_tx.service.bulletin import Bell, Bulletin
from lolly_tx.service.channel import Message
from lolly_tx.service.counting import COUNTING_PAUSE, GAUGES, filled_in, show, worked
from lolly_tx.service.crew import Crew
from lolly_tx.service.evidence import hear
from lolly_tx.service.generation import Refused
from lolly_tx.service.listening import Place
from lolly_tx.service.parcel import CannotPack, packed
from lolly_tx.service.rollout import Rollout
from lolly_tx.service.seats import Seat
from lolly_tx.service.service import ADMIN, LollyService

SETTLE_SECONDS = 0.05
"""How often what time has brought to targets is carried out and told."""

SPARE_ROWS = 1024
"""Room for targets that come later."""

QUEUE_SECONDS = 5.0
"""What workers have to accept who waits at a listener that is drained; where nobody accepts newcomers wait so long."""

LAST_SECONDS = 5.0
"""What workers get beyond the times of the settings before they are killed."""


class Supervisor(Service):
    """See the module.

    `service`: made to serve nobody, with `bell` among its sinks. `hop`: the name of the proxy towards itself. Raises
    `CannotPack`.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        reactor: Any,
        service: LollyService,
        bell: Bell,
        *,
        workers: int,
        hop: str,
        command: Callable[[int], Sequence[str]],
    ) -> None:
        self.service = service
        self.patient = False
        """A stop lets tunnels and downloads have `timeouts.drain`."""
        self._reactor = reactor
        self._workers = workers
        self._hop = hop
        self._packed = self._packing = packed(service.config)
        self._totals = Totals(GAUGES)
        self._oldest: dict[int, dict[str, float]] = {}
        """The ages (s) of the oldest connections at listeners, as each worker says."""
        self._fresh = False
        self._show_at = 0.0
        names = [
            name
            for pool in service.pools.values()
            for name in shared_names(pool.name, pool.nodes)
        ]
        self._bytes = (len(names) + SPARE_ROWS) * workers * CELL_BYTES
        self._memory = os.memfd_create("lolly")
        os.ftruncate(self._memory, self._bytes)
        cells = memoryview(mmap.mmap(self._memory, self._bytes)).cast("q")
        self._shares = Shares(cells, workers)
        for name in names:
            self._shares.claim(name)
        self.crew = Crew(reactor, workers, self, command)
        self._rollout = Rollout(reactor, self.crew.send)
        self._bulletin = Bulletin(
            reactor,
            service.pools,
            lambda facts: self.crew.tell({"t": "facts", "facts": facts}),
        )
        bell.heard = self._bulletin.changed
        service.commons.staples.heard = lambda news: self.crew.tell(
            {"t": "staples", "staples": news}
        )
        service.colleagues = self
        service.listener_drains.tell = self._tell_of_listener
        self._settling = LoopingCall(self._settle)
        self._settling.clock = reactor

    # -- a service

    def listen_early(self) -> None:
        """As `LollyService.listen_early`."""
        self.service.listen_early()

    def privilegedStartService(self) -> None:
        """Listen everywhere, or raise `CannotListen` and listen nowhere."""
        super().privilegedStartService()
        self.service.privilegedStartService()

    def startService(self) -> None:
        """Begin to probe, and have workers serve."""
        super().startService()
        self.service.startService()
        self.crew.start()
        self._settling.start(SETTLE_SECONDS, now=False)

    def stopService(self) -> Deferred[None]:
        """Let the workers end what they do, and stop."""
        super().stopService()
        self.service.draining = True
        self.service.listener_drains.stop()
        times = self.service.config.timeouts
        seconds = times.lame_duck + (times.drain if self.patient else times.shutdown)
        self.service.stopping.announce(seconds)
        stopped = self.crew.stop(seconds + LAST_SECONDS, self.patient)
        return stopped.addCallback(self._cb_stopped)

    def _cb_stopped(self, _: object) -> Deferred[None]:
        if self._settling.running:
            self._settling.stop()
        self._bulletin.stop()
        self.service.stopping.conclude()
        return self.service.stopService()

    def reopen_logs(self) -> None:
        """After the log files were renamed: all processes go on in new ones."""
        self.crew.tell({"t": "reopen"})
        self.service.reopen_logs()

    def kill(self) -> None:
        """End all workers at once: the process does not wait for them."""
        self.crew.kill()

    # -- what the crew needs

    def settings(self) -> tuple[Message, Sequence[int]]:
        """For the template."""
        said = {
            "t": "settings",
            "config": self._packed,
            "bytes": self._bytes,
            "workers": self._workers,
            "reactor": type(self._reactor).__module__,
        }
        return said, [self._memory]

    def beginning(self, number: int) -> tuple[Message, Sequence[int]]:
        """For a new worker: all that was decided so far, and its slots."""
        names, descriptors = self.slots(number)
        said = {
            "t": "begin",
            "hop": self._hop,
            "rows": self._shares.rows,
            "facts": self._bulletin.whole(self.service.now()),
            "staples": self.service.commons.staples.whole(),
            "listeners": names,
            "lent": _lent(_slot_ports(self.service.listeners.places)),
            "resting": sorted(self.service.listeners.resting),
        }
        return said, descriptors

    def slots(self, number: int) -> tuple[list[str], list[int]]:
        """One slot of each listener."""
        ports = _slot_ports(self.service.listeners.places)
        fds = [port.sockets[number - 1].fileno() for port in ports.values()]
        return list(ports), fds

    def heard(self, seat: Seat, message: Message) -> None:
        """What a worker says."""
        kind = message["t"]
        if kind == "beat":
            self._oldest[seat.number] = message["oldest"]
            if message["numbers"]:
                self._totals.heard(seat.number, message["numbers"])
                self._fresh = True
        elif kind == "seen":
            for node in hear(self.service.pools, message["entries"]):
                self._bulletin.changed(node.pool.name, node.id)
        elif kind == "prepared":
            self._rollout.heard(seat, message["why"])
        elif kind == "committed":
            self._rollout.committed(seat)
        elif kind == "log":
            self._say(seat, message)
        elif kind == "traces" and self.service.traces is not None:
            for trace in message["traces"]:
                self.service.traces.take(trace)

    def _say(self, seat: Seat, message: Message) -> None:
        level = LogLevel.lookupByName(message["level"])
        Logger(namespace=message["name"]).emit(
            level, "worker {worker}: {text}", worker=seat.number, text=message["text"]
        )

    def lost(self, seat: Seat) -> None:
        """What a worker counted stays, what it held is free."""
        self._rollout.lost(seat)
        self._totals.ended(seat.number)
        self._oldest.pop(seat.number, None)
        self._fresh = True
        self._shares.clear(seat.number - 1)

    def cut(self, pool: str, target: str) -> None:
        """Have the workers end what they have open to a target, once they know that it is down."""
        message = {"t": "cut", "pool": pool, "target": target}
        self._reactor.callLater(0, self.crew.tell, message)

    def _tell_of_listener(self, word: str, name: str) -> None:
        """Have the workers carry out the operator's word about a listener."""
        self.crew.tell({"t": "listener", "word": word, "name": name})
        if word == "rest":
            self._reactor.callLater(QUEUE_SECONDS, self._refuse, name)

    def _refuse(self, name: str) -> None:
        """The workers have taken who waited by now; where nobody accepted, nobody does."""
        place = self.service.listeners.places.get(name)
        if place is not None and isinstance(place.port, SlotPort):
            place.port.refuse()

    # -- other settings

    def prepare(self, config: Config) -> Deferred[None]:
        """Have the workers make ready for `config`, which is prepared here. Errbacks with `Refused`."""
        try:
            self._packing = packed(config)
        except CannotPack as error:
            return fail(Refused([str(error)]))
        for name, pool in config.pools.items():
            for row in shared_names(name, [target.id for target in pool.targets]):
                if not self._shares.claim(row):
                    said = "there is no shared memory left for more targets: restart"
                    return fail(Refused([said]))
        ports = _slot_ports(self.service.listeners.prepared)
        message = {
            "t": "prepare",
            "config": self._packing,
            "rows": self._shares.rows,
            "listeners": list(ports),
            "lent": _lent(ports),
        }

        def slots(number: int) -> list[int]:
            return [port.sockets[number - 1].fileno() for port in ports.values()]

        return self._rollout.prepare(self.crew.manned, message, slots)

    def commit(self) -> Deferred[tuple[int, ...]]:
        """The settings that were prepared are in force; fires when they are so everywhere, or soon after."""
        self._packed = self._packing
        self.crew.settings_changed()
        facts = self._bulletin.whole(self.service.now())
        return self._rollout.commit(self.crew.manned, {"t": "commit", "facts": facts})

    def forget(self) -> None:
        """They are not to be."""
        self._rollout.forget()

    # -- what time brings

    def _settle(self) -> None:
        """One look. Must not raise: a LoopingCall never runs again after that."""
        try:
            now = self.service.now()
            for name, pool in self.service.pools.items():
                pool.available(now)
                for node in pool.nodes.values():
                    if node.ejection != "up":
                        self._bulletin.changed(name, node.id)
            if self._fresh and now >= self._show_at:
                self._fresh = False
                show(self.service, self._totals)
                took = self.service.now() - now
                self._show_at = now + COUNTING_PAUSE * took
        except Exception:
            self.log.failure("Settling failed")

    # -- what the admin side asks

    @property
    def serving(self) -> bool:
        """At least one worker serves."""
        return bool(self.crew.serving)

    def ailing(self) -> list[str]:
        """The workers that do not serve."""
        return self.crew.ailing()

    def connections(self, listener: str) -> tuple[int, float | None]:
        """At a listener in all workers."""
        ages = [one[listener] for one in self._oldest.values() if listener in one]
        number = int(self._totals[f"listeners/{listener}/open"])
        return number, max(ages, default=None) if number else None

    def in_flight(self, pools: Iterable[str]) -> int:
        """Exchanges that are not over, in all workers."""
        return sum(int(self._totals[f"pools/{name}/in_flight"]) for name in pools)

    def statistics(self, told: dict[str, Any]) -> dict[str, Any]:
        """The counters of all workers together, and of each how it is."""
        found = filled_in(told, self._totals)
        found["process"] = self._processes(told["process"])
        found["workers"] = [
            {**one, **worked(self._totals.of(one["worker"]))}
            for one in self.crew.shown()
        ]
        return found

    def _processes(self, own: dict[str, Any]) -> dict[str, Any]:
        """All of them: what was used in all, and the worst that is now."""
        totals, found = self._totals, dict(own)
        for word in ("cpu_seconds", "stalls"):
            found[word] += totals[f"process/{word}"]
        for kind in ("log_lines", "spans"):
            found[kind] = {
                word: number + totals[f"process/{kind}/{word}"]
                for word, number in own[kind].items()
            }
        for seat in self.crew.seats:
            worst = totals.of(seat.number).get("process/stall_seconds", 0.0)
            found["stall_seconds"] = max(found["stall_seconds"], worst)
        return found


def _slot_ports(places: Mapping[str, Place]) -> dict[str, SlotPort]:
    """Where clients of the proxy are listened for, by listener."""
    return {
        name: place.port
        for name, place in places.items()
        if name != ADMIN and isinstance(place.port, SlotPort)
    }


def _lent(ports: Mapping[str, SlotPort]) -> list[str]:
    """The listeners whose sockets are somebody else's, to go on when we end."""
    return [name for name, port in ports.items() if port.is_lent]

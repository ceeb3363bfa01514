"""The process that owns the listening sockets, probes, judges and shows, while others serve.

    LollyService (listens in slots, checks, admin) --facts--> workers --what they saw, numbers--> LollyService

It has the pools of the settings like any other service, with their checks, agents and passive policies; what workers
see is judged by the same code as what it would see itself. What follows for a target is told to all workers as soon as
it is a fact, and what they count is shown by the same pools.

It is long because it is the other end of what `service.workers.worker` says, and stands in for the workers wherever
the service asks.

Imports: config, domain, domain.shared, net.sockets, service, service.records,
service.workers, Twisted. Used by: service.upgrades, service.workers.several, tap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, LogLevel

from lolly_tx.config.model import Config
from lolly_tx.domain.shared.tallies import Number, Totals
from lolly_tx.domain.shared.together import shared_names
from lolly_tx.domain.shares import CELL_BYTES, Shares
from lolly_tx.domain.tape import Tape
from lolly_tx.net.sockets.slots import SlotPort
from lolly_tx.service.generation import Refused
from lolly_tx.service.records.exemplars import take_exemplars
from lolly_tx.service.service import LollyService
from lolly_tx.service.workers.bulletin import Bell, Bulletin
from lolly_tx.service.workers.channel import Message
from lolly_tx.service.workers.counting import (
    COUNTING_PAUSE,
    GAUGES,
    counted_alone,
    filled_in,
    show,
    worked,
)
from lolly_tx.service.workers.crew import Crew
from lolly_tx.service.workers.evidence import hear
from lolly_tx.service.workers.parcel import CannotPack, packed
from lolly_tx.service.workers.purges import Purges
from lolly_tx.service.workers.rehearsal import rehearse
from lolly_tx.service.workers.rollout import Rollout
from lolly_tx.service.workers.seats import Seat
from lolly_tx.service.workers.sharedmemory import SharedMemory
from lolly_tx.service.workers.slotting import lent, opened, slot_ports

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.workers.siblings import Switchboard

SETTLE_SECONDS = 0.05
"""How often what time has brought to targets is carried out and told."""

SPARE_ROWS = 131_072
"""Room for targets that come later, two or three rows each. What is not used takes addresses and no memory."""

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
        self._replaced = False
        self._reactor = reactor
        self._workers = workers
        self._hop = hop
        self._command = command
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
        recorder = service.config.recorder
        shared = SharedMemory(
            (len(names) + SPARE_ROWS) * workers * CELL_BYTES,
            recorder.size if recorder is not None else 0,
            workers,
        )
        self._shared, self._memory = shared, shared.made()
        mapped = shared.mapped(self._memory)
        self._shares = Shares(shared.cells(mapped), workers)
        if service.dumps is not None:
            service.dumps.tapes += tuple(map(Tape, shared.tapes(mapped)))
        for name in names:
            self._shares.claim(name)
        self.crew = Crew(reactor, workers, self, command)
        self._rollout = Rollout(reactor, self.crew.send)
        self._purges = Purges(reactor, self.crew.send, self.crew.seats)
        service.purging = self._purges.purge
        self._switchboard: Switchboard | None = None
        self._connect(service.config)
        self._bulletin = Bulletin(
            reactor,
            service.pools,
            lambda facts: self.crew.tell({"t": "facts", "facts": facts}),
        )
        bell.heard = self._bulletin.changed
        service.commons.staples.heard = lambda news: self.crew.tell(
            {"t": "staples", "staples": news}
        )
        service.commons.local_faults.on_change.append(
            lambda lost: self.crew.tell({"t": "network", "lost": lost})
        )
        service.colleagues = self
        service.listener_drains.tell = self._tell_of_listener
        self._settling = LoopingCall(self._settle)
        self._settling.clock = reactor

    def _connect(self, config: Config) -> None:
        """Workers with tunnels are to reach each other's connectors."""
        if self._switchboard is None and (config.tunnels or config.connectors):
            from lolly_tx.service.workers.siblings import (
                Switchboard,  # few have use for it
            )

            self._switchboard = Switchboard(self.service, self.crew)

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
        seconds = times.drain if self.patient else times.shutdown
        if not self._replaced:
            seconds += times.lame_duck
        self.service.stopping.announce(seconds)
        stopped = self.crew.stop(seconds + LAST_SECONDS, self.patient, self._replaced)
        if self._replaced:
            # Others judge and show by now.
            self._judge_no_more()
            ended = self.service.stopService()
            stopped.addCallback(lambda _: self.service.stopping.conclude())
            return stopped.addCallback(lambda _: ended)
        return stopped.addCallback(self._cb_stopped)

    def _cb_stopped(self, _: object) -> Deferred[None]:
        self._judge_no_more()
        self.service.stopping.conclude()
        return self.service.stopService()

    def _judge_no_more(self) -> None:
        if self._settling.running:
            self._settling.stop()
        self._bulletin.stop()
        if self._switchboard is not None:
            self._switchboard.stop()

    def reopen_logs(self) -> None:
        """After the log files were renamed: all processes go on in new ones."""
        self.crew.tell({"t": "reopen"})
        self.service.reopen_logs()

    # -- an upgrade

    def rehearse(self) -> str:
        """Why no worker could be made by these settings, "" when some could. Blocks while a template loads them."""
        return rehearse(self._command, *self.settings())

    def count_on(self, numbers: Mapping[str, Number] | None) -> None:
        """So much was counted before, by workers that have ended since; None: by one process, and `service` has it."""
        if numbers is None:
            self.service.colleagues = None
            numbers = counted_alone(self.service)
            self.service.colleagues = self
        self._totals.heard("before", numbers)
        self._totals.ended("before")
        self._fresh = True

    def parted(self) -> None:
        """We are in a copy of the process whose children ours are."""
        self.crew.parted()

    def retire(self) -> None:
        """Others serve in our place: a stop takes its time for those who are there, and for nobody else."""
        self.patient = self._replaced = True
        self.service.retire()

    def hurry(self) -> None:
        """A stop that is under way has no more than `timeouts.shutdown` from now on."""
        self.crew.hurry(self.service.config.timeouts.shutdown + LAST_SECONDS)
        self.service.hurry()

    def kill(self) -> None:
        """End all workers at once: the process does not wait for them."""
        self.crew.kill()

    # -- what the crew needs

    def settings(self) -> tuple[Message, Sequence[int]]:
        """For the template."""
        said = {
            "t": "settings",
            "config": self._packed,
            "memory": attrs.asdict(self._shared),
            "reactor": type(self._reactor).__module__,
        }
        return said, [self._memory]

    def beginning(self, number: int) -> tuple[Message, Sequence[int]]:
        """For a new worker: all that was decided so far, and its slots."""
        names, descriptors = opened(self.service.listeners.places, number)
        said = {
            "t": "begin",
            "hop": self._hop,
            "rows": self._shares.rows,
            "facts": self._bulletin.whole(self.service.now()),
            "staples": self.service.commons.staples.whole(),
            "listeners": names,
            "lent": lent(slot_ports(self.service.listeners.places)),
            "resting": sorted(self.service.listeners.resting),
            "lost": self.service.commons.local_faults.fault.word == "network",
            "purges": self._purges.missed(number),
            "connectors": self._switchboard.connectors if self._switchboard else {},
        }
        return said, descriptors

    def slots(self, number: int) -> tuple[list[str], list[int]]:
        """One slot of each listener."""
        return opened(self.service.listeners.places, number)

    def heard(self, seat: Seat, message: Message) -> None:
        """What a worker says."""
        kind = message["t"]
        if kind == "beat":
            self._oldest[seat.number] = message["oldest"]
            if message["numbers"]:
                self._totals.heard(seat.number, message["numbers"])
                self._fresh = True
        elif kind == "seen" and not self._replaced:
            for node in hear(self.service.pools, message["entries"]):
                self._bulletin.changed(node.pool.name, node.id)
        elif kind == "prepared":
            self._rollout.heard(seat, message["why"])
        elif kind == "committed":
            self._rollout.committed(seat)
        elif kind == "purged":
            self._purges.heard(seat, message["number"], message["count"])
        elif kind == "short":
            self.service.commons.local_faults.short(message["words"])
        elif kind == "log":
            self._say(seat, message)
        elif kind == "exemplars":
            take_exemplars(self.service.counters, message["exemplars"])
        elif kind == "traces" and self.service.traces is not None:
            for trace in message["traces"]:
                self.service.traces.take(trace)
        elif kind in ("connectors", "tunnels", "hopped") and self._switchboard:
            self._switchboard.heard(seat, message)

    def passed(self, seat: Seat, message: Message, descriptors: list[int]) -> None:
        """A worker wants to reach another one."""
        if self._switchboard is not None:
            self._switchboard.passed(message, descriptors)

    def _say(self, seat: Seat, message: Message) -> None:
        level = LogLevel.lookupByName(message["level"])
        Logger(namespace=message["name"]).emit(
            level, "worker {worker}: {text}", worker=seat.number, text=message["text"]
        )

    def lost(self, seat: Seat) -> None:
        """What a worker counted stays, what it held is free."""
        self._rollout.lost(seat)
        self._purges.lost(seat)
        if self._switchboard is not None:
            self._switchboard.lost(seat)
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
        wanted = [
            row
            for name, pool in config.pools.items()
            for row in shared_names(name, [target.id for target in pool.targets])
        ]
        running = self.service.pools.values()
        self._shares.keep(
            {
                *wanted,
                *(row for one in running for row in shared_names(one.name, one.nodes)),
                *(
                    row
                    for one in running
                    for row in shared_names(one.name, one.departed)
                ),
            }
        )
        for row in wanted:
            if not self._shares.claim(row):
                said = "there is no shared memory left for more targets: restart"
                return fail(Refused([said]))
        self._connect(config)
        ports = slot_ports(self.service.listeners.prepared)
        message = {
            "t": "prepare",
            "config": self._packing,
            "rows": self._shares.rows,
            # These are new, so every worker has one slot of each.
            "listeners": list(ports),
            "lent": lent(ports),
        }

        def slots(number: int) -> list[int]:
            return [fd for port in ports.values() for fd in port.open(number)]

        return self._rollout.prepare(self.crew.manned, message, slots)

    def commit(self) -> Deferred[tuple[int, ...]]:
        """The settings that were prepared are in force; fires when they are so everywhere, or soon after."""
        self._packed = self._packing
        self.crew.settings_changed()
        facts = self._bulletin.committed(self.service.now())
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

    def counted(self) -> Mapping[str, Number]:
        """All that workers have counted so far; targets show it, too."""
        show(self.service, self._totals)
        return self._totals.counted()

    def statistics(self, told: dict[str, Any]) -> dict[str, Any]:
        """The counters of all workers together, and of each how it is."""
        found = filled_in(told, self._totals)
        if self._switchboard is not None:
            found.update(self._switchboard.statistics())
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

"""Watches whether it is this machine that has lost the network, and has the pools believe so.

    pools: failures, checks, rechecks --> LocalFault --verdict--> held ejections, what fell is restored, an event
             ^                              |
             +---- asking around, canaries --+

Nothing runs until somebody is silent, but for the canaries. From then on, every `TICK_SECONDS`: who served requests
meanwhile was heard, hosts of networks without news are asked by a connect (a refusal is news as well), and a verdict
is come to (`domain.local_fault`). A process that leaves judging to another one has none of this.

It is long because the round of these is one thing: what is asked, heard, judged and undone is of one moment.

Imports: config, domain, domain.checks, net.checks, net.sockets, service,
service.checks, Twisted. Used by: service, service.stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.local_fault import LocalFault as Settings
from lolly_tx.domain.addresses import DOWN
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import OutOfResources, ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink, IHealthCheck
from lolly_tx.domain.local_fault import LocalFault, LocalFaultLimits
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target, speaks_datagrams
from lolly_tx.net.checks.kinds import CheckKinds
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.service.checks.quorum import Ballot
from lolly_tx.service.surroundings import Surroundings

TICK_SECONDS = 0.25
"""From one look to the next, while there is something to look for."""

ASK_SECONDS = 1.0
"""From one round of asking around to the next, and how long a connect of one may take."""

ASKED = 3
"""Hosts of one network that are asked in a round: some may be dead themselves."""

AT_ONCE = 64
"""Connects in flight."""


_EARLIER = 1e-6
"""What was heard in the moment of a failure may have been on its way before."""


class _Seen:
    """What was seen of a node: how often it did well by the last look, and where it is."""

    __slots__ = ("good", "host", "network")

    def __init__(self, good: int, network: str, host: str) -> None:
        self.good = good
        self.network = network
        self.host = host


class LocalFaults:
    """The watch of a process (`domain.local_fault.Witness`). `count`: local faults so far."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        around: Surroundings,
        health_map: HealthMap,
        kinds: CheckKinds,
        events: IEventSink,
        settings: Settings | None = None,
    ) -> None:
        self.count = 0
        self.on_change: list[Callable[[bool], None]] = []
        """Called when the network is lost (True) or there again."""
        self.elsewhere: Callable[[str], None] | None = None
        """Who judges in place of this, and is told what this process has run out of; None: nobody."""
        self.settings = settings or Settings()
        self.fault = LocalFault(_limits(self.settings))
        self._clock = around.reactor
        self._now = around.now
        self._random = around.random
        self._events = events
        self._map = health_map
        self._make = lambda: kinds.reach(
            around.reactor,
            ASK_SECONDS,
            now=around.now,
            dialer=health_map.dialer(worst=DOWN),
        )
        self._check: IHealthCheck | None = None
        self._pools: dict[Pool, Ballot | None] = {}
        self._seen: WeakKeyDictionary[Node, _Seen] = WeakKeyDictionary()
        self._targets: dict[str, Target] = {}
        self._asking: dict[object, Deferred[Any]] = {}
        self._ask_at = self._canaries_at = self._told_at = float("-inf")
        self._looked_at = 0.0
        self._loop: LoopingCall | None = None
        self._started = False

    # -- life

    @property
    def watches(self) -> bool:
        """Whether local faults are looked for at all."""
        return self.settings.hosts > 0

    def start(self) -> None:
        """Ask the canaries from now on."""
        self._started = True
        if self.settings.canaries:
            self._wake()

    def stop(self) -> None:
        """Ask nobody any more; no timer is left."""
        self._started = False
        self._rest()
        asking, self._asking = self._asking, {}
        for one in asking.values():
            one.cancel()

    def go_by(self, settings: Settings) -> None:
        """Go by other settings; what was seen stays."""
        self.settings = settings
        self.fault.limits = _limits(settings)
        self.fault.keep((pool.name for pool in self._pools), settings.canaries)
        for pool in self._pools:
            self._attend(pool)
        if not self.watches:
            self._judge(self._now())
        if self._started and settings.canaries:
            self._wake()

    def join(self, pool: Pool, ballot: Ballot | None = None) -> None:
        """`pool` serves. `ballot`: of its checks, where there are several."""
        self._pools[pool] = ballot
        self._attend(pool)

    def leave(self, pool: Pool) -> None:
        """It does not any more."""
        self._pools.pop(pool, None)
        pool.roster.witness = None
        self.fault.forget(pool.name)

    def _attend(self, pool: Pool) -> None:
        attends = self.watches or self.elsewhere is not None
        pool.roster.witness = self if attends else None

    # -- what pools tell (`domain.local_fault.Witness`)

    def failed(self, node: Node, error: ProxyError, now: float) -> None:
        """An attempt, a check or a connect of our own failed at `node`."""
        if not self.watches:
            return
        if error.silent:
            seen = self._seen_of(node)
            if seen.network:
                self.fault.silent(
                    seen.network,
                    seen.host,
                    node.pool.name,
                    error.detail,
                    now,
                    error.ours,
                )
                self._wake()
        elif error.heard:
            self.heard(node, now)

    def heard(self, node: Node, now: float) -> None:
        """Something came from `node`."""
        if self._loop is None and not self.fault.word:
            return  # nobody asks, and who asks later wants to know of later
        seen = self._seen_of(node)
        if seen.network:
            self.fault.heard(seen.network, node.pool.name, now)

    def holds(self, pool: str, now: float) -> str:
        """Why nobody of `pool` is to be ejected or taken down now; "" when there is no reason."""
        return self.fault.holds(pool, now)

    def short(self, words: str) -> None:
        """Something that it takes to connect has run out here, or in one of the workers."""
        now = self._now()
        if self.watches:
            self.fault.short(words, now)
            self._wake()
        elif self.elsewhere is not None and now - self._told_at >= ASK_SECONDS:
            self._told_at = now
            self.elsewhere(words)

    # -- the round

    def _wake(self) -> None:
        if self._loop is not None or not self.watches:
            return
        self._look_at_all(self._now())
        self._loop = loop = LoopingCall(self._tick)
        loop.clock = self._clock
        loop.start(TICK_SECONDS, now=False).addErrback(self._eb_bug)

    def _rest(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def _tick(self) -> None:
        """One look. Must not raise: a LoopingCall never runs again after that."""
        try:
            now = self._now()
            self._look_at_all(now)
            self._ask_canaries(now)
            if self.fault.suspected(now):
                self._ask_around(now)
            self._judge(now)
            if self.fault.word == "network":
                self._restore(now)
            canaries = self._started and self.settings.canaries
            wanted = self.fault.word or canaries or self.fault.suspected(now)
            if not (self.watches and wanted):
                self._rest()
        except Exception:
            self.log.failure("Looking for a local fault")

    def _eb_bug(self, failure: Failure) -> None:
        self.log.failure("Looking for a local fault", failure=failure)

    def _nodes(self) -> Iterator[Node]:
        for pool in self._pools:
            yield from pool.nodes.values()

    def _look_at_all(self, now: float) -> None:
        """Who did well since the last look was heard, nobody knows when, so as early as can be."""
        networks, then = set(), self._looked_at - _EARLIER
        self._looked_at = now
        for node in self._nodes():
            seen, good = self._seen.get(node), _good(node)
            if seen is None:
                seen = self._seen_of(node)
            elif good > seen.good and seen.network:
                self.fault.heard(seen.network, node.pool.name, then)
            seen.good = good
            if seen.network:
                networks.add(seen.network)
        self.fault.expect(networks)

    def _seen_of(self, node: Node) -> _Seen:
        seen = self._seen.get(node)
        if seen is None:
            network = self.network_of(node.target)
            seen = _Seen(_good(node), network, node.target.host)
            self._seen[node] = seen
        elif seen.network == seen.host:  # a name that nobody knew
            seen.network = self.network_of(node.target)
        return seen

    def network_of(self, target: Target) -> str:
        """The network that `target` is in: "10.1.2.0/24"; its name while that is not known; "" where there is none."""
        host = target.host
        if not host or host == "localhost":
            return ""
        if not _is_literal(host):
            known = self._map.resolver.known(host)
            if not known:
                return host
            host = known[0]
        if ":" in host:
            bits = ip_network(f"{host.partition('%')[0]}/64", strict=False)
            return "" if bits.is_loopback or host == "::1" else str(bits)
        return "" if host.startswith("127.") else f"{host.rpartition('.')[0]}.0/24"

    def _judge(self, now: float) -> None:
        before = self.fault.word
        if not self.fault.judge(now):
            return
        word, why = self.fault.word, self.fault.why
        lost = word == "network"
        if lost or before == "network":
            self._map.records.hold(lost)
            for tell in self.on_change:
                tell(lost)
        if before:
            self._emit(now, before, "on", "off", f"over: {why}" if not word else why)
        if word:
            self.count += 1
            said = f"{why}; ejections are held" if lost else why
            self._emit(now, word, "off", "on", said)

    def _emit(self, now: float, word: str, old: str, new: str, cause: str) -> None:
        self._events.emit(Event(now, "", word, "local_fault", old, new, cause))

    def _restore(self, now: float) -> None:
        """Whoever went out since it began, in pools where nobody is heard, was not to blame."""
        since = self.fault.since
        for pool, ballot in self._pools.items():
            why = self.fault.holds(pool.name, now)
            if not why:
                continue
            if ballot is not None:
                ballot.restore(since, now)
            pool.restore(since, why, now)

    # -- asking

    def _ask_around(self, now: float) -> None:
        if now < self._ask_at:
            return
        self._ask_at = now + ASK_SECONDS
        members: dict[str, list[Node]] = {}
        for node in self._nodes():
            seen = self._seen_of(node)
            if seen.network and not speaks_datagrams(node.target.address):
                members.setdefault(seen.network, []).append(node)
        for network in self.fault.unheard(now):
            nodes = members.get(network, [])
            if len(nodes) > ASKED:
                nodes = self._random.sample(nodes, ASKED)
            for node in nodes:
                if len(self._asking) >= AT_ONCE:
                    return
                if node not in self._asking:
                    self._ask(node, node.target, self._cb_node)

    def _ask_canaries(self, now: float) -> None:
        if not self._started or now < self._canaries_at:
            return
        self._canaries_at = now + self.settings.interval
        for name in self.settings.canaries:
            target = self._targets.get(name)
            if target is None:
                target = self._targets[name] = Target.from_url(f"tcp://{name}")
            if name not in self._asking:
                self._ask(name, target, self._cb_canary)

    def _ask(
        self, key: Any, target: Target, told: Callable[[Observation, Any], None]
    ) -> None:
        if self._check is None:
            self._check = self._make()
        asking = self._asking[key] = self._check.check(target)
        asking.addCallback(told, key)
        asking.addErrback(self._eb_nothing)
        asking.addBoth(self._cb_over, key)

    def _cb_over(self, _: object, key: object) -> None:
        self._asking.pop(key, None)

    def _eb_nothing(self, failure: Failure) -> None:
        """Cancelled, or this machine has no descriptor left: nothing was learned."""
        if failure.check(OutOfResources):
            self.short(failure.getErrorMessage())
        elif self._asking and not failure.check(ProxyError):
            self._eb_bug(failure)

    def _cb_node(self, found: Observation, node: Node) -> None:
        if node not in self._asking:
            return  # stopped
        if found.error is not None:
            self.failed(node, found.error, self._now())
        elif found.ok:
            self.heard(node, self._now())

    def _cb_canary(self, found: Observation, name: str) -> None:
        if name in self._asking and name in self.settings.canaries:
            error = found.error
            if found.ok or error is None or error.heard or error.silent:
                heard = found.ok or (error is not None and error.heard)
                self.fault.canary(name, heard, self._now())

    # -- what is shown

    def shown(self) -> dict[str, Any] | None:
        """What is the matter, as JSON-able values; None: nothing."""
        fault = self.fault
        if not fault.word:
            return None
        seconds = max(0.0, self._now() - fault.since)
        return {
            "kind": fault.word,
            "since_seconds": round(seconds, 3),
            "why": fault.why,
        }


def _limits(settings: Settings) -> LocalFaultLimits:
    return LocalFaultLimits(settings.hosts, settings.share, settings.window)


def _good(node: Node) -> int:
    """How often something good came of it."""
    stats = node.stats
    return stats.successes + stats.checks.get("success", 0)


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()

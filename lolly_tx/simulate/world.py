"""The simulated world: one clock, one queue of events, and the production pool in it.

    arrivals --+                     +--> Journey --> pool, retry, budget
               +--> queue of events -+
    answers ---+    and Clock timers +--> HealthChecker, deadlines

Requests live on the queue and cost no Deferred and no timer. Production code that needs
a reactor (the checker, the waiting room) gets a `task.Clock`, which is only moved when one
of its timers is due or an event happens.

Imports: config, domain, domain.access, net, net.sockets, proxy, proxy.streams, service,
simulate, Twisted. Used by: simulate.command, simulate.findings, simulate.replay.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, NoReturn, cast

import attrs
from twisted.internet.task import Clock

from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.node import Node
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.net.upstreams import Upstreams
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.sticky import Bonds
from lolly_tx.proxy.streams.session import Choice
from lolly_tx.service.commons import Commons
from lolly_tx.service.policies import key_of, policy_of, sticky_cookie
from lolly_tx.service.pools import make_pool
from lolly_tx.service.probing import probing
from lolly_tx.service.registry import Registry
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.simulate.conversations import Conversations
from lolly_tx.simulate.faults import NEVER
from lolly_tx.simulate.journey import Journey
from lolly_tx.simulate.probes import ModelledKinds
from lolly_tx.simulate.recording import Recording
from lolly_tx.simulate.scenario import Scenario, Word, chosen
from lolly_tx.simulate.sessions import SimulatedSession
from lolly_tx.simulate.staging import Arrival, Staging, Talk, chance, staged
from lolly_tx.simulate.staying import stream_of

_Event = tuple[float, int, Callable[..., None], Any, Any]


def _no_network(target: Target) -> NoReturn:
    raise AssertionError(f"a simulation connects to nobody, not to {target.id} either")


class World:
    """Everything of one run of `staging`. `seed`: the same one gives the same run, to the byte.

    `registry`: the plugins there are; only what is built in, when it is not given.
    """

    def __init__(
        self,
        config: Config,
        settings: PoolSettings,
        scenario: Scenario,
        staging: Staging,
        seed: int = 0,
        registry: Registry | None = None,
    ) -> None:
        self.config = config
        self.settings = settings
        self.scenario = scenario
        self.seed = seed
        self.clock = Clock()
        self.now: Callable[[], float] = self.clock.seconds
        self.recording = Recording(scenario.duration)
        self.under_way: set[Journey] = set()
        """Requests that are not over."""
        self.patience = scenario.load.patience
        self.read_timeout = settings.timeout.read or scenario.duration
        self.connect_timeout = settings.timeout.connect
        self._queue: list[_Event] = []
        self._number = 0
        self.deadlines = Deadlines(self.clock, self.now)
        self.models, self.windows = staging.models, staging.windows
        self.kinds = ModelledKinds(self.models, self.schedule)
        around = Surroundings(
            self.clock, self.now, wall=self.now, random=chance(seed, "pool")
        )
        commons = Commons(
            around,
            self.deadlines,
            self.recording,
            registry=registry or Registry(),
            kinds=self.kinds,
        )
        commons.local_faults.go_by(config.local_fault)
        self.pool = pool = make_pool(settings, commons)
        self.forwarder = self._forwarder(around)
        self.streaming = staging.sessions is not None
        """Sessions of a stream of connections come in place of requests."""
        self.session_targets = staging.sessions or {}
        self.choice = Choice(self.forwarder)
        self.talk = None if staging.talk is None else self._talk(staging.talk)
        """Who sends datagrams; None: nobody."""
        # What an agent would say is not modelled.
        silent = attrs.evolve(settings, agent=None)
        apart = attrs.evolve(around, random=chance(seed, "probing"))
        self._probing = probing(silent, pool, attrs.evolve(commons, surroundings=apart))
        self.recording.nodes = lambda: pool.nodes
        if self.forwarder.policy.abandon:
            pool.on_down.append(self._node_down)
        self._arrivals = staging.arrivals
        self._probes_begin = staging.probes_begin
        for node_id in staging.down:
            pool.mark(node_id, False, "down before the beginning", 0.0)

    def _forwarder(self, around: Surroundings) -> Forwarder:
        """The one who decides over attempts; it never gets to connect."""
        settings, pool = self.settings, self.pool
        trusted = TrustedPeers(self.config.trusted_proxies)
        return Forwarder(
            pool,
            upstreams=Upstreams(_no_network),
            policy=policy_of(settings, self.deadlines, trusted),
            deadlines=self.deadlines,
            clock=self.clock,
            wall=around.wall,
            random=around.random,
            key=key_of(settings, trusted),
            sticky=sticky_cookie(settings, cast(Bonds, pool.balancer), around.wall),
        )

    def _talk(self, talk: Talk) -> Conversations:
        limits, most = self.config.limits, talk.stream.sessions
        if limits.connections_per_listener:
            most = min(most, limits.connections_per_listener)
        return Conversations(
            self,
            talk,
            self.settings.targets,
            most,
            Census(limits.connections, limits.connections_per_client),
            self.config.timeouts.drain,
        )

    # -- events

    def schedule(
        self, at: float, call: Callable[..., None], a: Any = None, b: Any = None
    ) -> None:
        """Have `call(at, a, b)` called at that time."""
        self._number = number = self._number + 1
        heappush(self._queue, (at, number, call, a, b))

    def run(self) -> Recording:
        """From the beginning until the last request is over."""
        self._probing.start(self._probes_begin)
        if self.forwarder.policy.room is not None:
            self.deadlines.start()
        for word in self.scenario.operator:
            self.schedule(word.at, self._say, word)
        self._next_arrival()
        clock, queue = self.clock, self._queue
        end = self.scenario.duration
        while True:
            calls = clock.calls
            timer = calls[0].getTime() if calls else NEVER
            if queue and queue[0][0] < timer:
                event = heappop(queue)
                at = event[0]
                if at > end and not self.under_way:
                    break
                clock.rightNow = at
                event[2](at, event[3], event[4])
            elif timer > end and not self.under_way:
                break
            else:
                clock.rightNow = timer
                clock.advance(0)
        self._probing.stop()
        self.deadlines.stop()
        self.recording.close()
        return self.recording

    def _next_arrival(self) -> None:
        arrival = next(self._arrivals, None)
        if arrival is not None:
            self.schedule(arrival.at, self._arrive, arrival)

    def _arrive(self, now: float, arrival: Arrival, _: object) -> None:
        if self.talk is not None:
            self.talk.arrive(arrival.client, now)
        elif self.streaming:
            SimulatedSession(self, arrival.client, now).arrive()
        else:
            Journey(self, arrival.client, arrival.post, now, arrival.number).arrive()
        self._next_arrival()

    def _node_down(self, node: Node, now: float) -> None:
        """Checks took `node` down: what waits there for an answer may have it elsewhere."""
        waiting = [each for each in self.under_way if each.waits_at(node)]
        for journey in sorted(waiting, key=attrgetter("started")):
            journey.abandon(node, now)

    def _say(self, now: float, word: Word, _: object) -> None:
        for target in chosen(word.on, self.settings.targets):
            self.pool.set_enabled(target.id, word.word, "operator", now)


@attrs.frozen
class Run:
    """A finished simulation."""

    world: World
    recording: Recording


def simulate(
    config: Config,
    settings: PoolSettings,
    scenario: Scenario,
    seed: int = 0,
    registry: Registry | None = None,
) -> Run:
    """Run `scenario` on the pool `settings` of `config`. `registry`: the plugins there are."""
    stream = stream_of(config, scenario.stream, settings.name)
    staging = staged(settings, scenario, seed, stream)
    world = World(config, settings, scenario, staging, seed, registry)
    return Run(world, world.run())

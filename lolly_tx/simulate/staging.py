"""What a simulated world is given: its targets, what goes wrong with them, and who asks when.

`staged` makes it of a scenario; `simulate.recorded` of a dump.

Imports: config, config.kinds, service.checks, simulate. Used by: simulate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Protocol

import attrs

from lolly_tx.config.kinds.datagrams import of_datagrams
from lolly_tx.config.model import PoolSettings
from lolly_tx.config.streams import Stream
from lolly_tx.service.checks.rounds import NOBODY
from lolly_tx.simulate.faults import Window, Windows
from lolly_tx.simulate.load import Client, arrivals
from lolly_tx.simulate.scenario import Scenario, TargetModel, chosen
from lolly_tx.simulate.sessiontargets import SessionTarget
from lolly_tx.simulate.staying import Staying
from lolly_tx.simulate.targets import Answer, ConnectTrouble, ModelledTarget


class Model(Protocol):
    """A target that stands in for a real one. Times are seconds."""

    def answer(self, now: float, probe: bool = False, number: int = 0) -> Answer:
        """What becomes of a request, of that number, or of a probe, that arrives at `now`."""

    def connect_fault(self, now: float) -> ConnectTrouble:
        """What keeps a connect from it at `now`, if anything does."""

    def retry_after(self, now: float) -> int:
        """The Retry-After that its answers carry at `now`; 0: none."""


@attrs.frozen
class Arrival:
    """A request. `post`: it may not be done twice. `number`: it has it in a recording; 0 otherwise."""

    at: float
    client: Client
    post: bool
    number: int = 0


@attrs.frozen
class Talk:
    """Clients of a stream of datagrams. `staying`: what they do; `random`: draws it."""

    stream: Stream
    staying: Staying
    random: Random


@attrs.frozen
class Staging:
    """`models`: by the id of the target. `windows`: everything that will be wrong. `arrivals`: in order.

    `down`: the ids of targets that checks had taken down before it began. `probes_begin`: when targets are checked
    first; at once those that are not in it.
    """

    models: Mapping[str, Model]
    arrivals: Iterator[Arrival]
    windows: Sequence[Window] = ()
    down: Sequence[str] = ()
    probes_begin: Mapping[str, float] = NOBODY
    sessions: Mapping[str, SessionTarget] | None = None
    """The targets as sessions of connections see them; None: requests come, or datagrams."""
    talk: Talk | None = None
    """Who sends datagrams; None: nobody."""


def chance(seed: int, purpose: str) -> Random:
    """Chance of its own for each purpose, so that one does not disturb the other."""
    return Random(f"{seed}/{purpose}")


def staged(
    settings: PoolSettings, scenario: Scenario, seed: int, stream: Stream | None = None
) -> Staging:
    """What `scenario` says of the targets of a pool. `stream`: its clients come in place of requests."""
    targets, end = settings.targets, scenario.duration
    talk = None
    if stream is not None and of_datagrams(stream.endpoint):
        talk = Talk(stream, scenario.session, chance(seed, "conversations"))
        stream = None  # its targets are asked as those of requests are
    windows = [(Windows(f, end), chosen(f.on, targets)) for f in scenario.faults]
    models: dict[str, Model] = {}
    sessions: dict[str, SessionTarget] = {}
    for target in targets:
        model = TargetModel()
        for one in scenario.targets:
            if target in chosen(one.on, targets):
                model = one
        most = model.capacity
        if stream is not None:  # there it is of those who are connected
            model = attrs.evolve(model, capacity=0)
        made = ModelledTarget(
            model,
            [w for w, struck in windows if target in struck],
            chance(seed, f"target {target.id}"),
            chance(seed, f"probes of {target.id}"),
        )
        models[target.id] = made
        if stream is not None:
            apart = chance(seed, f"sessions of {target.id}")
            idle = stream.idle_timeout
            session = SessionTarget(made, scenario.session, most, idle, apart)
            models[target.id] = sessions[target.id] = session
    found = [
        Window(target.id, start, stop, one)
        for one, struck in windows
        for target in struck
        for start, stop in one.all(end)
    ]
    return Staging(
        models,
        _arrivals(scenario, seed),
        found,
        sessions=None if stream is None else sessions,
        talk=talk,
    )


def _arrivals(scenario: Scenario, seed: int) -> Iterator[Arrival]:
    load = scenario.load
    clients = [Client(number) for number in range(load.clients)]
    draw = chance(seed, "clients").random
    for at in arrivals(load, scenario.duration, chance(seed, "arrivals")):
        client = clients[int(draw() * len(clients))]
        yield Arrival(at, client, bool(load.posts) and draw() < load.posts)

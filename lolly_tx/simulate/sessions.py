r"""Simulated sessions: the clients of a stream in place of requests.

    send -> ask the model -> up, and its client has what it came for --- its time is over --> ended
                 |                                                  \-- cut, silent ----/
                 \-> refused, too late: another target, as the pool says

Who gets which target, and what a failed connect does to it, is decided by the code that serves
(`domain.retries.attempts`, the pool). What a session does once it is up is a model: how long it lasts, and how many
bytes it moves.

Imports: domain, domain.retries, proxy.streams, simulate. Used by: simulate.world.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from lolly_tx.domain.errors import (
    ConnectRefused,
    ConnectTimedOut,
    NoNetwork,
    ProxyError,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.retries.attempts import NEVER
from lolly_tx.proxy.streams.session import Choice
from lolly_tx.simulate.journey import Journey, Surroundings
from lolly_tx.simulate.load import Client
from lolly_tx.simulate.recording import SERVED
from lolly_tx.simulate.sessiontargets import SessionTarget
from lolly_tx.simulate.targets import REFUSAL_SECONDS


class StreamSurroundings(Surroundings, Protocol):
    """What a session needs beside what requests do. `choice`: who has the targets."""

    choice: Choice
    session_targets: Mapping[str, SessionTarget]


class SimulatedSession(Journey):
    """One session from its client's connect to its end."""

    __slots__ = ("answering", "stream")

    repeatable = False
    """No connect is hedged."""

    def __init__(self, world: StreamSurroundings, client: Client, now: float) -> None:
        super().__init__(world, client, False, now)
        self.stream = world
        self.chooser = world.choice
        self.answering = False

    @property
    def method(self) -> bytes:
        """It makes no request."""
        return b""

    @property
    def idempotent(self) -> bool:
        """Nothing was passed on before it is up."""
        return True

    def send(self, lease: Lease, now: float) -> None:
        """Connect to the model."""
        world = self.stream
        if self.attempts > 1:
            world.recording.retried(now)
        seconds, _, trouble = world.session_targets[lease.node.id].answer(now)
        result: ProxyError | str = trouble
        if trouble == "refused":
            result = ConnectRefused("connection refused")
        elif trouble == "no_network":
            result = NoNetwork("network unreachable")
        elif trouble in ("silent", "reset"):
            seconds = REFUSAL_SECONDS  # the kernel accepts, whoever is behind it
        elif seconds > world.connect_timeout:
            seconds = world.connect_timeout
            result = ConnectTimedOut(f"no connection in {seconds:g} s")
        world.schedule(now + seconds, self._settled, lease, result)

    def _settled(self, now: float, lease: Lease, result: ProxyError | str) -> None:
        if lease is not self.lease:
            return  # given up meanwhile
        if isinstance(result, ProxyError):
            self.failed(result, now)
        else:
            self._up(now, lease, result)

    def _up(self, now: float, lease: Lease, trouble: str) -> None:
        world = self.stream
        self.lease, self.deadline = None, NEVER
        self.answering = self.over = True
        lease.succeeded(now)
        # The world does not wait for those who have a target: it ends with its time.
        world.under_way.discard(self)
        world.recording.finished(self.started, SERVED, None, now)
        target = world.session_targets[lease.node.id]
        stay = target.begin(now, trouble)
        world.schedule(now + stay.seconds, _leave, lease, lambda: target.end(stay))
        admission = self.forwarder.policy.admission
        if admission is not None:
            admission.finished(True, now)


def _leave(now: float, lease: Lease, end: Callable[[], None]) -> None:
    lease.release(now)
    end()

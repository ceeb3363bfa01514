"""A simulated exchange: `domain.retries.attempts` on a model instead of connections.

    send -> ask the model -> its answer, or its trouble, later

What decides is production code; here is only what performs it. The head of a response and
the end of its body come at one time.

Imports: domain, domain.retries, proxy, simulate. Used by: simulate.conversations,
simulate.sessions, simulate.world.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from lolly_tx.domain.errors import (
    ConnectionReset,
    ConnectRefused,
    ConnectTimedOut,
    NoNetwork,
    ProxyError,
    ResponseTimedOut,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.retries.attempts import NEVER, Attempts
from lolly_tx.domain.retries.retry import IDEMPOTENT
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.replies import status_of
from lolly_tx.simulate.load import Client
from lolly_tx.simulate.recording import GONE, Recording
from lolly_tx.simulate.staging import Model


class Surroundings(Protocol):
    """What a journey needs of the world it is in. `under_way`: who is not over. Times are seconds."""

    forwarder: Forwarder
    recording: Recording
    models: Mapping[str, Model]
    now: Callable[[], float]
    under_way: set[Journey]
    patience: float
    read_timeout: float
    connect_timeout: float

    def schedule(
        self, at: float, call: Callable[..., None], a: Any = None, b: Any = None
    ) -> None:
        """Have `call(at, a, b)` called at that time."""


class Journey(Attempts):
    """One request from its arrival to its end. `peer`, `head`: what choices go by."""

    __slots__ = ("forwarder", "head", "held", "number", "over", "peer", "world")

    complete = True
    answering = False
    replayable = True
    sent = True
    trace = None

    def __init__(
        self,
        world: Surroundings,
        client: Client,
        post: bool,
        now: float,
        number: int = 0,
    ) -> None:
        self.world = world
        self.number = number
        self.forwarder = self.chooser = world.forwarder
        self.peer = client
        self.head = client.post if post else client.head
        self.started = now
        self.tried = ()
        self.attempts = 0
        self.lease = self.node = self.hedge = None
        self.held: tuple[Lease, int] | None = None
        self.deadline = self._until = NEVER
        self.pausing = self.over = False

    def arrive(self) -> None:
        """Begin, and be patient for as long as clients are."""
        world = self.world
        world.under_way.add(self)
        if world.patience:
            world.schedule(self.started + world.patience, self._hung_up)
        self.begin()

    @property
    def method(self) -> bytes:
        """The request's."""
        return self.head.method

    @property
    def idempotent(self) -> bool:
        """Done twice it does no more than once."""
        return self.head.method in IDEMPOTENT

    # -- attempts

    def send(self, lease: Lease, now: float) -> None:
        """Ask the model."""
        if self.attempts > 1:
            self.world.recording.retried(now)
        self._ask(lease, now)

    def send_hedge(self, lease: Lease, now: float) -> None:
        """Ask another model as well."""
        self.world.recording.hedged(now)
        self._ask(lease, now)

    def _ask(self, lease: Lease, now: float) -> None:
        world = self.world
        seconds, status, trouble = world.models[lease.node.id].answer(
            now, number=self.number
        )
        result: int | ProxyError = status
        if trouble or seconds > world.read_timeout:
            if trouble == "refused":
                result = ConnectRefused("connection refused")
            elif trouble == "no_network":
                result = NoNetwork("network unreachable")
            elif trouble == "unreachable":
                seconds = world.connect_timeout
                result = ConnectTimedOut(f"no connection in {seconds:g} s")
            elif trouble == "reset" and seconds <= world.read_timeout:
                result = ConnectionReset("closed before the response")
            else:
                seconds = world.read_timeout
                result = ResponseTimedOut(f"no byte in {seconds:g} s")
        world.schedule(now + seconds, self._brought, lease, result)

    def _brought(self, now: float, lease: Lease, result: int | ProxyError) -> None:
        """Something has come back for `lease`."""
        if lease is self.hedge:
            if isinstance(result, ProxyError):
                self.hedge_failed(result, now)
                return
            self.hedge_answered(now)
        elif lease is not self.lease:
            return  # nobody waits for it any more
        elif isinstance(result, ProxyError):
            self.failed(result, now)
            return
        if self.answered(result, result, now):
            self._deliver(lease, result, now)

    def withdraw(self) -> None:
        """What comes of the attempt is not waited for any more."""

    def withdraw_hedge(self) -> None:
        """As above."""

    def limit(self, at: float) -> None:
        """Have `expired` called at that time."""
        self.deadline = at
        if at != NEVER:
            self.world.schedule(at, self._look)

    def _look(self, now: float, _: object, __: object) -> None:
        if not self.over and now >= self.deadline:
            self.expired(now)

    def pause(self, seconds: float, lease: Lease) -> None:
        """Make the attempt with `lease` then."""
        self.world.schedule(self.world.now() + seconds, self._paused, lease)

    def _paused(self, now: float, lease: Lease, _: object) -> None:
        if lease is self.lease:
            self.resumed(lease, now)

    def hedge_after(self, seconds: float, lease: Lease) -> None:
        """A second attempt may be due then."""
        self.world.schedule(self.world.now() + seconds, self._hedge_due, lease)

    def _hedge_due(self, now: float, lease: Lease, _: object) -> None:
        self.hedge_due(lease, now)

    # -- answers

    def heed(self, lease: Lease, answer: int, now: float) -> None:
        """The model may ask to be left alone for a while."""
        seconds = self.world.models[lease.node.id].retry_after(now)
        self.forwarder.grant_respite(lease.node, self.head.target, seconds, now)

    def hold(self, lease: Lease, answer: int, now: float) -> None:
        """Keep an answer instead of the one that is kept."""
        self.drop_held()
        self.held = (lease, answer)

    def drop_held(self) -> None:
        """A better answer has come."""
        if self.held is not None:
            self.held[0].release(self.world.now())
            self.held = None

    def deliver_held(self) -> bool:
        """Nothing better has come."""
        held, self.held = self.held, None
        if held is not None:
            self._deliver(*held, self.world.now())
        return held is not None

    def _deliver(self, lease: Lease, status: int, now: float) -> None:
        """The client has its answer."""
        self.lease = None
        lease.ended(now, status)
        sticky = self.forwarder.sticky
        if sticky is not None:
            line = sticky.set_cookie(
                self.head, lease.node, self.forwarder.pool.nodes, False
            )
            if line:
                self.peer.take_cookie(line)
        self._over(status, now)

    # -- the end

    def refuse(self, error: ProxyError) -> None:
        """No attempt is left."""
        self._over(status_of(error), self.world.now(), error)

    def _hung_up(self, now: float, _: object, __: object) -> None:
        """The client has waited long enough; nobody is blamed."""
        if not self.over:
            self.stop(now)
            self.drop_held()
            self._over(GONE, now)

    def _over(self, status: int, now: float, error: ProxyError | None = None) -> None:
        self.over = True
        world = self.world
        world.under_way.discard(self)
        world.recording.finished(self.started, status, error, now)
        admission = self.forwarder.policy.admission
        if admission is not None and self.attempts and status != GONE:
            admission.finished(error is None and status < 500, now)

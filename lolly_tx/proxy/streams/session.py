r"""A session: a client of a stream while it is connected to a target, and before that, while one is looked for.

    begin -> lease -> connect -> up: joined until one side ends it
      |                  \-> failed: another target, as the pool's retry policy says; or given up
      +-- all full --> the waiting room, then the same

It is what an exchange is to requests (`proxy.exchange`): the same decisions (`domain.retries.attempts`), the same
numbers and records at its end. Nothing was passed on before it is up, so every connect may be made again elsewhere;
what happens later is no failure of anybody. Its duration, where pools count durations, is the time until it was up.

Imports: domain, domain.retries, net, net.streams, proxy, wire. Used by: proxy.records,
proxy.streams.datagramrecord, proxy.streams.streaming, service, simulate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from lolly_tx.domain.errors import DownstreamGone, ProxyError, Shutdown
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.retries.attempts import NEVER, Choosing
from lolly_tx.net.doors import Peer
from lolly_tx.net.streams.target import Dial, TargetConnection
from lolly_tx.proxy.attempting import Attempting
from lolly_tx.proxy.connecting import Connecting
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.replies import status_of
from lolly_tx.proxy.trace import Trace
from lolly_tx.wire.fields import RequestBlock
from lolly_tx.wire.message import RequestHead

SERVED, CLIENT_GONE = 200, 499
"""Statuses of sessions, as nginx has them: it was up; its client went before."""


@lru_cache(1024)
def head_of(name: str, version: bytes = b"TCP") -> RequestHead:
    """What is known of a client that asks for `name`, in the shape of a request's head; "": for nobody."""
    block = RequestBlock.from_pairs([(b"host", name.encode("ascii", "replace"))])
    return RequestHead(b"", b"", version, block, 0)


class SessionDoor(Protocol):
    """Who wants a session. `exchange`: it, while a target is looked for."""

    peer: Peer
    exchange: Any
    identity: None
    asked: None
    verdict: str


class Choice(Choosing):
    """Who gets sessions, from `forwarder`'s pool. Hashing balancers go by the client."""

    __slots__ = ("_hashes", "forwarder")

    def __init__(self, forwarder: Forwarder) -> None:
        self.forwarder = forwarder
        self.pool = forwarder.pool
        self.policy = forwarder.policy
        self.keyless = False
        self._hashes = forwarder.hashes

    def acquire(self, session: Session, now: float) -> Lease:
        """A lease for the next connect. Raises `NoTarget`."""
        key = session.peer.address.encode() if self._hashes else None
        return self.pool.acquire(now, key, session.tried)

    def admits(self, now: float) -> bool:
        """As for exchanges."""
        return self.forwarder.admits(now)

    def pause_before(self, attempts: int) -> float:
        """As for exchanges."""
        return self.forwarder.pause_before(attempts)

    def retried(self) -> None:
        """A connect after the first."""
        self.forwarder.retried()

    def hedged(self) -> None:
        """There are none."""


class Session(Attempting):
    """See the module. `write_seconds`: how long a target may take no byte.

    `on_up(target)`: called with its connection. `on_failed(error)`: there is none. What it has beyond `Attempts` is
    what exchanges tell of themselves: `status`, `bytes_in`, `bytes_out`, `past` ... `upstream_seconds` is how long the
    last connect took, `ended` who or what ended it.
    """

    __slots__ = (
        "_on_failed",
        "_on_up",
        "_up_at",
        "_write_seconds",
        "answering",
        "bytes_in",
        "bytes_out",
        "door",
        "ended",
        "error",
        "head",
        "status",
    )

    method = b""
    complete = True
    replayable = True
    idempotent = True
    repeatable = False
    """No connect is hedged: a second one would be a client of its own to whoever accepts."""
    sent = False
    identity = None
    route = None
    trace: Trace | None = None

    answering: bool

    def __init__(
        self,
        choice: Choice,
        door: SessionDoor,
        head: RequestHead,
        write_seconds: float,
        on_up: Callable[[TargetConnection], None],
        on_failed: Callable[[ProxyError], None],
    ) -> None:
        self.chooser = choice
        self.forwarder = choice.forwarder
        self.door = door
        self.head = head
        self.started = self.forwarder.now()
        self.attempts = self.status = self.upstream_status = 0
        self.bytes_in = self.bytes_out = 0
        self.upstream_seconds = 0.0
        self.tried = ()
        self.lease = self.hedge = None
        self.node: Node | None = None
        self.pausing = self.answering = False
        self.deadline = self._until = NEVER
        self.error: ProxyError | None = None
        self.fault = None
        self.ended = ""
        self.past = ()
        self._write_seconds = write_seconds
        self._on_up = on_up
        self._on_failed = on_failed
        self._connecting = self._pause = None
        self._up_at = self.started
        self.forwarder.in_flight += 1

    @property
    def peer(self) -> Peer:
        """Who the client is."""
        return self.door.peer

    # -- what `domain.retries.attempts` has done

    def send(self, lease: Lease, now: float) -> None:
        """Connect to the node of `lease`."""
        upstream = self.forwarder.upstreams.of(lease.node, self.door.peer)
        dial = Dial(upstream, self._write_seconds)
        self._connecting = connecting = Connecting(
            dial, lease, self._connected, self._unconnected
        )
        connecting.open()

    def _connected(self, target: TargetConnection) -> None:
        self._connecting = None
        self.answering = True
        self.forwarder.deadlines.discard(self)
        now = self._up_at = self.forwarder.now()
        lease, self.lease = self.lease, None
        assert lease is not None
        self.upstream_seconds = now - lease.started
        self.status = self.upstream_status = SERVED
        lease.succeeded(now)
        target.bear(lease)
        self._on_up(target)

    def _unconnected(self, error: ProxyError) -> None:
        self._connecting = None
        self.failed(error, self.forwarder.now())

    def refuse(self, error: ProxyError) -> None:
        """No target is left to be asked."""
        self._end(error, status_of(error), error.token)
        self._on_failed(error)

    # -- what does not happen to connects

    def send_hedge(self, lease: Lease, now: float) -> None:
        """None is hedged."""

    def withdraw_hedge(self) -> None:
        """None is hedged."""

    def hedge_after(self, seconds: float, lease: Lease) -> None:
        """None is hedged."""

    def heed(self, lease: Lease, answer: Any, now: float) -> None:
        """A connect is no answer that could ask for anything."""

    def hold(self, lease: Lease, answer: Any, now: float) -> None:
        """Nor one that could be kept."""

    def drop_held(self) -> None:
        """None is kept."""

    def deliver_held(self) -> bool:
        """None is kept."""
        return False

    # -- the end

    def left(self, stopped: bool) -> None:
        """The client is gone before it was up, or the proxy has `stopped`: nobody is to blame."""
        if self.status:
            return
        self.stop(self.forwarder.now())
        if stopped:
            error: ProxyError = Shutdown("the proxy stops")
            self._end(error, status_of(error), "stopped")
        else:
            self._end(DownstreamGone("the client went away"), CLIENT_GONE, "client")

    def over(self, sent: int, received: int, why: str) -> None:
        """It was up, and is over."""
        self.bytes_in, self.bytes_out = sent, received
        self._end(None, SERVED, why)

    def _end(self, error: ProxyError | None, status: int, why: str) -> None:
        self.error, self.status, self.ended = error, status, why
        forwarder = self.forwarder
        forwarder.deadlines.discard(self)
        now = forwarder.now()
        until = now if error is not None else self._up_at
        forwarder.record(
            self,
            error,
            self.door.peer.listener,
            self.status,
            self.bytes_in,
            self.bytes_out,
            until - self.started,
            now,
        )

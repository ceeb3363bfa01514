"""A client of a stream of datagrams: who it is, and a socket of its own to the target that was chosen for it.

    FINDING --the target's address is known--> OPEN --idle, refused, told to leave--> CLOSED

The socket is connected: the kernel keeps strangers away, and tells what the target's machine says (ICMP). Whatever
comes by it goes to the client, from the address that the client used. A session is a door of its acceptor, and its
deadline is one of those that are looked at together: it has no timer of its own.

Imports: domain, net, net.datagrams, Twisted. Used by: net.datagrams.acceptor,
net.datagrams.port, proxy.streams, service, simulate.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError, UpstreamError
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.net.datagrams.sockets import UNREACHED, Ancillary, text_of, why_dropped
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.failures import translate

ANSWERS_AT_ONCE = 32
"""Datagrams of one target that are passed on in one turn; what does not fit is first in the next."""

EARLY_DATAGRAMS = 16
"""Kept of what a client sends while the name of its target is looked up."""

LOOK_SECONDS = 1.0
"""How often the target of a busy session is looked at: whether it is still one to send to."""

LAST_ANSWER_SECONDS = 2.0
"""What a session that is told to leave has for the answer it waits for."""

FINDING, OPEN, CLOSED = range(3)

IDLE, REFUSED, TARGET_LEFT, NO_TARGET, STOPPED = ENDS = (
    "idle",
    "target_refused",
    "target_left",
    "refused",
    "stopped",
)
"""How sessions end, in the words of the counters and of the log."""


class DatagramsRefused(UpstreamError):
    """The target's machine says that nobody takes its datagrams, or none leads there (ICMP)."""

    token = "connection_refused"
    kind = "connect"


class DatagramSite(Protocol):
    """What serves the sessions of a stream. `idle`: seconds without a datagram either way that end one."""

    idle: float

    def find(self, session: DatagramSession, tried: Sequence[Node]) -> None:
        """Have `session` opened to somebody but `tried`, or failed: now or later."""

    def stays(self, node: Node, since: float, now: float) -> bool:
        """Whether a session to `node` goes on. `since`: when it began to take no new ones; infinity: never."""

    def dropped(self, why: str, upwards: bool) -> None:
        """A datagram was not passed on to a target, or to a client."""

    def over(self, session: DatagramSession, error: ProxyError | None) -> None:
        """A session has ended, as its `why` says. `error`: what the target did, or why there was none."""


class SessionAcceptor(Protocol):
    """What a session asks of its acceptor (`net.datagrams.acceptor`)."""

    patient: bool
    connect: Callable[[str, int], Any]

    @property
    def now(self) -> Callable[[], float]:
        """The monotonic clock, seconds."""

    def lost(self, door: Any) -> None:
        """A session is over."""


class SessionPort(Protocol):
    """What a session asks of its port (`net.datagrams.port`). `buffer`: for what is read, until it is passed on."""

    reactor: Any
    buffer: memoryview

    @property
    def now(self) -> Callable[[], float]:
        """The monotonic clock, seconds."""

    def answer(self, data: memoryview, session: DatagramSession) -> None:
        """Send that to the client of `session`."""

    def avoid(self, key: Any, node: Node) -> None:
        """The next session of a client is to be with somebody else."""

    def forget(self, session: DatagramSession) -> None:
        """A session is over."""

    def getHost(self) -> Any:
        """Its address."""


class DatagramSession:
    """See the module.

    `address`: the client's. `client`: where answers go, as sockets have it; `asked_at`: the address it used, b"" where
    there is one only. `sent`, `received`: bytes to the target and from it; `datagrams`, `answers`: how many.
    `header`: goes in front of each datagram to the target. `since`: when it began. `why`: how it ended,
    one of `ENDS`.
    """

    idle = False  # nobody makes room for others
    answering: Ancillary

    def __init__(
        self, site: DatagramSite, acceptor: SessionAcceptor, address: str
    ) -> None:
        self.site = site
        self.acceptor = acceptor
        self.address = address
        self.since = self.heard_at = acceptor.now()
        self.deadline = self.since + site.idle
        self.lease: Lease | None = None
        self.header = b""
        self.port: SessionPort = None  # type: ignore[assignment]  # `begin` gives it
        self.key: Any = None
        self.client: Any = None
        self.asked_at = b""
        self.sent = self.received = 0
        self.datagrams = self.answers = 0
        self.notes: Any = None
        """What its site knows of it."""
        self.finding: Deferred[Any] | None = None
        """The lookup of its target's name."""
        self.why = ""
        self._state = FINDING
        self._early: list[bytes] = []
        self._socket: socket.socket | None = None
        self._send: Any = None
        self._receive: Any = None
        self._leaving = False
        self._trial = False
        self._look_at = self.since + LOOK_SECONDS
        self._unfit_since = NEVER

    def __repr__(self) -> str:
        where = "nobody yet" if self.node is None else self.node.id
        return f"<DatagramSession of {self.address} with {where}>"

    @property
    def node(self) -> Node | None:
        """Who answers it; None: nobody yet."""
        return None if self.lease is None else self.lease.node

    @property
    def closed(self) -> bool:
        """It is over."""
        return self._state == CLOSED

    # -- its target

    def open(self, address: str, port: int) -> None:
        """Its target, whose `lease` it has, is there. Raises OSError, and it has none still."""
        lease = self.lease
        assert lease is not None
        made = self.acceptor.connect(address, port)
        self._trial = lease.on_trial
        self._socket = made
        self._send, self._receive = made.send, made.recv_into
        self._state = OPEN
        self.port.reactor.addReader(self)
        early, self._early = self._early, []
        for each in early:
            self.forward(each, self.heard_at)

    def forward(self, data: bytes | memoryview, now: float) -> bool:
        """Pass a datagram of the client on. False: it was not, and the session is over: somebody else is to have it."""
        if self._state != OPEN:
            if self._state == CLOSED:
                return False
            self.heard_at = now
            if len(self._early) < EARLY_DATAGRAMS:
                self._early.append(bytes(data))
            else:
                self.site.dropped("its target is still looked for", True)
            return True
        if now >= self._look_at and not self._stays(now):
            return False
        try:
            if self.header:
                assert self._socket is not None
                self._socket.sendmsg([self.header, data])
            else:
                self._send(data)
        except OSError as error:
            if error.errno in UNREACHED:
                self._refused(error)
                return False
            self.site.dropped(why_dropped(error), True)
            return True
        self.sent += len(data)
        self.datagrams += 1
        self.heard_at = now
        if not self._leaving:
            self.deadline = now + self.site.idle
        return True

    def _stays(self, now: float) -> bool:
        """Once in a while: the target is one to send to, and a trial that nobody has refused is a good one."""
        self._look_at = now + LOOK_SECONDS
        lease = self.lease
        assert lease is not None
        if self._trial:
            # Who never answers, such as a syslog daemon, cannot show in any other way that it is back.
            self._trial = False
            lease.answered(now, 200)
        node = lease.node
        self._unfit_since = NEVER if node.available else min(self._unfit_since, now)
        if self.site.stays(node, self._unfit_since, now):
            return True
        self.end(TARGET_LEFT, now)
        return False

    def doRead(self) -> None:
        """The target has sent something."""
        receive, port = self._receive, self.port
        view, now = port.buffer, port.now()
        for _ in range(ANSWERS_AT_ONCE):
            try:
                size = receive(view)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in UNREACHED:
                    self._refused(error)
                    return
                self.site.dropped(why_dropped(error), False)
                return
            if not self.answers and self.lease is not None:
                self.lease.answered(now, 200)
                self._trial = False
            self.answers += 1
            self.received += size
            port.answer(view[:size], self)
            if self._leaving:
                if self.answers >= self.datagrams:
                    self.end(STOPPED, now)
                    return
                continue
            self.deadline = now + self.site.idle

    def _refused(self, error: OSError) -> None:
        """Its target's machine has said no: that counts, and the client's next datagram goes to somebody else."""
        said = translate(error, connecting=True).detail
        now = self.port.now()
        node = self.node
        self.end(REFUSED, now, DatagramsRefused(said))
        if node is not None:
            self.port.avoid(self.key, node)

    @property
    def place(self) -> tuple[str, int]:
        """The address of ours that the client uses, and the port."""
        host = self.port.getHost()
        return text_of(self.asked_at) or host.host, host.port

    def fail(self, error: ProxyError) -> None:
        """There is no target for it."""
        self.end(NO_TARGET, self.port.now(), error)

    # -- its end

    def end(self, why: str, now: float, error: ProxyError | None = None) -> None:
        """It is over; repeating it does nothing. `error`: what the target did."""
        if self._state == CLOSED:
            return
        self._state = CLOSED
        self.why = why
        self.deadline = NEVER
        self._early = []
        made, self._socket = self._socket, None
        self._send = self._receive = None
        if made is not None:
            self.port.reactor.removeReader(self)
            made.close()
        finding, self.finding = self.finding, None
        if finding is not None:
            finding.cancel()
        lease = self.lease
        if lease is not None:
            if error is not None:
                lease.failed(now, error)
            lease.release(now)
        self.port.forget(self)
        self.acceptor.lost(self)
        self.site.over(self, error)

    def expired(self, now: float) -> None:
        """Nothing came for so long, or its time to leave is over."""
        self.end(STOPPED if self._leaving else IDLE, now)

    def shed(self) -> bool:
        """Never: see the acceptor."""
        return False

    def shut(self) -> None:
        """The proxy stops now, or the listener's sessions are cut."""
        self.end(STOPPED, self.port.now())

    def drain(self, until: float) -> None:
        """The proxy stops, or the listener is drained: it may have the answer it waits for."""
        if self.acceptor.patient:
            return
        now = self.port.now()
        if self._state == FINDING or (
            self.datagrams > self.answers and not self.is_one_way
        ):
            self._leaving = True
            self.deadline = min(self.deadline, now + LAST_ANSWER_SECONDS)
        else:
            self.end(STOPPED, now)

    @property
    def is_one_way(self) -> bool:
        """Its target has answered none of many datagrams."""
        return not self.answers and self.datagrams > EARLY_DATAGRAMS

    # -- what a reactor asks

    def fileno(self) -> int:
        """Of the socket to its target; -1 without one."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """What the log calls it."""
        return "session"

    def connectionLost(self, reason: Failure) -> None:
        """Reactors that poll see what ICMP says as the end of the socket; one that stops ends all of them."""
        if self._socket is None:
            return
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number in UNREACHED:
            self._refused(OSError(number, ""))
        else:
            self.end(STOPPED, self.port.now())

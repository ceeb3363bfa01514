"""A connection to a store that is made again whenever it is lost, after a wait that is drawn by lot.

    connect --> greet (AUTH, SELECT) --> up: replies go to whom it belongs --> lost: wait, connect

What comes is read a little at a time, so that a store that says very much does not hold the event loop.

Imports: domain, net, wire, Twisted. Used by: net.stores.store, net.stores.subscription,
service.stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import TLSFailed
from lolly_tx.net.failures import translate
from lolly_tx.wire.resp import BadReply, Refusal, Reply, ReplyReader

CONNECT_SECONDS = 1.0
"""For a connection, TLS included."""
GREET_SECONDS = 1.5
"""For it to take us for whom we are."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 1.0
"""Seconds from one connect in vain to the next, half of it at least: whoever is back is to be noticed in two."""
_GROWTH = 1.5
AT_ONCE = 8192
"""Bytes that are read in one turn: a thousand answers, or some milliseconds of messages."""

Connect = Callable[[Any], Deferred[Any]]
"""As of an endpoint: takes a factory of protocols."""


class _Wire(Protocol):
    """One connection. `link`: whose it is."""

    def __init__(self, link: Link, clock: IReactorTime) -> None:
        self._link = link
        self._clock = clock
        self._reader = ReplyReader()
        self._rest = bytearray()
        self._later: IDelayedCall | None = None
        self._held = False

    def dataReceived(self, data: bytes) -> None:
        """Replies have come."""
        if self._rest or len(data) > AT_ONCE or self._link.paused:
            self._rest += data
            self.go_on()
        else:
            self._read(data)

    def go_on(self) -> None:
        """Read on in the next turn, or not, as the link has it."""
        held = bool(self._rest) or self._link.paused
        transport: Any = self.transport
        if held != self._held and transport is not None:
            self._held = held
            if held:
                transport.pauseProducing()
            else:
                transport.resumeProducing()
        if self._rest and self._later is None and not self._link.paused:
            self._later = self._clock.callLater(0, self._take)

    def _take(self) -> None:
        self._later = None
        if not self._link.paused:
            data = bytes(self._rest[:AT_ONCE])
            del self._rest[:AT_ONCE]
            self._read(data)
        self.go_on()

    def end(self) -> None:
        """Nobody wants to hear what there may be."""
        self._rest.clear()
        later, self._later = self._later, None
        if later is not None:
            later.cancel()

    def _read(self, data: bytes) -> None:
        try:
            replies = self._reader.feed(data)
        except BadReply as error:
            self._link.give_up(f"it sent what is no reply: {error}")
            return
        for reply in replies:
            self._link.replied(self, reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self.end()
        self._link.lost(self, _words(reason) or "the connection was lost")


class Link:
    """See the module. `greeting`: the commands that come first; each has to be taken.

    `on_up()`, `on_reply(reply)`, `on_down(why)`: the last also of a connect in vain.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        connect: Connect,
        clock: IReactorTime,
        random: Random,
        greeting: Callable[[], Sequence[bytes]],
        *,
        on_up: Callable[[], None],
        on_reply: Callable[[Reply], None],
        on_down: Callable[[str], None],
    ) -> None:
        self.up = False
        self.paused = False
        """Nothing is taken from the connection."""
        self._connect_to = connect
        self._clock = clock
        self._random = random
        self._greeting = greeting
        self._on_up = on_up
        self._on_reply = on_reply
        self._on_down = on_down
        self._wanted = False
        self._wire: _Wire | None = None
        self._connecting: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._greeted = 0
        self._vain = 0

    def start(self) -> None:
        """Connect, and stay so."""
        self._wanted = True
        self._connect()

    def stop(self) -> None:
        """Nobody needs it any more."""
        self._wanted = self.up = False
        self._rest()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.addErrback(lambda _: None)
            connecting.cancel()
        wire, self._wire = self._wire, None
        if wire is not None and wire.transport is not None:
            wire.end()
            wire.transport.loseConnection()

    def settled(self) -> None:
        """It is of use: the next loss begins with the shortest wait."""
        self._vain = 0

    def send(self, data: bytes) -> None:
        """Have commands sent, where it is up."""
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.write(data)

    def pause(self) -> None:
        """Take nothing from the connection, until `resume`; a new one is not paused."""
        if self._wire is not None and not self.paused:
            self.paused = True
            self._wire.go_on()

    def resume(self) -> None:
        """Go on."""
        if self._wire is not None and self.paused:
            self.paused = False
            self._wire.go_on()

    def give_up(self, why: str) -> None:
        """Drop the connection there is, and make another."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        wire.end()
        transport: Any = wire.transport
        if transport is not None:
            transport.abortConnection()
        self._down(why)

    # -- what happens

    def _connect(self) -> None:
        factory = Factory.forProtocol(lambda: _Wire(self, self._clock))
        factory.noisy = False
        self._connecting = connecting = self._connect_to(factory)
        connecting.addCallbacks(self._cb_connected, self._eb_failed)
        connecting.addErrback(lambda failure: self.log.failure("A bug", failure))

    def _cb_connected(self, wire: _Wire) -> None:
        self._connecting = None
        if not self._wanted:
            wire.transport.loseConnection()  # type: ignore[union-attr]
            return
        self._wire = wire
        self.paused = False
        greeting = self._greeting()
        self._greeted = len(greeting)
        if not greeting:
            self._is_up()
            return
        self._timer = self._clock.callLater(
            GREET_SECONDS, self.give_up, "it does not answer"
        )
        self.send(b"".join(greeting))

    def _eb_failed(self, failure: Failure) -> None:
        self._connecting = None
        if self._wanted:
            said = _words(failure) or type(failure.value).__name__
            self._down(f"no connection: {' '.join(said.split())[:200]}")

    def replied(self, wire: _Wire, reply: Reply) -> None:
        """Something has come."""
        if wire is not self._wire:
            return
        if not self._greeted:
            self._on_reply(reply)
            return
        if isinstance(reply, Refusal):
            self.give_up(f"it does not let us in: {reply.text[:200]}")
            return
        self._greeted -= 1
        if not self._greeted:
            self._rest()
            self._is_up()

    def _is_up(self) -> None:
        self.up = True
        self._on_up()

    def lost(self, wire: _Wire, why: str) -> None:
        """A connection is over."""
        if wire is self._wire:
            self._wire = None
            self._down(why)

    def _down(self, why: str) -> None:
        self.up = False
        self._greeted = 0
        self._rest()
        if not self._wanted:
            return
        wait = min(LONGEST_WAIT, FIRST_WAIT * _GROWTH ** min(self._vain, 20))
        self._vain += 1
        self._timer = self._clock.callLater(
            wait * self._random.uniform(0.5, 1.0), self._connect_again
        )
        self._on_down(why)

    def _connect_again(self) -> None:
        self._timer = None
        self._connect()

    def _rest(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _words(reason: Failure) -> str:
    """Why, for people: what OpenSSL says is a list of its own errors."""
    error = translate(reason, connecting=True)
    return str(error) if isinstance(error, TLSFailed) else reason.getErrorMessage()

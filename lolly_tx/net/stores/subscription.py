"""A connection to a store on which it tells what is published: made again whenever it is lost.

    connect --> SUBSCRIBE --> there: messages --> lost: `on_gone`, wait, connect
                                |  ^
                         PING a second, so that one that hangs is noticed

What is published while it is not there never comes: whoever needs all of it asks for the rest once it is there again.

Imports: net.stores, wire, Twisted. Used by: service.stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lolly_tx.net.stores.link import Connect, Link
from lolly_tx.wire.resp import Refusal, Reply, command

PING_SECONDS = 1.0
HUNG_SECONDS = 3.0
"""Nothing was heard for so long: another connection is made."""


class Subscription:
    """`channels`: what is listened to. `greeting`: as of `Link`.

    `on_message(channel, payload)`, `on_there()`: all channels are listened to; `on_gone(why)`: also of a connect in
    vain.
    """

    def __init__(
        self,
        connect: Connect,
        clock: IReactorTime,
        random: Random,
        greeting: Callable[[], Sequence[bytes]],
        channels: Sequence[bytes],
        *,
        now: Callable[[], float],
        on_message: Callable[[bytes, bytes], None],
        on_there: Callable[[], None],
        on_gone: Callable[[str], None],
    ) -> None:
        self.channels = tuple(channels)
        self.there = False
        self.why = "it was not connected to yet"
        self._clock = clock
        self._now = now
        self._on_message = on_message
        self._on_there = on_there
        self._on_gone = on_gone
        self._confirmed: set[bytes] = set()
        self._heard_at = 0.0
        self._timer: IDelayedCall | None = None
        self._link = Link(
            connect,
            clock,
            random,
            greeting,
            on_up=self._up,
            on_reply=self._heard,
            on_down=self._down,
        )

    def start(self) -> None:
        """Connect, and stay so."""
        self._link.start()

    def stop(self) -> None:
        """Nobody listens any more."""
        self.there = False
        self.why = "nobody listens any more"
        self._rest()
        self._link.stop()

    def pause(self) -> None:
        """Take nothing from the connection for now."""
        self._link.pause()

    def resume(self) -> None:
        """Go on."""
        if self._link.paused:
            self._heard_at = self._now()
            self._link.resume()

    # -- what happens

    def _up(self) -> None:
        self._confirmed.clear()
        self._heard_at = self._now()
        self._link.send(command("SUBSCRIBE", *self.channels))
        self._timer = self._clock.callLater(PING_SECONDS, self._ping)

    def _ping(self) -> None:
        silent = self._now() - self._heard_at
        if silent >= HUNG_SECONDS and not self._link.paused:
            self._timer = None
            self._link.give_up("it does not answer")
            return
        self._link.send(command("PING"))
        self._timer = self._clock.callLater(PING_SECONDS, self._ping)

    def _heard(self, reply: Reply) -> None:
        self._heard_at = self._now()
        if isinstance(reply, Refusal):
            self._link.give_up(f"it does not let us listen: {reply.text[:200]}")
            return
        words = reply if isinstance(reply, list) else [b"pong", reply]
        kind, channel = (*words, None, None)[:2]
        if kind == b"message" and len(words) == 3:
            payload = words[2]
            if channel in self._confirmed and isinstance(payload, bytes):
                assert isinstance(channel, bytes)
                self._on_message(channel, payload)
                return
        elif kind == b"subscribe" and channel in self.channels:
            self._confirm(channel)
            return
        elif kind == b"pong" and channel in (b"", b"PONG"):
            return
        self._link.give_up("it says what is no message")

    def _confirm(self, channel: Reply) -> None:
        assert isinstance(channel, bytes)
        self._confirmed.add(channel)
        if not self.there and len(self._confirmed) == len(self.channels):
            self.there = True
            self.why = ""
            self._link.settled()
            self._on_there()

    def _down(self, why: str) -> None:
        self._rest()
        self.there = False
        self.why = why
        self._on_gone(why)

    def _rest(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

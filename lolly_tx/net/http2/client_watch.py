"""What a connection to a target waits for, and what happens when that takes too long.

    no stream    --idle_timeout--> closed                     (`limits_changed` while it is so: anew)
    streams      their own time; and the target must not be silent:
                 heard --`ping` seconds of nothing--> PING --as many more--> gone    (RFC 9113 section 6.7)

Imports: domain, net, net.http2, wire.http2. Used by: net.http2.client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from lolly_tx.domain.errors import (
    NoHttp2,
    ResponseTimedOut,
    WriteTimedOut,
)
from lolly_tx.net.deadlines import NEVER, PERIOD
from lolly_tx.net.http2.backlog import Backlog
from lolly_tx.net.http2.client_ending import GREETING, ClientEnding
from lolly_tx.net.http2.client_streams import ClientStreams
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.upstreams import UpstreamLimits
from lolly_tx.wire.http2.frames import ping

GREETING_SECONDS: Final = 10.0
"""How long a target may take to say that it speaks HTTP/2."""
_PAYLOAD: Final = b"lolly-ok"


class Owner(Protocol):
    """The connection. `deadline`: when `expired` is due."""

    deadline: float
    now: Callable[[], float]

    @property
    def limits(self) -> UpstreamLimits:
        """Of its target."""

    def watch(self, due: float) -> None:
        """Something has to have happened then."""


class ClientWatch:
    """Over the connection `owner`, whose parts the others are. `heard_at`: when its target was silent last."""

    __slots__ = (
        "_answer_due",
        "_backlog",
        "_ending",
        "_heard_at",
        "_owner",
        "_sender",
        "_streams",
    )

    def __init__(
        self,
        owner: Owner,
        sender: Sender,
        streams: ClientStreams,
        ending: ClientEnding,
        backlog: Backlog,
    ) -> None:
        self._owner = owner
        self._sender = sender
        self._streams = streams
        self._ending = ending
        self._backlog = backlog
        self._heard_at = owner.now()
        self._answer_due = NEVER

    def greeting(self) -> None:
        """The target's first words are waited for."""
        self._owner.deadline = self._owner.now() + GREETING_SECONDS

    def heard(self, now: float) -> None:
        """The target has said something."""
        self._heard_at = now
        self._answer_due = NEVER

    def rest(self) -> None:
        """No stream is open: the time of an idle connection runs."""
        owner = self._owner
        self._answer_due = NEVER
        seconds = owner.limits.idle_timeout
        owner.deadline = owner.now() + seconds if seconds else NEVER

    def work(self) -> None:
        """The first stream is open: the target has been silent for no longer than now."""
        owner = self._owner
        self._heard_at = owner.now()
        owner.deadline = NEVER
        if owner.limits.ping:
            owner.watch(self._heard_at + owner.limits.ping)

    def writing(self) -> None:
        """The transport takes no more."""
        self._owner.watch(self._owner.now() + PERIOD)

    def expired(self, now: float) -> None:
        """The time for something is over, on a connection that is not closed."""
        ending, limits = self._ending, self._owner.limits
        if ending.state == GREETING:
            said = f"no HTTP/2 SETTINGS within {GREETING_SECONDS:g} s"
            ending.fail(NoHttp2(said))
            return
        waits, stuck = self._backlog.look()
        if stuck:
            ending.fail(WriteTimedOut(f"took no byte for {limits.write:g} s"))
        elif waits:
            self._owner.deadline = now + limits.write
        elif not self._streams.taken:
            ending.leave()
        else:
            self._look_at_streams(now)

    def _look_at_streams(self, now: float) -> None:
        owner, streams = self._owner, self._streams
        owner.deadline = NEVER
        for stream in [*streams.open.values()]:
            if stream.due <= now:
                stream.expired(now)
        if streams.open:
            owner.watch(min([each.due for each in streams.open.values()]))
            if owner.limits.ping:
                self._look_at_silence(owner.limits.ping, now)

    def _look_at_silence(self, seconds: float, now: float) -> None:
        """Ask a target that says nothing whether it is still there."""
        if self._answer_due <= now:
            said = f"no answer to PING in {seconds:g} s"
            self._ending.fail(ResponseTimedOut(said))
            return
        if self._answer_due == NEVER and now - self._heard_at >= seconds:
            self._answer_due = now + seconds
            self._sender.send(ping(_PAYLOAD))
        next_look = max(now, self._heard_at) + seconds
        self._owner.watch(min(self._answer_due, next_look))

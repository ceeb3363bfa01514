"""A stream: its clients' connections joined to those of targets, whose pool may depend on the name they ask for.

    StreamVisit     one client, from its connect to its end (`net.streams.door.Visit`)
      StreamPassage   asks the middleware
      Session         looks for a target, and is its record

Imports: domain, net.streams, proxy, proxy.chains, proxy.streams, wire, Twisted. Used
by: proxy.streams.datagrams, service, service.metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from twisted.logger import Logger

from lolly_tx.domain.errors import NoTarget, ProxyError
from lolly_tx.net.streams.door import StreamDoor
from lolly_tx.net.streams.target import TargetConnection
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.link import Link
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.streams.session import Choice, Session, head_of
from lolly_tx.proxy.streams.streampassage import StreamPassage
from lolly_tx.wire.message import RequestHead

NOBODY = 503
"""The status of a session whose client asks for a name that no pool is for, or says none in time."""

Refused = Callable[[StreamDoor, RequestHead, int, str], None]
"""Told of each client that no pool has seen: its door, what is known of it, a status, and why."""


class StreamCounters:
    """What became of the connections of a stream.

    `refused`: by why, of those that had no tunnel. `ended`: by what ended them, of those that had one.
    """

    def __init__(self) -> None:
        self.served = 0
        self.sent = 0
        self.received = 0
        self.refused: dict[str, int] = {}
        self.ended: dict[str, int] = {}

    def refuse(self, why: str) -> None:
        """One had no tunnel."""
        self.refused[why] = self.refused.get(why, 0) + 1

    def end(self, sent: int, received: int, why: str) -> None:
        """The tunnel of one is closed."""
        self.served += 1
        self.sent += sent
        self.received += received
        self.ended[why] = self.ended.get(why, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            word: dict(one) if isinstance(one, dict) else one
            for word, one in vars(self).items()
        }

    def take(self, said: Mapping[str, Any]) -> None:
        """Count on from what `as_dict` made. Raises TypeError, ValueError and AttributeError for other shapes."""
        for word, one in [*vars(self).items()]:
            if isinstance(one, dict):
                there = said.get(word, {})
                one.update({str(why): int(number) for why, number in there.items()})
            else:
                setattr(self, word, int(said.get(word, 0)))


class Streaming:
    """Serves one stream (`net.streams.door.StreamSite`).

    `pool_of(name)`: the pool for who asks for that name; "": there is none. `by_name`: names are asked for.
    `forwarder_of(pool)`: who has that pool now. `links()`: the middleware in force. `along`: what it knows of all
    sessions. `refused`: told of those that get no further.
    """

    def __init__(
        self,
        name: str,
        pool_of: Callable[[str | None], str],
        forwarder_of: Callable[[str], Forwarder],
        *,
        by_name: bool,
        counters: StreamCounters,
        links: Callable[[], Sequence[Link]],
        along: Along,
        refused: Refused,
        hello_seconds: float,
        half_closed: float,
        idle: float,
        write_seconds: float,
    ) -> None:
        self.name = name
        self.by_name = by_name
        self.pool_of = pool_of
        self.counters = counters
        self.links = links
        self.along = along
        self.refused = refused
        self.hello_seconds = hello_seconds
        self.half_closed = half_closed
        self.idle = idle
        self.write_seconds = write_seconds
        self._forwarder_of = forwarder_of
        self._choices: dict[str, Choice] = {}

    def choice_of(self, pool: str) -> Choice:
        """Who gets the sessions of `pool`."""
        forwarder = self._forwarder_of(pool)
        known = self._choices.get(pool)
        if known is None or known.forwarder is not forwarder:
            self._choices[pool] = known = Choice(forwarder)
        return known

    def visit(self, door: StreamDoor) -> StreamVisit:
        """See `StreamSite`."""
        return StreamVisit(self, door)


class StreamVisit:
    """See the module."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, site: Streaming, door: StreamDoor) -> None:
        self._site = site
        self._door = door
        self._head = head_of("")
        self._passage: StreamPassage | None = None
        self._session: Session | None = None
        self._over = False

    # -- what the door tells (`net.streams.door.Visit`)

    def begin(self) -> None:
        """The client is connected."""
        links = self._site.links()
        if not links:
            self._door.admitted()
            return
        self._passage = StreamPassage(
            self._site.along,
            links,
            self._door.peer,
            self._head,
            self._door.admitted,
            self._refused,
        )
        self._passage.go_on()

    def connect(self, name: str | None) -> None:
        """It asks for `name`."""
        site, door = self._site, self._door
        if name:
            self._head = head_of(name)
        pool = site.pool_of(name)
        if not pool:
            self._turn_away(NoTarget.token, NOBODY)
            door.cut()
            return
        self._session = door.exchange = session = Session(
            site.choice_of(pool),
            door,
            self._head,
            site.write_seconds,
            self._up,
            self._failed,
        )
        session.begin()

    def over(self, sent: int, received: int, why: str) -> None:
        """Its tunnel is closed."""
        session = self._close()
        self._site.counters.end(sent, received, why)
        if session is not None:
            session.over(sent, received, why)

    def left(self, why: str) -> None:
        """It goes, and never had a tunnel."""
        if self._over:
            return
        session = self._close()
        self._site.counters.refuse(why)
        if session is not None:
            session.left(why == "stopped")
        elif why != "client":
            self._site.refused(self._door, self._head, NOBODY, why)

    # -- what becomes of it

    def _up(self, target: TargetConnection) -> None:
        self._door.exchange = None
        passage = self._passage
        if passage is None:
            self._door.join(target)
        else:
            self._door.join(target, passage.end_maker())

    def _failed(self, error: ProxyError) -> None:
        if self._over:
            return
        self._close()
        site = self._site
        site.counters.refuse(error.token)
        self.log.debug(
            "stream {stream}: {client} has no target: {why}",
            stream=site.name,
            client=self._door.address,
            why=str(error),
        )
        self._door.cut()

    def _refused(self, name: str, status: int) -> None:
        self._turn_away(name, status)
        self._door.turn_away()

    def _turn_away(self, why: str, status: int) -> None:
        self._close()
        self._site.counters.refuse(why)
        self._site.refused(self._door, self._head, status, why)

    def _close(self) -> Any:
        self._over = True
        session, self._session = self._session, None
        passage, self._passage = self._passage, None
        self._door.exchange = None
        if passage is not None:
            passage.over()
        return session

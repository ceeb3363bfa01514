"""Connectors that are connected to other processes of the same proxy, and the connections to those processes.

    this process                                a sibling, with which connector "home" is connected
    ServiceEndpoint --> Hop  ==one socket pair, HTTP/2 as in a tunnel==>  Hop --> its session --> the connector

A connector is connected to one process, whichever the kernel gave it to, and clients to any. So each process is to its
siblings what a connector is to a server: it takes streams, for "NAME:SERVICE", and joins them to those of its own
connectors. Half-closes, resets, refusals and the flow control of each stream pass as they do in a tunnel. What a
sibling asks for is looked for among the connectors of the process it has asked and no further: nothing goes in circles.

Imports: net.tunnels, Twisted. Used by: service.workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.net.tunnels.connection import Circumstances, Incoming
from lolly_tx.net.tunnels.directory import Connectors, Joined, ServiceEndpoint
from lolly_tx.net.tunnels.session import Session
from lolly_tx.net.tunnels.stream import TunnelStream
from lolly_tx.net.tunnels.streams import SessionSettings, Streams

HOP = SessionSettings(heartbeat=15.0, streams=4096, memory=256 << 20)
"""Between two processes: as many streams as all tunnels of one of them are likely to have."""


@attrs.frozen
class Distant:
    """A connector of another process. `process`: its number. `since`: when it has connected, monotonic.

    `published`: by host or port, a service. `streams`: that it had open when this was told.
    """

    process: int
    name: str
    instance: str
    services: frozenset[str]
    published: Mapping[str, str]
    streams: int
    leaving: bool
    since: float


def told_of_connectors(connectors: Connectors) -> list[dict[str, Any]]:
    """What siblings are told of those of this process, as JSON-able values."""
    return [_told(joined) for joined in connectors]


def _told(joined: Joined) -> dict[str, Any]:
    session = joined.session
    # Who takes no more streams may be asked for nothing, however long those that it has go on.
    services = [] if session.streams.leaving else sorted(joined.services)
    return {
        "name": session.peer_name,
        "tunnel": joined.tunnel,
        "client": joined.client,
        "instance": joined.instance,
        "services": services,
        "published": {str(key): each for key, each in joined.published.items()},
        "streams": len(session.streams.open),
        "leaving": session.leaving,
        "since": session.since,
    }


@implementer(IProtocol)
class Hop:
    """One end of a connection between two processes (`net.tunnels.session.SessionOwner`).

    `opens`: this end asks. `heard`: called once, when the other has spoken. `over`: when it is gone.
    """

    def __init__(
        self,
        connectors: Connectors,
        around: Circumstances,
        *,
        opens: bool,
        over: Callable[[Hop], None],
        heard: Callable[[], None] | None = None,
    ) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.session: Session | None = None
        self._connectors = connectors
        self._around = around
        self._opens = opens
        self._gone = over
        self._heard = heard

    def makeConnection(self, transport: Any) -> None:
        """It is there."""
        self.transport = transport
        around = self._around
        self.session = session = Session(
            self,
            transport,
            "",
            around.settings,
            opens=self._opens,
            deadlines=around.deadlines,
            turn=around.turn,
        )
        session.start()

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the other process."""
        heard, self._heard = self._heard, None
        if heard is not None:
            heard()
        assert self.session is not None  # it is connected
        self.session.receive(data)

    def connectionLost(self, reason: Failure) -> None:
        """The other process has closed it, or is gone."""
        assert self.session is not None  # it was connected
        self.session.lost(reason)

    def abort(self, why: str) -> None:
        """Cut it."""
        if self.session is not None:
            self.session.abort(why)

    # -- net.tunnels.session.SessionOwner

    def asked(self, stream: TunnelStream) -> None:
        """The other process wants to have a stream joined to a service of a connector."""
        assert self.session is not None  # who asks
        name, _, service = stream.address.service.partition(":")
        endpoint = ServiceEndpoint(
            name, service, here=True, connectors=self._connectors
        )
        stream.attach(Incoming(self.session, stream, endpoint, self._around))

    def session_leaving(self) -> None:
        """Never meant: processes end without a word, and their connectors have left by then."""

    def session_over(self, why: str) -> None:
        """It has ended."""
        self._gone(self)


class Siblings:
    """The connectors of other processes (`net.tunnels.directory.Elsewhere`).

    `reach(process)`: a connection to a process, which asks there; None: it cannot be made. `renew(name)`: what is idle
    through a connector is to be let go.
    """

    def __init__(
        self,
        connectors: Connectors,
        reach: Callable[[int], Hop | None],
        renew: Callable[[str], None],
    ) -> None:
        self._connectors = connectors
        self._reach = reach
        self._renew = renew
        self._distant: dict[int, list[Distant]] = {}
        self._hops: dict[int, Hop] = {}

    def take(self, process: int, told: Sequence[Mapping[str, Any]]) -> None:
        """What a process has said of its connectors (`told_of_connectors`); nothing: it has none, or is gone."""
        before = {
            (one.name, one.instance): one for one in self._distant.get(process, ())
        }
        now = [
            Distant(
                process,
                one["name"],
                one["instance"],
                frozenset(one["services"]),
                one["published"],
                one["streams"],
                one["leaving"],
                one["since"],
            )
            for one in told
        ]
        self._distant[process] = now
        moved: list[str] = []
        for one in now:
            self._replace(one)
            old = before.pop((one.name, one.instance), None)
            same = old is not None and (old.services, old.published) == (
                one.services,
                one.published,
            )
            if one.leaving or (old is not None and not same):
                self._renew(one.name)
            if not same:
                moved.append(one.name)
        for name, _ in before:
            self._renew(name)
            moved.append(name)
        for name in dict.fromkeys(moved):
            self._connectors.moved(name)

    def _replace(self, one: Distant) -> None:
        """A connector that has connected again, there, is not to be asked on its old connection here."""
        for joined in self._connectors.named(one.name):
            session = joined.session
            newer = joined.instance == one.instance and session.since < one.since
            if newer and not session.leaving:
                session.abort("its connector has connected again")

    def gone(self, process: int) -> None:
        """A process has ended."""
        hop = self._hops.get(process)
        if hop is not None:
            hop.abort("the process that it was connected to has ended")
        self.take(process, ())

    def has(self, name: str, service: str, published: str) -> bool:
        """See `Elsewhere`."""
        return any(
            one.name == name
            and (service or one.published.get(published, "")) in one.services
            for each in self._distant.values()
            for one in each
        )

    def ways(
        self, name: str, service: str, published: str
    ) -> Iterator[tuple[Streams, str]]:
        """See `Elsewhere`."""
        there = [one for each in self._distant.values() for one in each]
        for one in sorted(there, key=lambda one: (one.leaving, one.streams)):
            wanted = service or one.published.get(published, "")
            if one.name != name or wanted not in one.services:
                continue
            hop = self._hop_to(one.process)
            if hop is not None and hop.session is not None:
                yield hop.session.streams, f"{name}:{wanted}"

    def _hop_to(self, process: int) -> Hop | None:
        hop = self._hops.get(process)
        if hop is None:
            hop = self._reach(process)
            if hop is not None:
                self._hops[process] = hop
        return hop

    def over(self, hop: Hop) -> None:
        """A connection to a process has ended."""
        self._hops = {n: one for n, one in self._hops.items() if one is not hop}

    def stop(self) -> None:
        """Cut all of them."""
        for hop in [*self._hops.values()]:
            hop.abort("the proxy stops")

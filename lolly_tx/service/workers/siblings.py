"""Tunnels where several processes serve: who has which connector, and how processes reach each other's.

    worker --connectors, tunnels--> Switchboard --connectors--> all workers
    worker --hop, a socket--> Switchboard --hop, the same socket--> the worker that has the connector --hopped-->

A connection between two processes is made when the first stream is asked for, and kept. The supervisor asks as well,
for its checks of targets behind a tunnel.

Imports: domain, domain.access, net, net.tunnels, service, service.workers, Twisted.
Used by: service.workers.supervisor, service.workers.worker.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.protocol import Factory

from lolly_tx.domain.access.forwarded import UNIX
from lolly_tx.domain.events import CONNECTED_WORD, GONE_WORD, connector_event
from lolly_tx.net.tunnels.connection import Circumstances
from lolly_tx.net.tunnels.directory import CONNECTED
from lolly_tx.net.tunnels.siblings import HOP, Hop, Siblings, told_of_connectors
from lolly_tx.net.turn import Turn
from lolly_tx.service.service import LollyService
from lolly_tx.service.workers.channel import Channel, Message
from lolly_tx.service.workers.crew import Crew
from lolly_tx.service.workers.seats import Seat

TOLD_SECONDS = 1.0
"""How often a worker says how its tunnels are; that a connector has come or gone is said at once."""

KEPT_SECONDS = 30.0
"""How long a descriptor that was handed over is kept open for who has not spoken: by then he is gone."""


class _Hops:
    """The connections of a process to others, and of others to it. `send(process, fd)`: whether somebody gets it."""

    def __init__(self, service: LollyService, send: Callable[[int, int], bool]) -> None:
        timeouts = service.config.timeouts
        self._reactor = service.surroundings.reactor
        self._around = Circumstances(
            HOP,
            service.commons.deadlines,
            Turn(self._reactor),
            timeouts.half_closed,
            timeouts.write,
        )
        self._send = send
        self._asking: set[Hop] = set()
        self._kept: dict[socket.socket, Any] = {}
        self.siblings = Siblings(CONNECTED, self._reach, service.tunnels.renew)
        CONNECTED.elsewhere = self.siblings

    def _reach(self, process: int) -> Hop | None:
        ours, theirs = socket.socketpair()
        if not self._send(process, theirs.fileno()):
            ours.close()
            theirs.close()
            return None
        # It is sent some time later: its number must be of nothing else by then.
        keep = self._reactor.callLater(KEPT_SECONDS, self._let_go, theirs)
        self._kept[theirs] = keep
        hop = Hop(
            CONNECTED,
            self._around,
            opens=True,
            over=self.siblings.over,
            heard=partial(self._let_go, theirs),
        )
        self._adopt(ours, hop)
        return hop

    def _let_go(self, theirs: socket.socket) -> None:
        keeping = self._kept.pop(theirs, None)
        if keeping is not None and keeping.active():
            keeping.cancel()
        theirs.close()

    def accept(self, descriptor: int) -> None:
        """Another process has connected."""
        hop = Hop(CONNECTED, self._around, opens=False, over=self._asking.discard)
        self._asking.add(hop)
        self._adopt(socket.socket(fileno=descriptor), hop)

    def _adopt(self, end: socket.socket, hop: Hop) -> None:
        end.setblocking(False)
        self._reactor.adoptStreamConnection(
            end.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: hop)
        )
        end.close()

    def stop(self) -> None:
        """Cut all of them."""
        if CONNECTED.elsewhere is self.siblings:
            CONNECTED.elsewhere = None
        self.siblings.stop()
        for hop in [*self._asking]:
            hop.abort("the proxy stops")
        for theirs in [*self._kept]:
            self._let_go(theirs)


class Reach:
    """At a worker, which is number `own`. `channel`: to the supervisor."""

    def __init__(self, service: LollyService, channel: Channel, own: int) -> None:
        self._service = service
        self._channel = channel
        self._own = own
        self._told: list[dict[str, Any]] = []
        self._next = 0.0
        self._hops = _Hops(service, self._send)
        CONNECTED.changed = self._tell

    def begin(self, connectors: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """What others had when this process began."""
        for process, told in connectors.items():
            self._take(int(process), told)

    def _take(self, process: int, told: Sequence[Mapping[str, Any]] | None) -> None:
        if process == self._own:
            return
        if told is None:
            self._hops.siblings.gone(process)
        else:
            self._hops.siblings.take(process, told)

    def _send(self, process: int, descriptor: int) -> bool:
        self._channel.send({"t": "hop", "process": process}, [descriptor])
        return self._channel.open

    def heard(self, message: Message, descriptors: list[int]) -> None:
        """What the supervisor says."""
        if message["t"] == "connectors":
            self._take(message["process"], message["connectors"])
            return
        for descriptor in descriptors:
            self._hops.accept(descriptor)
        self._channel.send({"t": "hopped", "number": message["number"]})

    def beat(self) -> None:
        """Say how tunnels are, now and again."""
        service = self._service
        now = service.now()
        if now < self._next:
            return
        self._next = now + TOLD_SECONDS
        self._tell()
        told = service.tunnels.told()
        if told:
            self._channel.send({"t": "tunnels", **told})

    def _tell(self) -> None:
        """Say who is connected, if that is news; of those who leave as long as they do."""
        told = told_of_connectors(CONNECTED)
        if told != self._told or any(one["leaving"] for one in told):
            self._told = told
            self._channel.send({"t": "connectors", "connectors": told})

    def stop(self) -> None:
        """Reach nobody any more."""
        CONNECTED.changed = None
        self._hops.stop()


class Switchboard:
    """At the supervisor. `connectors`: of each worker those that are connected to it, as it has told."""

    def __init__(self, service: LollyService, crew: Crew) -> None:
        self.connectors: dict[str, list[dict[str, Any]]] = {}
        self._service = service
        self._crew = crew
        self._shown: dict[int, dict[str, Any]] = {}
        self._past: dict[str, Any] = {}
        self._passing: dict[int, tuple[int, int]] = {}
        self._passed = 0
        self._hops = _Hops(service, partial(self._hand, number=0))

    def _hand(self, process: int, descriptor: int, number: int) -> bool:
        seats = [one for one in self._crew.manned if one.number == process]
        for seat in seats:
            self._crew.send(seat, {"t": "hop", "number": number}, [descriptor])
        return bool(seats)

    def passed(self, message: Message, descriptors: list[int]) -> None:
        """A worker wants to reach another one."""
        for descriptor in descriptors:
            self._passed = number = self._passed + 1
            process = message.get("process", 0)
            if self._hand(process, descriptor, number):
                self._passing[number] = process, descriptor
            else:
                os.close(descriptor)

    def heard(self, seat: Seat, message: Message) -> None:
        """What a worker says."""
        kind = message["t"]
        if kind == "connectors":
            self._take(seat.number, message["connectors"])
        elif kind == "tunnels":
            self._shown[seat.number] = message["tunnels"]
        elif message["number"] in self._passing:
            _, descriptor = self._passing.pop(message["number"])
            os.close(descriptor)

    def _take(self, process: int, told: list[dict[str, Any]] | None) -> None:
        self._emit(self.connectors.get(str(process), ()), told or ())
        if told is None:
            self.connectors.pop(str(process), None)
            self._hops.siblings.gone(process)
        else:
            self.connectors[str(process)] = told
            self._hops.siblings.take(process, told)
        self._crew.tell({"t": "connectors", "process": process, "connectors": told})

    def _emit(
        self, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
    ) -> None:
        """An event for each that has come or gone; workers emit none."""
        before = {(one["name"], one["instance"]): one for one in old}
        after = {(one["name"], one["instance"]): one for one in new}
        for word, these, those in (
            (CONNECTED_WORD, after, before),
            (GONE_WORD, before, after),
        ):
            for key in [key for key in these if key not in those]:
                one = these[key]
                cause = f"tunnel {one['tunnel']}, from {one['client'] or UNIX}"
                now = self._service.now()
                self._service.tunnels.emit(connector_event(now, key[0], word, cause))

    def lost(self, seat: Seat) -> None:
        """A worker is gone: so are the connections of its connectors, and what it counted stays."""
        for number, (process, descriptor) in [*self._passing.items()]:
            if process == seat.number:
                del self._passing[number]
                os.close(descriptor)
        if self.connectors.get(str(seat.number)) is not None:
            self._take(seat.number, None)
        shown = self._shown.pop(seat.number, None)
        if shown is not None:
            self._past = together([self._past, _counted(shown)])

    def statistics(self) -> dict[str, Any]:
        """What `Tunnels.told` says, of all workers."""
        told = self._service.tunnels.told()
        if not told:
            return {}
        found = together([told["tunnels"], self._past, *self._shown.values()])
        there = self._service.tunnels
        found["tunnels"] = {
            tunnel: {name: each for name, each in one.items() if name in known}
            for tunnel, one in found["tunnels"].items()
            if tunnel in there.servers
            for known in (there.servers[tunnel].tunnel.connectors,)
        }
        return {"tunnels": found}

    def stop(self) -> None:
        """Reach nobody any more."""
        self._hops.stop()


def _counted(shown: Mapping[str, Any]) -> dict[str, Any]:
    """What of it stays when its process has ended."""
    return {
        "tunnels": {
            tunnel: {name: {**one, "connected": []} for name, one in each.items()}
            for tunnel, each in shown["tunnels"].items()
        },
        "denied": shown["denied"],
        "connectors": {},
    }


def together(shown: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What several processes show of their tunnels (`Tunnels.shown`), as if they were one."""
    found: dict[str, Any] = {"tunnels": {}, "denied": {}, "connectors": {}}
    for one in shown:
        for tunnel, connectors in one.get("tunnels", {}).items():
            there = found["tunnels"].setdefault(tunnel, {})
            for name, each in connectors.items():
                there[name] = _added(there.get(name), each)
        for tunnel, words in one.get("denied", {}).items():
            counts = found["denied"].setdefault(tunnel, {})
            for word, count in words.items():
                counts[word] = counts.get(word, 0) + count
        for name, dialings in one.get("connectors", {}).items():
            found["connectors"].setdefault(name, []).extend(dialings)
    return found


def _added(one: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    if one is None:
        return {**more, "connected": [*more["connected"]]}
    return {
        "connected": [*one["connected"], *more["connected"]],
        **{
            word: one[word] + more[word] for word in ("joined", "bytes_in", "bytes_out")
        },
        "lost": more["lost"] or one["lost"],
    }

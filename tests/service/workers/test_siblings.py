"""Who has which connector among the workers, and what becomes of the descriptors that are handed over."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.limits import Timeouts
from lolly_tx.domain.events import Event
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.tunnels.directory import CONNECTED, ServiceEndpoint
from lolly_tx.service.workers.siblings import KEPT_SECONDS, Reach, Switchboard, together

HOME: dict[str, Any] = {
    "name": "home",
    "tunnel": "edge",
    "client": "192.0.2.1",
    "instance": "i",
    "services": ["web"],
    "published": {},
    "streams": 0,
    "leaving": False,
    "since": 1.0,
}


FROM = "tunnel edge, from 192.0.2.1"


def shown(client: str, **more: Any) -> dict[str, Any]:
    """What a process shows of a tunnel with one connector."""
    home = {"joined": 1, "bytes_in": 10, "bytes_out": 20, "lost": None} | more
    home["connected"] = [{"client": client}] if client else []
    return {
        "tunnels": {"edge": {"home": home}},
        "denied": {"edge": {"denied": 2}},
        "connectors": {"away": [{"state": "up"}]},
    }


class Reactor(Clock):
    """Keeps the protocols of what it adopts."""

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[Any] = []

    def adoptStreamConnection(self, fd: int, family: int, factory: Any) -> None:
        os.fstat(fd)
        protocol = factory.buildProtocol(None)
        self.adopted.append(protocol)
        transport: Any = StringTransport()
        transport.abortConnection = transport.loseConnection
        protocol.makeConnection(transport)


class SiblingsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """What a service has, as far as it is asked for here."""
        self.reactor = Reactor()
        seconds = self.reactor.seconds
        deadlines = Deadlines(self.reactor, seconds)
        self.renewed: list[str] = []
        self.events: list[Event] = []
        servers = {"edge": SimpleNamespace(tunnel=SimpleNamespace(connectors=["home"]))}
        told = {"tunnels": shown("", joined=0, bytes_in=0, bytes_out=0)}
        told["tunnels"]["denied"] = {}
        self.service: Any = SimpleNamespace(
            config=SimpleNamespace(timeouts=Timeouts()),
            surroundings=SimpleNamespace(reactor=self.reactor),
            commons=SimpleNamespace(deadlines=deadlines),
            tunnels=SimpleNamespace(
                renew=self.renewed.append,
                emit=self.events.append,
                servers=servers,
                told=lambda: told,
            ),
            now=seconds,
        )
        self.addCleanup(self.forget)

    def forget(self) -> None:
        """Leave nothing for the next test."""
        CONNECTED.elsewhere = CONNECTED.changed = None

    def open_again(self, fd: int) -> bool:
        """The descriptor is open."""
        try:
            os.fstat(fd)
        except OSError:
            return False
        return True

    def end(self) -> int:
        """A descriptor that is handed over."""
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        return other.detach()


class SwitchboardTests(SiblingsTestCase):
    def setUp(self) -> None:
        """Two workers, of which number 1 is there."""
        super().setUp()
        self.sent: list[tuple[int, dict[str, Any], list[int]]] = []
        self.told: list[dict[str, Any]] = []
        self.seats: Any = [SimpleNamespace(number=n) for n in (1, 2)]
        crew: Any = SimpleNamespace(
            manned=self.seats[:1],
            send=lambda seat, message, fds=(): self.sent.append(
                (seat.number, message, [*fds])
            ),
            tell=self.told.append,
        )
        self.board = Switchboard(self.service, crew)

    def test_relayed(self) -> None:
        """What a worker hands over goes to the one it names, and is closed when that one has it, or is gone."""
        first, second = self.end(), self.end()
        self.board.passed({"t": "hop", "process": 1}, [first])
        self.board.passed({"t": "hop", "process": 1}, [second])
        self.assertEqual(
            self.sent,
            [(1, {"t": "hop", "number": 1}, [first])]
            + [(1, {"t": "hop", "number": 2}, [second])],
        )
        self.assertTrue(self.open_again(first))
        self.board.heard(self.seats[0], {"t": "hopped", "number": 1})
        self.assertFalse(self.open_again(first))
        self.board.heard(self.seats[0], {"t": "hopped", "number": 1})
        self.board.lost(self.seats[0])
        self.assertFalse(self.open_again(second))

    def test_nobody(self) -> None:
        """What is for a worker that is not there is closed."""
        for process in (2, 3):
            fd = self.end()
            self.board.passed({"t": "hop", "process": process}, [fd])
            self.assertFalse(self.open_again(fd))
        self.assertEqual(self.sent, [])

    def test_own(self) -> None:
        """The supervisor reaches connectors too, for checks, and keeps no descriptor of what it hands over."""
        self.board.heard(self.seats[0], {"t": "connectors", "connectors": [HOME]})
        waiting = ServiceEndpoint("home", "web").connect(Factory())
        [(_, message, [fd])] = self.sent
        self.assertEqual(message, {"t": "hop", "number": 0})
        self.assertTrue(self.open_again(fd))
        [hop] = self.reactor.adopted
        hop.dataReceived(b"")
        self.assertFalse(self.open_again(fd))
        self.board.heard(self.seats[0], {"t": "hopped", "number": 0})
        self.board.stop()
        self.failureResultOf(waiting)
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_silent(self) -> None:
        """Of who never speaks the descriptor is not kept for ever."""
        self.board.heard(self.seats[0], {"t": "connectors", "connectors": [HOME]})
        waiting = ServiceEndpoint("home", "web").connect(Factory())
        [(_, _, [fd])] = self.sent
        self.reactor.advance(KEPT_SECONDS)
        self.assertFalse(self.open_again(fd))
        self.board.lost(self.seats[0])
        self.failureResultOf(waiting)

    def test_told(self) -> None:
        """All hear of the connectors of one, and that they are gone with it; who begins is told what there is."""
        self.board.heard(self.seats[0], {"t": "connectors", "connectors": [HOME]})
        self.assertEqual(self.board.connectors, {"1": [HOME]})
        self.board.lost(self.seats[0])
        self.board.lost(self.seats[1])
        self.assertEqual([one["connectors"] for one in self.told], [[HOME], None])
        self.assertEqual(self.board.connectors, {})
        self.assertEqual(self.renewed, ["home"])
        self.assertEqual(
            [(one.fact, one.node, one.old, one.new, one.cause) for one in self.events],
            [
                ("connector", "home", "gone", "connected", FROM),
                ("connector", "home", "connected", "gone", FROM),
            ],
        )

    def test_statistics(self) -> None:
        """Numbers are those of all workers, and what one has counted stays when it is gone."""
        for seat, client in zip(self.seats, ("a", "b"), strict=True):
            message = {"t": "tunnels", "tunnels": shown(client)}
            self.board.heard(seat, message)
        self.board.lost(self.seats[0])
        told = self.board.statistics()["tunnels"]
        home = told["tunnels"]["edge"]["home"]
        self.assertEqual(
            (home["joined"], home["bytes_in"], home["bytes_out"]), (2, 20, 40)
        )
        self.assertEqual(home["connected"], [{"client": "b"}])
        self.assertEqual(told["denied"], {"edge": {"denied": 4}})
        self.assertEqual(len(told["connectors"]["away"]), 2)  # of "b", and its own
        self.service.tunnels.servers.clear()
        self.assertEqual(self.board.statistics()["tunnels"]["tunnels"], {})
        self.service.tunnels.told = dict
        self.assertEqual(self.board.statistics(), {})

    def test_lost(self) -> None:
        """Why the last one has gone is what any of them says."""
        one = together([shown("a", lost="cut"), shown("b")])
        self.assertEqual(one["tunnels"]["edge"]["home"]["lost"], "cut")


class ReachTests(SiblingsTestCase):
    channel: Any

    def setUp(self) -> None:
        """Number 1, with a channel that keeps what is sent."""
        super().setUp()
        self.sent: list[tuple[dict[str, Any], list[int]]] = []
        self.channel = SimpleNamespace(
            open=True,
            send=lambda message, fds=(): self.sent.append((message, [*fds])),
        )
        self.reach = Reach(self.service, self.channel, 1)

    def test_asks(self) -> None:
        """It reaches a connector of a sibling through the supervisor, but none of its own list."""
        self.reach.begin({"1": [HOME], "2": [HOME]})
        waiting = ServiceEndpoint("home", "web").connect(Factory())
        [(message, [fd])] = self.sent
        self.assertEqual(message, {"t": "hop", "process": 2})
        self.assertTrue(self.open_again(fd))
        said = {"t": "connectors", "process": 2, "connectors": None}
        self.reach.heard(said, [])
        self.failureResultOf(waiting)
        self.reach.stop()
        self.assertFalse(self.open_again(fd))

    def test_orphan(self) -> None:
        """Without a supervisor nobody else can be reached, and nothing stays open."""
        self.reach.begin({"2": [HOME]})
        self.channel.open = False
        self.failureResultOf(ServiceEndpoint("home", "web").connect(Factory()))
        [(_, [fd])] = self.sent
        self.assertFalse(self.open_again(fd))
        self.assertEqual(self.reactor.adopted, [])

    def test_asked(self) -> None:
        """What a sibling hands over is taken, and that is said; a stop cuts it."""
        fd = self.end()
        self.reach.heard({"t": "hop", "number": 7}, [fd])
        self.assertEqual(self.sent, [({"t": "hopped", "number": 7}, [])])
        [hop] = self.reactor.adopted
        self.assertFalse(self.open_again(fd))
        self.reach.stop()
        self.assertTrue(hop.session.closed)

    def test_beat(self) -> None:
        """How tunnels are is said each second, who is connected only when it is news."""
        for _ in range(3):
            self.reach.beat()
        self.reactor.advance(1.0)
        self.reach.beat()
        self.assertEqual([one["t"] for one, _ in self.sent], ["tunnels"] * 2)
        self.service.tunnels.told = dict
        self.reactor.advance(1.0)
        self.reach.beat()
        self.assertEqual(len(self.sent), 2)

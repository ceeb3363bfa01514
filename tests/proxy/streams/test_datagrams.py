"""Tests of streams of datagrams: who gets a session, with whom, for how long, and what is counted."""

from __future__ import annotations

import errno
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import NameNotResolved
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.net.client_lines import line_of
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.link import ASKED, Link
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.records.record import session_entry
from lolly_tx.proxy.streams.datagrams import (
    MOST_TRIED,
    DatagramCounters,
    DatagramStreaming,
)
from tests.domain.pools import BAD, pool_of
from tests.net.datagrams import HERE, World


def udp(name: str, host: str, **settings: Any) -> Target:
    """A target that is sent datagrams."""
    return Target(id=name, address=f"udp://{host}:53", host=host, port=53, **settings)


class DatagramStreamingTests(SynchronousTestCase):
    def start(self, *targets: Target, balance: str = "round_robin") -> None:
        """A stream with a pool of these, in memory."""
        self.names: dict[str, Any] = {}
        self.pool = pool_of(*targets, balance=balance)
        self.forwarder = FakeForwarder(self)
        self.links: list[Link] = []
        self.site = DatagramStreaming(
            "s",
            lambda: cast(Any, self.forwarder),
            self.resolve,
            counters=DatagramCounters(),
            links=lambda: self.links,
            along=Along(
                "stream s", client_of=lambda peer, head: peer.address, wall=lambda: 0.0
            ),
            idle=60.0,
            parting=5.0,
            header_of=lambda peer: self.header,
        )
        self.header = b""
        self.world = World(site=self.site)
        self.addCleanup(self.world.deadlines.stop)

    def resolve(self, name: str) -> Deferred[Any]:
        """What the test says of a name."""
        found = self.names[name]
        return found if isinstance(found, Deferred) else succeed(found)

    def in_flight(self) -> list[int]:
        """The leases of each target."""
        return [node.in_flight for node in self.pool.nodes.values()]

    def failures(self) -> list[int]:
        """What is held against each target."""
        return [node.stats.failures for node in self.pool.nodes.values()]

    def test_lease(self) -> None:
        """A session is one lease for as long as it lasts, and a success when there was an answer."""
        self.start(udp("a", "10.0.0.1"), udp("b", "10.0.0.2"))
        for number in (1, 2):
            self.world.say(b"x", number)
            self.world.say(b"y", number)
        self.assertEqual(self.in_flight(), [1, 1])
        self.world.made[0].inbox.append(b"answer")
        self.world.session(1).doRead()
        self.world.pass_time(61)
        self.assertEqual(self.in_flight(), [0, 0])
        nodes = self.pool.nodes.values()
        self.assertEqual([n.stats.successes for n in nodes], [1, 0])
        counters = self.site.counters
        self.assertEqual((counters.served, counters.sent, counters.received), (2, 4, 6))
        self.assertEqual((counters.datagrams, counters.answers), (4, 1))
        self.assertEqual(counters.ended, {"idle": 2})

    def test_max_conns(self) -> None:
        """With all targets full a client gets nothing, and that is counted by its reason."""
        self.start(udp("a", "10.0.0.1", max_conns=1))
        self.world.say(b"x", 1)
        self.world.say(b"x", 2)
        self.assertEqual(list(self.world.port.sessions), [("10.9.9.9", 1)])
        self.assertEqual(self.site.counters.refused, {"connection_limit_reached": 1})

    def test_all_down(self) -> None:
        """With nobody there every datagram is refused, and nothing stays of it."""
        self.start(udp("a", "10.0.0.1", down=True))
        for _ in range(3):
            self.world.say(b"x")
        self.assertEqual(self.world.port.sessions, {})
        self.assertEqual(self.site.counters.refused, {"destination_unavailable": 3})
        self.assertEqual(self.world.census.open, 0)

    def test_ejected(self) -> None:
        """Refusals in a row take a target out, as failed connects do, and sessions go elsewhere."""
        self.start(udp("a", "10.0.0.1"), udp("b", "10.0.0.2"), balance="first")
        refused = OSError(errno.ECONNREFUSED, "")
        for number in range(3):
            self.world.say(b"x", number)
            session = self.world.session(number)
            self.world.made[-1].inbox.append(refused)
            session.doRead()
        self.assertEqual(self.pool.nodes["a"].ejection, "ejected")
        self.world.say(b"x", 7)
        self.assertEqual(self.world.dialled[-1][0], "10.0.0.2")

    def test_last_one(self) -> None:
        """A target that is the only one is sent to however often it refuses: nobody else is there."""
        self.start(udp("a", "10.0.0.1"))
        for _ in range(5):
            self.world.say(b"x")
            self.world.made[-1].inbox.append(OSError(errno.ECONNREFUSED, ""))
            self.world.session().doRead()
        self.assertEqual(self.failures(), [5])
        self.world.say(b"x")
        self.assertEqual(len(self.world.made), 6)

    def test_no_way_there(self) -> None:
        """A target that cannot be sent to from here has failed, and others are tried; not endlessly."""
        self.start(*(udp(f"t{n}", f"10.0.0.{n}") for n in range(1, 7)))
        self.world.trouble.append(OSError(errno.ENETUNREACH, ""))
        self.world.say(b"x")
        self.assertEqual(sum(self.failures()), 1)
        self.assertEqual(self.world.made[0].outbox, [b"x"])
        self.world.trouble += [OSError(errno.ENETUNREACH, "")] * 9
        self.world.say(b"x", 2)
        self.assertEqual(len(self.world.dialled), 2 + MOST_TRIED)
        self.assertEqual(self.in_flight().count(1), 1)
        self.assertEqual(self.site.counters.refused, {"connection_refused": 1})

    def test_out_of_descriptors(self) -> None:
        """What this machine has run out of is held against nobody."""
        self.start(udp("a", "10.0.0.1"), udp("b", "10.0.0.2"))
        self.world.trouble.append(OSError(errno.EMFILE, ""))
        self.world.say(b"x")
        self.assertEqual((self.failures(), self.in_flight()), ([0, 0], [0, 0]))
        self.assertEqual(self.site.counters.refused, {"connection_limit_reached": 1})

    def test_names(self) -> None:
        """A name is looked up for each session; with several addresses a failure has the next one tried."""
        self.start(udp("a", "dns.example.com"))
        self.names["dns.example.com"] = ("10.0.0.1", "10.0.0.2")
        self.world.say(b"x", 1)
        self.world.made[0].inbox.append(OSError(errno.ECONNREFUSED, ""))
        self.world.session(1).doRead()
        self.world.say(b"x", 1)
        self.assertEqual(self.world.dialled, [("10.0.0.1", 53), ("10.0.0.2", 53)])

    def test_name_later(self) -> None:
        """What a client sends during the lookup goes to the target when it is found."""
        self.start(udp("a", "dns.example.com"))
        self.names["dns.example.com"] = waiting = Deferred[Any]()
        self.world.say(b"x")
        self.world.say(b"y")
        self.assertEqual(self.world.made, [])
        waiting.callback(("10.0.0.1",))
        self.assertEqual(self.world.made[0].outbox, [b"x", b"y"])

    def test_no_such_name(self) -> None:
        """A name without addresses sends the session elsewhere; with nobody else it gets nothing."""
        self.start(udp("a", "nowhere.example"), udp("b", "10.0.0.2"), balance="first")
        self.names["nowhere.example"] = Deferred[Any]()
        self.world.say(b"x")
        self.names["nowhere.example"].errback(NameNotResolved("no such name"))
        self.assertEqual(self.world.made[0].outbox, [b"x"])
        self.assertEqual(self.failures(), [1, 0])

    def test_given_up(self) -> None:
        """A session that ends during the lookup ends it, too."""
        self.start(udp("a", "dns.example.com"))
        cancelled: list[Any] = []
        self.names["dns.example.com"] = Deferred[Any](cancelled.append)
        self.world.say(b"x")
        self.world.session().shut()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual((self.in_flight(), self.failures()), ([0], [0]))

    def test_bug(self) -> None:
        """A bug of ours ends the session, is logged, and leaves no lease."""
        self.start(udp("a", "dns.example.com"))
        self.names["dns.example.com"] = ()
        self.world.say(b"x")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.in_flight(), [0])
        self.assertEqual(self.world.port.sessions, {})

    def fit(self, name: str, since: float = 0.0) -> bool:
        """Whether sessions to that target go on."""
        return self.site.stays(
            self.pool.nodes[name], since, self.world.reactor.seconds()
        )

    def test_stays(self) -> None:
        """Sessions go on at a target that drains, and leave one that is down if somebody else is there."""
        self.start(udp("a", "10.0.0.1"), udp("b", "10.0.0.2"))
        pool: Pool = self.pool
        self.assertTrue(self.fit("a", float("inf")))
        pool.set_enabled("a", "drain", "test", 0.0)
        self.assertTrue(self.fit("a"))
        pool.set_enabled("a", "down", "test", 0.0)
        self.assertFalse(self.fit("a"))
        pool.set_enabled("b", "down", "test", 0.0)
        self.assertTrue(self.fit("a"))
        pool.set_enabled("a", "up", "test", 0.0)
        pool.set_enabled("b", "up", "test", 0.0)
        pool.observe("a", BAD, 0.0)
        self.assertFalse(self.fit("a"))

    def test_removed(self) -> None:
        """At a target that was removed they go on for a while."""
        self.start(udp("a", "10.0.0.1"), udp("b", "10.0.0.2"))
        node = self.pool.nodes["a"]
        self.pool = self.forwarder.pool = pool_of(udp("b", "10.0.0.2"))
        self.assertTrue(self.site.stays(node, 0.0, 4.9))
        self.assertFalse(self.site.stays(node, 0.0, 5.0))

    def test_drops(self) -> None:
        """What was not passed on is counted by why, each way for itself."""
        self.start(udp("a", "10.0.0.1"))
        for why, upwards in (("too long", True), ("too long", True), ("x", False)):
            self.site.dropped(why, upwards)
        self.assertEqual(self.site.counters.dropped_up, {"too long": 2})
        self.assertEqual(self.site.counters.dropped_down, {"x": 1})

    def test_header(self) -> None:
        """What a target is told of a client is made of where both are."""
        self.start(udp("a", "10.0.0.1"))
        peers: list[Any] = []

        def header_of(peer: Any) -> bytes:
            peers.append(peer)
            return b"of him:"

        self.site._header_of = header_of
        self.world.say(b"x")
        self.assertEqual(self.world.made[0].outbox, [b"of him:x"])
        line = line_of(peers[0])
        self.assertEqual((line.source, line.source_port), ("10.9.9.9", 1))
        self.assertEqual((line.destination, line.destination_port), HERE)

    def test_record(self) -> None:
        """A session that is over is told of as an exchange is; one that got nothing is only counted."""
        self.start(udp("a", "10.0.0.1", max_conns=1))
        self.world.say(b"four", 1)
        self.world.say(b"x", 2)
        self.world.reactor.advance(0.25)
        self.world.made[0].inbox.append(b"answer")
        self.world.session(1).doRead()
        self.assertEqual(self.forwarder.in_flight, 1)
        self.world.pass_time(61)
        self.assertEqual(self.forwarder.in_flight, 0)
        [record] = self.forwarder.records
        entry = session_entry(record, "10.9.9.9", 1000.0, self.world.reactor.seconds())
        self.assertEqual(
            (entry.listener, entry.ended, entry.status, entry.bytes_sent),
            ("s", "idle", 200, 6),
        )
        self.assertEqual((entry.upstream, record.bytes_in), ("udp://10.0.0.1:53", 4))
        self.assertEqual(entry.upstream_seconds, 0.25)

    def test_middleware(self) -> None:
        """What decides about clients decides about sessions: nobody is asked for, and it hears of the end."""
        self.start(udp("a", "10.0.0.1"))
        guard = Guard()
        self.links.append(Link("guard", guard))
        self.world.say(b"x", 1)
        guard.answer = Answer(403)
        self.world.say(b"x", 2)
        self.assertEqual(list(self.world.port.sessions), [("10.9.9.9", 1)])
        self.assertEqual(self.site.counters.refused, {"guard": 1})
        self.assertEqual(guard.seen, ["10.9.9.9", "10.9.9.9"])
        self.assertEqual(guard.over, 1)
        self.world.session(1).shut()
        self.assertEqual(guard.over, 2)
        self.assertEqual(self.forwarder.in_flight, 0)

    def test_middleware_that_thinks(self) -> None:
        """What comes meanwhile is kept."""
        self.start(udp("a", "10.0.0.1"))
        guard = Guard()
        guard.answer = thinking = Deferred[Any]()
        self.links.append(Link("guard", guard))
        self.world.say(b"x")
        self.world.say(b"y")
        self.assertEqual(self.world.made, [])
        thinking.callback(None)
        self.assertEqual(self.world.made[0].outbox, [b"x", b"y"])


class FakeForwarder:
    """The part of a forwarder that is asked here."""

    def __init__(self, case: DatagramStreamingTests) -> None:
        self._case = case
        self.in_flight = 0
        self.records: list[Any] = []
        self.pool: Any = case.pool

    def record(self, record: Any, *said: Any) -> None:
        self.in_flight -= 1
        self.records.append(record)


class Guard(Middleware):
    """Says what the test wants."""

    touches = frozenset({ASKED})

    def __init__(self) -> None:
        self.answer: Any = None
        self.seen: list[str] = []
        self.over = 0

    def request(self, passage: Any) -> Any:
        self.seen.append(passage.known.client)
        passage.when_over(self._over)
        return self.answer

    def _over(self) -> None:
        self.over += 1

"""Tests of sessions of datagrams and of the port where they come, with sockets in memory."""

from __future__ import annotations

import errno
import socket
import struct

from twisted.internet.main import CONNECTION_LOST
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.datagrams import port as ports
from lolly_tx.net.datagrams.port import AT_ONCE
from lolly_tx.net.datagrams.session import (
    ANSWERS_AT_ONCE,
    EARLY_DATAGRAMS,
    LAST_ANSWER_SECONDS,
)
from lolly_tx.net.datagrams.sockets import (
    IP_PKTINFO,
    answering_from,
    asked_at,
    text_of,
    why_dropped,
)
from tests.net.datagrams import World

REFUSED = OSError(errno.ECONNREFUSED, "")


class WorldTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A port that nobody has sent to."""
        self.world = World()
        self.addCleanup(self.world.deadlines.stop)


class SessionTests(WorldTestCase):
    def test_both_ways(self) -> None:
        """What a client sends goes to its target, empty datagrams too, and answers go back to it."""
        world = self.world
        world.say(b"one")
        world.say(b"")
        [target] = world.made
        self.assertEqual(target.outbox, [b"one", b""])
        session = world.session()
        target.inbox += [b"answer", b""]
        session.doRead()
        client = ("10.9.9.9", 1)
        self.assertEqual(world.socket.outbox, [(b"answer", client), (b"", client)])
        self.assertEqual((session.sent, session.received), (3, 6))
        self.assertEqual((session.datagrams, session.answers), (2, 2))

    def test_each_client(self) -> None:
        """Two ports of one machine are two clients, each with a lease of its own."""
        world = self.world
        world.say(b"a", 1)
        world.say(b"b", 2)
        world.say(b"c", 1)
        self.assertEqual([one.outbox for one in world.made], [[b"a", b"c"], [b"b"]])
        self.assertEqual(world.leases(), 2)

    def test_idle(self) -> None:
        """A session ends when nothing came either way for its time, and nothing is left of it."""
        world = self.world
        world.say(b"a")
        [target] = world.made
        world.pass_time(59)
        target.inbox.append(b"still here")
        world.session().doRead()
        world.pass_time(59)
        self.assertEqual(world.site.ends, [])
        world.say(b"so am I")
        world.pass_time(59)
        self.assertEqual(world.site.ends, [])
        world.pass_time(1.2)
        self.assertEqual(world.site.ends, ["idle"])
        self.assertEqual(target.fileno(), -1)
        self.assertEqual(world.port.sessions, {})
        self.assertEqual(world.leases(), 0)
        self.assertEqual(world.census.open, 0)
        self.assertEqual(world.reactor.readers, [world.port])
        self.assertEqual(len(world.deadlines), 0)
        world.say(b"back")
        self.assertEqual(world.made[1].outbox, [b"back"])

    def test_one_timer(self) -> None:
        """Sessions have no timers of their own."""
        world = self.world
        before = len(world.reactor.getDelayedCalls())
        for number in range(3):
            world.say(b"x", number)
        self.assertEqual(len(world.reactor.getDelayedCalls()), before)

    def test_refused_on_sending(self) -> None:
        """The datagram that finds out goes elsewhere; the target has failed."""
        world = self.world
        world.say(b"a")
        session = world.session()
        first = session.node
        world.made[0].trouble.append(REFUSED)
        world.say(b"b")
        self.assertEqual(world.made[1].outbox, [b"b"])
        assert first is not None
        self.assertEqual(first.stats.failures, 1)
        self.assertEqual(first.in_flight, 0)
        self.assertIsNot(world.session().node, first)
        self.assertEqual(world.site.avoided[1], (first,))
        self.assertEqual(world.site.ends, ["target_refused"])
        self.assertTrue(session.closed)

    def test_refused_on_reading(self) -> None:
        """The same is told when the socket is read; the next datagram goes elsewhere."""
        world = self.world
        world.say(b"a")
        first = world.session().node
        world.made[0].inbox.append(REFUSED)
        world.session().doRead()
        self.assertEqual(world.port.sessions, {})
        world.say(b"b")
        self.assertEqual(world.site.avoided[1], (first,))
        self.assertEqual(world.made[1].outbox, [b"b"])

    def test_refused_after_answers(self) -> None:
        """A target that has answered before has failed all the same when it is gone."""
        world = self.world
        world.say(b"a")
        node = world.session().node
        assert node is not None
        world.made[0].inbox.append(b"answer")
        world.session().doRead()
        world.made[0].inbox.append(REFUSED)
        world.session().doRead()
        self.assertEqual((node.stats.failures, node.stats.successes), (1, 0))

    def test_refused_as_a_hang_up(self) -> None:
        """Reactors that poll say so by ending the socket."""
        world = self.world
        world.say(b"a")
        session = world.session()
        world.made[0].pending = errno.EHOSTUNREACH
        session.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(world.site.ends, ["target_refused"])
        session.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(world.site.ends, ["target_refused"])

    def test_end_of_the_reactor(self) -> None:
        """A reactor that ends takes sessions and port along; nobody is to blame."""
        world = self.world
        world.say(b"a", 1)
        world.say(b"a", 2)
        world.session().connectionLost(Failure(CONNECTION_LOST))
        world.port.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(world.site.ends, ["stopped", "stopped"])
        self.assertEqual(world.socket.fileno(), -1)
        failures = [n.stats.failures for n in world.site.pool.nodes.values()]
        self.assertEqual(failures, [0, 0])
        world.port.connectionLost(Failure(CONNECTION_LOST))

    def test_no_room(self) -> None:
        """What the kernel does not take is dropped and counted, on either side, and the session goes on."""
        world = self.world
        world.say(b"a")
        target, session = world.made[0], world.session()
        target.trouble += [
            BlockingIOError(errno.EAGAIN, ""),
            OSError(errno.ENOBUFS, ""),
        ]
        world.say(b"b")
        world.say(b"c")
        target.trouble.append(OSError(errno.EMSGSIZE, ""))
        world.say(b"d")
        target.inbox.append(b"answer")
        world.socket.trouble.append(BlockingIOError(errno.EAGAIN, ""))
        session.doRead()
        target.inbox.append(OSError(errno.ENOMEM, ""))
        session.doRead()
        self.assertEqual(
            world.site.drops,
            [
                ("no room in the socket", True),
                ("no socket buffer left", True),
                ("too long", True),
                ("no room in the socket", False),
                ("no memory left", False),
            ],
        )
        self.assertEqual(target.outbox, [b"a"])
        self.assertFalse(session.closed)

    def test_client_that_is_gone(self) -> None:
        """What ICMP says of a client ends nothing."""
        world = self.world
        world.say(b"a")
        world.made[0].inbox.append(b"answer")
        world.socket.trouble.append(REFUSED)
        world.session().doRead()
        self.assertEqual(world.site.drops, [])
        self.assertFalse(world.session().closed)

    def test_header(self) -> None:
        """A header goes in front of each datagram."""
        self.world.site.header = b"PROXY:"
        self.world.say(b"a")
        self.world.say(b"b")
        self.assertEqual(self.world.made[0].outbox, [b"PROXY:a", b"PROXY:b"])

    def test_before_there_is_a_target(self) -> None:
        """Some datagrams are kept while its name is looked up; an idle time without one ends the session, too."""
        world = self.world
        world.site.at_once = False
        for _ in range(EARLY_DATAGRAMS + 2):
            world.say(b"x")
        session = world.session()
        self.assertEqual(
            world.site.drops, [("its target is still looked for", True)] * 2
        )
        session.open("10.0.0.1", 53)
        self.assertEqual(world.made[0].outbox, [b"x"] * EARLY_DATAGRAMS)
        world.say(b"y", 2)
        world.pass_time(61)
        self.assertEqual(world.site.ends, ["idle", "idle"])
        self.assertEqual(world.leases(), 0)

    def test_target_left(self) -> None:
        """Once in a while it is asked whether the target is still one to send to; if not, somebody else is."""
        world = self.world
        world.say(b"a")
        world.site.fit = False
        world.say(b"b")
        self.assertEqual(len(world.made), 1)
        world.pass_time(1.1)
        world.say(b"c")
        self.assertEqual(world.site.ends, ["target_left"])
        self.assertEqual(world.made[1].outbox, [b"c"])
        world.site.fit = True
        world.pass_time(1.1)
        world.say(b"d")
        self.assertEqual(world.made[1].outbox, [b"c", b"d"])

    def test_trial_without_answers(self) -> None:
        """A trial with a target that never answers is a good one when nobody has refused it for a second."""
        world = self.world
        node = next(iter(world.site.pool.nodes.values()))
        for _ in range(3):
            world.site.pool.acquire(0.0, avoid=()).release(0.0)
        world.say(b"a")
        session = world.session()
        session._trial = True
        world.pass_time(1.1)
        world.say(b"b")
        assert session.lease is not None
        self.assertEqual(session.lease.status, 200)
        self.assertFalse(session._trial)
        self.assertEqual(node.stats.failures, 0)

    def test_turns(self) -> None:
        """Neither side has more than its part of a turn; the rest is for the next one."""
        world = self.world
        world.say(b"a")
        world.socket.inbox.extend([(b"x", ("10.9.9.9", 1))] * (AT_ONCE + 5))
        world.port.doRead()
        self.assertEqual(len(world.socket.inbox), 5)
        target = world.made[0]
        target.inbox.extend([b"y"] * (ANSWERS_AT_ONCE + 5))
        world.session().doRead()
        self.assertEqual(len(target.inbox), 5)


class AcceptorTests(WorldTestCase):
    def test_cap(self) -> None:
        """At the cap the new get nothing, nobody is evicted, and the log says so once a second."""
        world = self.world
        with capturedLogs() as log:
            for number in range(10):
                world.say(b"x", number)
            self.assertEqual(len(world.port.sessions), 3)
            self.assertEqual(world.acceptor.turned_away, 7)
            warned = [one for one in log if one["log_level"] is LogLevel.warn]
            self.assertEqual([one["untold"] for one in warned], [1])
            world.pass_time(1.1)
            world.say(b"x", 11)
            warned = [one for one in log if one["log_level"] is LogLevel.warn]
            self.assertEqual([one["untold"] for one in warned], [1, 7])
        self.assertEqual(sorted(key[1] for key in world.port.sessions), [0, 1, 2])
        world.say(b"y", 0)
        self.assertEqual(world.made[0].outbox, [b"x", b"y"])

    def test_other_settings(self) -> None:
        """Sessions to come go by new settings, those there are by the ones they began with."""
        world, other = self.world, World(most=4)
        self.addCleanup(other.deadlines.stop)
        world.say(b"x", 1)
        world.acceptor.go_by(other.acceptor)
        self.assertEqual(world.acceptor.most, 4)
        world.say(b"x", 2)
        self.assertIs(world.session(1).site, world.site)
        self.assertIs(world.session(2).site, other.site)
        self.assertEqual(len(world.acceptor.doors), 2)


class PortTests(WorldTestCase):
    def test_addresses_of_ours(self) -> None:
        """Bound to every address, it answers from the one that was asked, and tells clients apart by it."""
        world = World(name=("0.0.0.0", 53))
        self.addCleanup(world.deadlines.stop)
        for last in (1, 2, 1):
            told = struct.pack("@I4s4s", 7, bytes((10, 0, 0, last)), bytes(4))
            said = [(socket.IPPROTO_IP, IP_PKTINFO, told)]
            world.socket.inbox.append((b"x", ("10.9.9.9", 1), said))
        world.port.doRead()
        self.assertEqual([one.outbox for one in world.made], [[b"x", b"x"], [b"x"]])
        for session in world.port.sessions.values():
            index = 0 if session.asked_at[-1] == 1 else 1
            world.made[index].inbox.append(b"y")
            session.doRead()
        froms = [sent[1][0][2] for sent in world.socket.outbox]
        wanted = [
            struct.pack("@I4s4s", 0, bytes((10, 0, 0, n)), bytes(4)) for n in (1, 2)
        ]
        self.assertEqual(froms, wanted)
        self.assertEqual(
            [sent[3] for sent in world.socket.outbox], [("10.9.9.9", 1)] * 2
        )

    def test_ancillary(self) -> None:
        """IPv6 addresses are said without their interface, but for link-local ones; nothing said is nothing known."""
        far, near = bytes(range(32, 48)), b"\xfe\x80" + bytes(13) + b"\x01"
        index = struct.pack("@I", 3)
        kind = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
        self.assertEqual(asked_at([(1, 1, b""), (*kind, far + index)]), far)
        self.assertEqual(asked_at([(*kind, near + index)]), near + index)
        self.assertEqual(asked_at([]), b"")
        self.assertEqual(answering_from(far), [(*kind, far + bytes(4))])
        self.assertEqual(answering_from(near + index), [(*kind, near + index)])
        self.assertEqual(answering_from(b""), [])
        self.assertEqual(text_of(near + index), "fe80::1")
        self.assertEqual(text_of(bytes((10, 0, 0, 1))), "10.0.0.1")
        self.assertEqual(text_of(b""), "")
        self.assertEqual(why_dropped(OSError("?")), "not sent")

    def test_clients_of_ipv6(self) -> None:
        """IPv4 clients of an IPv6 socket are IPv4 clients; zones are not part of an address."""
        world = self.world
        for host in ("::ffff:10.1.1.1", "fe80::1%eth0"):
            world.socket.inbox.append((b"x", (host, 9, 0, 0)))
        world.port.doRead()
        found = [one.address for one in world.port.sessions.values()]
        self.assertEqual(found, ["10.1.1.1", "fe80::1"])

    def test_trouble(self) -> None:
        """What the socket has to tell but a datagram is counted, and it is read again."""
        for name in ("127.0.0.1", "0.0.0.0"):
            world = World(name=(name, 53))
            self.addCleanup(world.deadlines.stop)
            world.socket.inbox.append(OSError(errno.ENOMEM, ""))
            world.port.doRead()
            self.assertEqual(world.site.drops, [("no memory left", True)])
            world.socket.pending = errno.ENOMEM
            world.reactor.readers.clear()
            world.port.connectionLost(Failure(CONNECTION_LOST))
            self.assertEqual(world.reactor.readers, [world.port])

    def test_rest(self) -> None:
        """Drained, it has those go on who are there, and gives nobody new a session."""
        world = self.world
        world.say(b"a", 1)
        world.port.rest()
        world.acceptor.drain(patient=True)
        world.say(b"b", 1)
        world.say(b"c", 2)
        self.assertEqual(world.made[0].outbox, [b"a", b"b"])
        self.assertEqual(world.site.drops, [("no new sessions here", True)])
        world.port.wake()
        world.acceptor.resume()
        world.say(b"d", 2)
        self.assertEqual(len(world.port.sessions), 2)

    def test_stop_without_sessions(self) -> None:
        """It closes at once."""
        self.successResultOf(self.world.port.stopListening())
        self.assertEqual(self.world.socket.fileno(), -1)
        self.assertEqual(self.world.reactor.readers, [])

    def test_last_answers(self) -> None:
        """Told to stop, sessions that wait for an answer get it; the port closes with the last of them."""
        world = self.world
        world.say(b"a", 1)
        world.say(b"b", 2)
        world.made[0].inbox.append(b"answer")
        world.session(1).doRead()
        self.successResultOf(world.port.stopListening())
        world.acceptor.drain()
        self.assertEqual(world.site.ends, ["stopped"])
        self.assertNotEqual(world.socket.fileno(), -1)
        world.made[1].inbox.append(b"answer")
        world.session(2).doRead()
        self.assertEqual(world.socket.outbox[-1], (b"answer", ("10.9.9.9", 2)))
        self.assertEqual(world.site.ends, ["stopped"] * 2)
        self.assertEqual(world.socket.fileno(), -1)

    def test_no_last_answer(self) -> None:
        """Those whose answer does not come are waited for a little, and those that never have one not at all."""
        world = self.world
        for _ in range(20):
            world.say(b"log", 1)
        world.say(b"b", 2)
        world.port.stopListening()
        world.acceptor.drain()
        self.assertEqual(world.site.ends, ["stopped"])
        world.say(b"more", 2)
        world.pass_time(LAST_ANSWER_SECONDS + 0.2)
        self.assertEqual(world.site.ends, ["stopped"] * 2)
        self.assertEqual(world.socket.fileno(), -1)

    def test_several_last_answers(self) -> None:
        """One answer of two is not the end."""
        world = self.world
        world.say(b"a")
        world.say(b"b")
        session = world.session()
        world.acceptor.drain()
        world.made[0].inbox += [b"1", b"2"]
        session.doRead()
        self.assertEqual([sent[0] for sent in world.socket.outbox], [b"1", b"2"])
        self.assertTrue(session.closed)

    def test_lent(self) -> None:
        """A socket that another process reads is read no more, and answers still go out by it."""
        world = self.world
        world.say(b"a")
        world.port.lend()
        self.assertTrue(world.port.is_lent)
        world.port.stopListening()
        self.assertNotIn(world.port, world.reactor.readers)
        world.made[0].inbox.append(b"answer")
        world.session().doRead()
        self.assertEqual(len(world.socket.outbox), 1)
        world.acceptor.drain()
        self.assertEqual(world.socket.fileno(), -1)

    def test_cut(self) -> None:
        """The end of a drain ends sessions at once, and nobody sheds them before."""
        self.world.say(b"a")
        session = self.world.session()
        self.assertFalse(session.shed())
        self.assertIn("10.9.9.9", repr(session))
        session.shut()
        self.assertEqual(self.world.site.ends, ["stopped"])
        session.shut()
        self.assertEqual(self.world.site.ends, ["stopped"])
        self.assertEqual(session.fileno(), -1)

    def test_avoided(self) -> None:
        """Whom clients are to avoid is kept for so many of them."""
        world = self.world
        self.patch(ports, "MOST_AVOIDED", 2)
        node = next(iter(world.site.pool.nodes.values()))
        for number in range(3):
            world.port.avoid(("10.9.9.9", number), node)
        world.say(b"x", 0)
        world.say(b"x", 1)
        self.assertEqual(world.site.avoided, [(), (node,)])
        self.assertIn(
            "1 sessions" if len(world.port.sessions) == 1 else "2 sessions",
            repr(world.port),
        )

"""Tests of sessions: which target they get, what they are to pools and logs, what they leave behind."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.accesslogs import STREAM_FIELDS
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import AddressDown
from lolly_tx.domain.queue import WaitingLine
from lolly_tx.domain.retries.backoff import Backoff
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.proxy.records.lineformat import LineFormat
from lolly_tx.proxy.records.record import session_entry, turned_away_entry
from lolly_tx.proxy.room import WaitingRoom
from lolly_tx.proxy.streams.session import head_of
from lolly_tx.proxy.streams.streamnames import place_name, stream_of
from tests.net.connects import FakeEndpoint
from tests.proxy.streamworld import StreamWorld
from tests.wire.test_client_hello import hello

REFUSED = ConnectionRefusedError()


def queueing(deadlines: Deadlines) -> Policy:
    """A room for one, for two seconds."""
    line: Any = WaitingLine(1, 2.0)
    return Policy(room=WaitingRoom(line, deadlines, lambda head, peer: 0))


class RetryTests(SynchronousTestCase):
    def world(self, **settings: Any) -> StreamWorld:
        """With such a policy."""
        return StreamWorld(policy=lambda deadlines: Policy(**settings))

    def test_tries(self) -> None:
        """No more targets are asked than `retry.tries` says."""
        world = self.world(retry=RetryPolicy(tries=1))
        client = world.client()
        world.refuse(REFUSED)
        self.assertTrue(client.aborted)
        self.assertEqual(world.failures, 1)
        self.assertEqual(world.forwarders["app"].retries, 0)

    def test_on(self) -> None:
        """Nor after failures that `retry.on` does not name."""
        world = self.world(retry=RetryPolicy(on=("timeout",)))
        client = world.client()
        world.refuse(REFUSED)
        self.assertTrue(client.aborted)
        client = world.client()
        world.refuse(TimeoutError())
        world.accept().send(b"x")
        self.assertEqual(client.take(), b"x")

    def test_budget(self) -> None:
        """Further connects are out of the pool's budget, which requests have, too."""
        budget = RetryBudget(0.1, 0.0)
        world = self.world(budget=budget)
        client = world.client()
        world.refuse(REFUSED)
        self.assertTrue(client.aborted)
        self.assertEqual((budget.requests, budget.spent, budget.refused), (1, 0, 1))

    def test_counted(self) -> None:
        """A session that was tried elsewhere says so: attempts, retries, and how long each took."""
        world = StreamWorld()
        client = world.client()
        world.pass_time(1)
        world.refuse(REFUSED)
        world.pass_time(0.5)
        target = world.accept()
        client.end()
        target.end()
        world.pass_time(1)
        [session] = world.ended
        [(node, status, seconds, error)] = session.past
        assert session.node is not None and error is not None
        self.assertNotEqual(node.id, session.node.id)
        self.assertEqual((status, error.token), (0, "connection_refused"))
        self.assertAlmostEqual(seconds, 1.0)
        self.assertAlmostEqual(session.upstream_seconds, 0.5)
        self.assertEqual(world.forwarders["app"].retries, 1)
        self.assertEqual((session.status, session.ended), (200, "client"))

    def test_refused_at_once(self) -> None:
        """Where a connect fails before it has begun, the next one ends with its client all the same."""
        world = StreamWorld()
        down = world.endpoints["a"] = FakeEndpoint()
        self.patch(down, "connect", lambda factory: fail(AddressDown("down")))
        clients = [world.client(), world.client()]
        self.assertGreaterEqual(world.forwarders["app"].retries, 1)
        attempts = world.endpoints["b"].attempts
        self.assertEqual([one.cancelled for one in attempts], [False, False])
        for client in clients:
            client.lose()
        self.assertEqual([one.cancelled for one in attempts], [True, True])
        world.pass_time(1)
        self.assertTrue(world.at_base())

    def test_backoff(self) -> None:
        """Third connects wait, as third requests do; a client that goes meanwhile leaves nothing behind."""
        world = StreamWorld(
            targets="abc",
            policy=lambda deadlines: Policy(
                retry=RetryPolicy(tries=3), backoff=Backoff(base=4.0)
            ),
        )
        for goes in (False, True):
            client = world.client()
            world.refuse(REFUSED)
            world.refuse(REFUSED)
            self.assertEqual(world.attempts(), {})
            if goes:
                client.lose()
            world.pass_time(4.5)
            self.assertEqual(len(world.attempts()), 0 if goes else 1)
            if not goes:
                world.accept().reset()
        world.pass_time(1)
        self.assertTrue(world.at_base())

    def test_total(self) -> None:
        """`timeout.total` holds until there is a connection, and then no more."""
        world = self.world(total_timeout=3.0)
        client, target = world.joined()
        world.pass_time(5)
        target.send(b"x")
        self.assertEqual(client.take(), b"x")
        late = world.client()
        world.pass_time(3.5)
        self.assertTrue(late.aborted)
        self.assertEqual(world.attempts(), {})
        self.assertEqual(world.ended[0].status, 504)

    def test_taken_down(self) -> None:
        """A connect to a target that checks take down is made elsewhere at once."""
        world = StreamWorld()
        world.client()
        [name] = world.attempts()
        world.pools["app"].observe(name, Observation(False, "no"), 0.0)
        [other] = world.attempts()
        self.assertNotEqual(name, other)


class RoomTests(SynchronousTestCase):
    def test_full(self) -> None:
        """A target at max_conns gets no more; without a queue the client is cut."""
        world = StreamWorld(max_conns=1)
        for which in "ab":
            world.client()
            self.assertEqual([*world.attempts()], [which])
            world.accept()
        client = world.client()
        self.assertTrue(client.aborted)
        self.assertEqual(world.ended[0].status, 503)

    def test_queue(self) -> None:
        """In the queue a client waits for somebody to go, and its bytes are kept."""
        world = StreamWorld(max_conns=1, policy=queueing)
        first, target = world.joined()
        world.joined()
        waiting = world.client()
        waiting.send(b"early")
        self.assertEqual(world.attempts(), {})
        first.lose()
        target.lose()
        self.assertEqual(world.accept().take(), b"early")

    def test_queue_full(self) -> None:
        """Who finds no place, and who has waited its time, is cut."""
        world = StreamWorld(max_conns=1, policy=queueing)
        for _ in range(2):
            world.joined()
        waiting = world.client()
        self.assertTrue(world.client().aborted)
        self.assertFalse(waiting.aborted)
        world.pass_time(2.5)
        self.assertTrue(waiting.aborted)

    def test_leaves(self) -> None:
        """Who goes while it waits is not waited for."""
        world = StreamWorld(max_conns=1, policy=queueing)
        ends = [line for _ in range(2) for line in world.joined()]
        world.client().lose()
        room = world.policy.room
        assert room is not None
        self.assertEqual(len(room.line), 0)
        self.assertEqual(world.ended[0].status, 499)
        for line in ends:
            line.reset()
        world.pass_time(1)
        self.assertTrue(world.at_base())


class RecordTests(SynchronousTestCase):
    def test_up_is_no_failure(self) -> None:
        """However a session ends that was up, its target has done nothing wrong."""
        world = StreamWorld()
        for number in range(8):
            _, target = world.joined()
            if number % 2:
                target.reset()
            else:
                target.lose()
            world.pass_time(3)
        stats = [node.stats for node in world.pools["app"].nodes.values()]
        self.assertEqual(sum(one.successes for one in stats), 8)
        self.assertEqual(world.failures, 0)
        self.assertEqual(len(world.pools["app"].available(world.clock.seconds())), 2)
        self.assertEqual({session.status for session in world.ended}, {200})

    def test_connects_that_fail(self) -> None:
        """Three refused connects take a target out, as with requests."""
        world = StreamWorld("other")
        for _ in range(3):
            world.client()
            world.refuse(REFUSED)
        client = world.client()
        self.assertTrue(client.aborted)
        self.assertEqual(world.attempts(), {})
        self.assertEqual(world.counters.refused["destination_unavailable"], 1)

    def test_numbers(self) -> None:
        """The pool counts a session by its stream, with its bytes, and as long as it took to connect."""
        world = StreamWorld()
        client = world.client()
        world.pass_time(2)
        target = world.accept()
        client.send(b"abc")
        target.send(b"defgh")
        self.assertEqual(world.forwarders["app"].in_flight, 1)
        world.pass_time(5)
        client.reset()
        world.pass_time(1)
        served = world.forwarders["app"].counters.served["stream s"]
        self.assertEqual(served.codes, {200: 1})
        self.assertEqual((served.bytes_in, served.bytes_out), (3, 5))
        self.assertAlmostEqual(served.seconds, 2.0)
        self.assertEqual(world.counters.ended, {"client_reset": 1})
        self.assertTrue(world.at_base())

    def test_client_goes(self) -> None:
        """A client that goes before is a 499, and the pool's `gone`."""
        world = StreamWorld()
        world.client().lose()
        self.assertEqual([one.status for one in world.ended], [499])
        self.assertEqual(world.forwarders["app"].counters.gone, 1)
        self.assertEqual(world.counters.refused, {"client": 1})

    def test_stopped(self) -> None:
        """A connect that the end of the proxy cuts is nobody's fault."""
        world = StreamWorld()
        client = world.client()
        [door] = world.acceptor.doors
        door.shut()
        self.assertTrue(client.aborted)
        self.assertEqual([one.ended for one in world.ended], ["stopped"])
        self.assertEqual(world.failures, 0)

    def test_drained(self) -> None:
        """A target that has left ends what is open there, once its time is over."""
        world = StreamWorld()
        client, target = world.joined()
        target.protocol.leave()
        world.pass_time(1)
        self.assertTrue(client.disconnecting and target.disconnecting)
        self.assertEqual(world.ended[0].ended, "drained")
        world.client()
        late = world.accept("a") if "a" in world.attempts() else world.accept()
        late.protocol.leave()
        world.pass_time(5)
        self.assertTrue(world.at_base())

    def test_hashed_by_client(self) -> None:
        """A balancer that goes by a key goes by the address of the client."""
        keys: list[Any] = []

        class Noting(RoundRobin):
            def pick(self, candidates: Any, key: bytes | None) -> Any:
                keys.append(key)
                return super().pick(candidates, key)

        world = StreamWorld(balancer=Noting())
        world.client("192.0.2.7")
        self.assertEqual(keys, [b"192.0.2.7"])

    def test_names(self) -> None:
        """Streams have names among the listeners, and heads of their own."""
        self.assertEqual(stream_of(place_name("x")), "x")
        self.assertIsNone(stream_of("web"))
        self.assertEqual(head_of("a.example").block.host, b"a.example")
        self.assertIs(head_of("a.example"), head_of("a.example"))
        self.assertFalse(head_of("").block.host)


class LogTests(SynchronousTestCase):
    def entry(self, past: bool = False) -> Any:
        """Of a session, by a name, that a client has ended; with a connect before that failed."""
        world = StreamWorld("app", {"db.example.org": "app"})
        client = world.client()
        client.send(hello("db.example.org"))
        if past:
            world.pass_time(1)
            world.refuse(REFUSED)
        world.pass_time(0.5)
        target = world.accept()
        target.send(b"abc")
        client.reset()
        [session] = world.ended
        return session_entry(session, "192.0.2.1", 0.0, world.clock.seconds())

    def test_line(self) -> None:
        """A line of its own says who, to whom, what, how long, and who ended it."""
        line = LineFormat("stream").line(self.entry())
        size = len(hello("db.example.org"))
        self.assertEqual(
            line,
            b'192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] s TCP "db.example.org" 200 %d 3'
            b" 0.500 http://a.example 0.500 client_reset -\n" % size,
        )

    def test_tried(self) -> None:
        """All targets that were asked are in it, as with requests."""
        line = LineFormat("stream").line(self.entry(past=True))
        said = (
            b' 1.500 "http://a.example, http://b.example" "1.000, 0.500" client_reset'
        )
        self.assertIn(said, line)

    def test_json(self) -> None:
        """The object has the fields of sessions; those of the settings only where they are new."""
        fields = {"stream": "route", "mine": "client_port"}
        entry = self.entry(past=True)
        said = json.loads(LineFormat("stream_json", fields).line(entry))
        self.assertEqual(
            [*said][: len(STREAM_FIELDS)],
            [
                key
                for name in STREAM_FIELDS
                for key in ((name, "attempts") if name == "tries" else (name,))
            ][: len(STREAM_FIELDS)],
        )
        self.assertEqual(said["stream"], "s")
        self.assertEqual(said["protocol"], "TCP")
        self.assertEqual((said["ended"], said["error"]), ("client_reset", None))
        self.assertEqual(said["connect_seconds"], 0.5)
        self.assertEqual(said["tries"], 2)
        self.assertEqual(said["mine"], 4000)

    def test_turned_away(self) -> None:
        """Who never had a target has a line with the reason."""
        world = StreamWorld()
        peer = world.client().protocol.peer
        entry = turned_away_entry(head_of(""), peer, 403, "access", 0.0, 0.25)
        line = LineFormat("stream").line(entry)
        self.assertTrue(line.endswith(b' s TCP "-" 403 0 0 0.250 - - refused access\n'))

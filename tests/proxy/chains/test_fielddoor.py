"""A chain without passages does what one with them does: the same bytes on both sides, the same records.

Each case runs behind `headers`, `access` and `rate_limit` as they are, and once more with a link beside them that
lets everything pass and needs a passage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.net.upstreams import UpstreamLimits
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.fielddoor import FieldDoor
from lolly_tx.proxy.chains.link import ASKED, REQUEST, RESPONSE, Link
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from tests.net.test_tunnel import AGREED, ASK
from tests.proxy.chains.test_chain import Adding, ChainTestCase
from tests.proxy.h2client import Http2Client
from tests.proxy.middleware.behind import behind
from tests.proxy.world import (
    GET,
    Line,
    World,
    WorldTestCase,
    answer,
    chunked,
    get,
    post,
)

HEADERS = (
    'type = "headers"\nrequest = { set = { X-User = "us" }, remove = ["X-Debug"] }\n'
    'response = { set = { Server = "lolly" }, remove = ["X-Own"] }'
)
ACCESS = 'type = "access"\nallow = ["192.0.2.0/24"]'
RATE = 'type = "rate_limit"\nrate = "2/m"'
SLOW = 'type = "rate_limit"\nrate = "1/s"\nburst = 2\ndelay = true'

Play = Callable[[World, list[bytes]], None]
"""Plays a case in a world, and writes down what came out on both sides."""


class Passing(Middleware):
    """Needs a passage, and does nothing with it."""

    touches = frozenset((ASKED, REQUEST, RESPONSE))


def with_passage(world: World) -> None:
    """Add a link to the chain of `world` that needs one, the innermost."""
    chain: Any = world.proxy.table.only
    links = [*chain.links, Link("passing", Passing())]
    slow = Chain(links, chain.end, chain.told, chain.along, chain.identify)
    world.proxy.table = RouteTable([Pattern((), "/", slow)])


class BothWaysTests(WorldTestCase):
    """See the module."""

    def both(
        self, play: Play, *tables: str, **settings: Any
    ) -> tuple[list[bytes], World]:
        """What `play` wrote down, after it was the same by both ways; the first world."""
        seen, records = [], []
        worlds = []
        for slow in (False, True):
            world = behind(
                self, *(tables or (HEADERS, ACCESS, RATE)), tries=1, **settings
            )
            if slow:
                with_passage(world)
            out: list[bytes] = []
            made: list[Any] = []
            self.patch(Passage, "__init__", _noting(Passage.__init__, made))
            play(world, out)
            if slow:
                self.assertNotEqual(made, [])
            seen.append(out)
            records.append(
                (
                    world.refusals,
                    [
                        (e.status, e.bytes_in, e.bytes_out, type(e.error).__name__)
                        for e in world.ended
                    ],
                    [e.door.asked is None for e in world.ended],
                )
            )
            worlds.append(world)
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(
            [(status, why) for _, status, why in records[0][0]],
            [(status, why) for _, status, why in records[1][0]],
        )
        self.assertEqual(records[0][1:], records[1][1:])
        return seen[0], worlds[0]

    def test_small(self) -> None:
        """Heads are changed in both directions, one request after the other on one connection."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(get("/x", "X-Debug: 1\r\nX_User: me\r\n"))
            exchange = client.protocol.exchange
            target = world.accept()
            if isinstance(exchange, FieldDoor):
                served: Any = exchange.exchange
                self.assertIs(served.door, exchange)
            out.append(target.take())
            target.send(answer(b"hello", extra="Server: it\r\nX-Own: 1\r\n"))
            out.append(client.take())
            client.send(get("/y"))
            target.send(answer(b"again", 404))
            out += [target.take(), client.take()]

        out, world = self.both(play)
        self.assertNotIn(b"X-Debug", out[0])
        self.assertNotIn(b"X_User", out[0])
        self.assertIn(b"\r\nX-User: us\r\n", out[0])
        self.assertIn(b"\r\nServer: lolly\r\n\r\nhello", out[1])
        self.assertNotIn(b"X-Own", out[1])
        self.assertIn(b"\r\nServer: lolly\r\n\r\nagain", out[3])
        asked = world.ended[0].door.asked
        assert asked is not None
        self.assertEqual(asked.block.get(b"x-debug"), b"1")

    def test_no_passage(self) -> None:
        """There is none, and no door where only gates are; links that need one have one."""
        for tables, kind in (
            ((HEADERS, ACCESS, RATE), FieldDoor),
            ((HEADERS,), FieldDoor),
            ((HEADERS, 'type = "request_id"'), Passage),
            ((HEADERS, 'type = "rate_limit"\nrate = "2/m"\nkey = "$path"'), Passage),
            (('type = "headers"\nrequest.set = { X-A = "$path" }',), Passage),
        ):
            world = behind(self, *tables)
            client = world.client()
            client.send(GET)
            self.assertIsInstance(client.protocol.exchange, kind, tables)
            world.accept().send(answer())
            self.assertIn(b"\r\n\r\nok", client.take())
        world = behind(self, ACCESS, RATE)
        client = world.client()
        client.send(GET)
        self.assertIs(client.protocol.exchange.door, client.protocol)
        world.accept().send(answer())

    def test_refused(self) -> None:
        """Who is refused gets what links before make of the answer; the next one is served. It counts for nothing."""

        def play(world: World, out: list[bytes]) -> None:
            stranger = world.client("198.51.100.1")
            for _ in range(3):
                stranger.send(get())
            out.append(stranger.take())
            client = world.client()
            client.send(get())
            target = world.accept()
            for n in range(1, 5):
                if n < 3:
                    out.append(target.take())
                    target.send(answer())
                if n < 4:
                    client.send(post(3, b"abc") if n % 2 else get())
            out.append(client.take())

        out, world = self.both(play)
        self.assertEqual(out[0].count(b"HTTP/1.1 403 "), 3)
        self.assertEqual(out[0].count(b"Server: lolly\r\n"), 3)
        self.assertEqual(out[3].count(b"HTTP/1.1 429 "), 2)
        self.assertEqual(out[3].count(b"HTTP/1.1 200 "), 2)
        self.assertEqual(out[3].count(b"Server: lolly\r\n"), 4)
        statuses = [status for _, status, _ in world.refusals]
        self.assertEqual(statuses, [403, 403, 403, 429, 429])

    def test_inner_fields(self) -> None:
        """Of who is refused, links behind the gate are not asked."""
        tables = (ACCESS, HEADERS)

        def play(world: World, out: list[bytes]) -> None:
            stranger = world.client("198.51.100.1")
            stranger.send(get())
            out.append(stranger.take())

        out, _ = self.both(play, *tables)
        self.assertNotIn(b"Server", out[0])

    def test_waits(self) -> None:
        """A gate may have a request wait, with its body; a client that goes meanwhile is told of."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(post(6, b"abc"))
            client.send(b"def")
            target = world.accept()
            target.send(answer())
            out += [target.take(), client.take()]
            client.send(post(6, b"abc"))
            client.send(b"def")
            out.append(target.take())
            world.pass_time(1.0)
            out.append(target.take())
            target.send(answer(b"later"))
            out.append(client.take())
            client.send(get())
            client.lose()
            world.pass_time(1.0)

        out, world = self.both(play, HEADERS, SLOW)
        self.assertEqual(out[2], b"")
        self.assertTrue(out[3].endswith(b"abcdef"))
        self.assertIn(b"Server: lolly\r\n\r\nlater", out[4])
        self.assertEqual([status for _, status, _ in world.refusals], [499])

    def test_bodies(self) -> None:
        """Bodies pass, chunked ones with trailers, and an answer in pieces; HEAD and 304 have none."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(chunked(b"one", b"two", end=b"0\r\nX-T: 1\r\n\r\n"))
            target = world.accept()
            out.append(target.take())
            target.send(
                b"HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
            )
            out.append(client.take())
            target.send(b"0\r\n\r\n")
            out.append(client.take())
            client.send(get().replace(b"GET", b"HEAD"))
            target.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 9\r\n\r\n")
            out += [target.take(), client.take()]

        out, _ = self.both(play)
        self.assertIn(b"one", out[0])
        self.assertIn(b"Server: lolly\r\n", out[1])
        self.assertIn(b"Content-Length: 9\r\n", out[4])

    def test_100_continue(self) -> None:
        """A target that is asked whether it wants the body says so to the client."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(post(3, extra="Expect: 100-continue\r\n"))
            target = world.accept()
            target.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            out += [target.take(), client.take()]
            client.send(b"abc")
            target.send(answer())
            out += [target.take(), client.take()]

        out, _ = self.both(play)
        self.assertEqual(out[1], b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(out[2], b"abc")

    def test_slow_client(self) -> None:
        """A client that reads slower than its target sends stops the target, and one that goes ends it."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(GET)
            target = world.accept()
            client.stop_reading()
            target.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 300000\r\n\r\n")
            target.send(b"x" * 100000)
            out.append(target.producerState.encode())
            client.read_on()
            out.append(target.producerState.encode())
            client.lose()
            world.pass_time()
            out.append(b"aborted" if target.aborted else b"")

        out, world = self.both(play)
        self.assertEqual(out, [b"paused", b"producing", b"aborted"])
        self.assertEqual([e.status for e in world.ended], [200])

    def test_slow_target(self) -> None:
        """A target that reads slower than its client sends stops the client."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(post(300000, b"x"))
            target = world.accept()
            target.stop_reading()
            client.send(b"x" * 99999)
            out.append(client.producerState.encode())
            target.read_on()
            out.append(client.producerState.encode())
            client.send(b"x" * 200000)
            target.send(answer())
            out.append(client.take())
            out.append(b"%d" % target.take().count(b"x"))

        out, _ = self.both(play)
        self.assertEqual(out[:2], [b"paused", b"producing"])

    def test_target_fails(self) -> None:
        """A target that is gone before the answer is a 502 with our fields; within it the client is cut."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(GET)
            world.accept().reset()
            out.append(client.take())
            client.send(GET)
            target = world.accept()
            target.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc")
            target.reset()
            world.pass_time()
            out.append(client.take())
            out.append(b"aborted" if client.aborted else b"")

        out, _ = self.both(play)
        self.assertTrue(out[0].startswith(b"HTTP/1.1 502 "), out[0])
        self.assertIn(b"Server: lolly\r\n", out[0])
        self.assertTrue(out[1].endswith(b"abc"))
        self.assertEqual(out[2], b"aborted")

    def test_tunnel(self) -> None:
        """A WebSocket is agreed on, and then bytes pass."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(ASK)
            target = world.accept()
            out.append(target.take())
            target.send(AGREED)
            out.append(client.take())
            client.send(b"\x81\x85\0\0\0\0hello")
            out.append(target.take())
            target.send(b"\x81\x05world")
            out.append(client.take())
            target.lose()
            world.pass_time(1.0)
            out.append(b"%d" % client.disconnecting)

        out, _ = self.both(play)
        self.assertIn(b"X-User: us", out[0])
        self.assertTrue(out[1].startswith(b"HTTP/1.1 101 "), out[1])
        self.assertIn(b"hello", out[2])
        self.assertIn(b"world", out[3])

    def test_http2(self) -> None:
        """The same behind HTTP/2, with resets on both sides."""

        def play(world: World, out: list[bytes]) -> None:
            client = Http2Client(world)
            stream = client.request(method="POST", end=False)
            client.send(stream, b"abc")
            client.send(stream, b"def", end=True)
            target = world.accept()
            out.append(target.take())
            target.send(answer(b"hello", extra="Server: it\r\n"))
            client.turn()
            got = client.answers[stream]
            out += [repr(got.fields).encode(), got.body]
            gone = client.get()
            client.reset(gone)
            world.pass_time()
            out.append(b"%d" % target.aborted)
            refused = client.get()
            got = client.answers[refused]
            out += [b"%d" % got.status, repr(got.fields).encode()]

        out, _ = self.both(play, http2=Http2Settings())
        self.assertIn(b"lolly", out[1])
        self.assertEqual(out[2:5], [b"hello", b"1", b"429"])

    def test_half_a_request(self) -> None:
        """A body that breaks off ends the request."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(post(9, b"abc"))
            target = world.accept()
            out.append(target.take())
            client.end()
            world.pass_time()
            out.append(b"%d" % target.aborted)

        out, world = self.both(play)
        self.assertEqual(out[1], b"1")
        self.assertEqual([e.status for e in world.ended], [499])

    def test_target_stalls(self) -> None:
        """One that takes nothing of a body for too long is a 504, as ever."""

        def play(world: World, out: list[bytes]) -> None:
            client = world.client()
            client.send(post(300000, b"x" * 100000))
            target = world.accept()
            target.stop_reading()
            client.send(b"x" * 100000)
            world.pass_time(4.0)
            out.append(client.take().partition(b"\r\n")[0])

        self.both(play, upstream=UpstreamLimits(read=1.0, write=1.0))


def _noting(begin: Any, made: list[Any]) -> Any:
    """`begin`, which is written down."""

    def noted(self: Any, *args: Any) -> None:
        made.append(self)
        begin(self, *args)

    return noted


class Gate(Middleware):
    """Decides by address."""

    touches = frozenset((ASKED,))

    def __init__(self, says: Any = None) -> None:
        self.says = says
        self.asked: list[str] = []

    def request_gate(self, client: str) -> Any:
        self.asked.append(client)
        if self.says is ZeroDivisionError:
            raise self.says()
        return self.says

    def request(self, passage: Any) -> Any:
        raise AssertionError("it has a gate")


class Editing(Middleware):
    """Makes another head."""

    touches = frozenset((REQUEST,))

    def __init__(self, target: bytes) -> None:
        self.target = target

    def request_edit(self, head: Any) -> Any:
        return head.with_target(self.target)

    def request(self, passage: Any) -> Any:
        raise AssertionError("it has an edit")


class FailureTests(ChainTestCase):
    """Links of such a chain that raise."""

    def test_gate(self) -> None:
        """A gate that raises is a 500, with the fields of links before it, and a line in the log."""
        world = self.chained(Adding(b"X-A: 1\r\n"), Gate(ZeroDivisionError), Gate())
        client = world.client()
        client.send(GET)
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 500 "), got)
        self.assertIn(b"X-A: 1\r\n", got)
        self.assertEqual(
            [(one[0], one[2]) for one in self.told], [(500, "middleware m1 failed")]
        )
        self.assertEqual(world.connects(), [])
        self.failures()

    def test_edit(self) -> None:
        """So is an edit that raises."""
        world = self.chained(Gate(), Editing(b"no target"))
        client = world.client()
        client.send(GET)
        self.assertTrue(client.take().startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_fields_of_a_whole_answer(self) -> None:
        """Fields that cannot be made are a 500; the target is not to blame, and its connection is kept."""
        world = self.chained(Adding(b"X-A: 1\r\n"), Gate(), Adding(b""))
        client = world.client()
        client.send(GET)
        target = world.accept()
        target.send(answer(b"hello"))
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 500 "), got)
        self.assertIn(b"X-A: 1\r\n", got)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        [ended] = world.ended
        self.assertEqual((ended.status, ended.upstream_status), (500, 200))
        self.assertEqual(ended.bytes_out, len(got.partition(b"\r\n\r\n")[2]))
        self.assert_nobody_blamed(world)
        self.assertFalse(target.disconnecting)

    def test_fields_of_a_long_answer(self) -> None:
        """The same of an answer that has just begun: the rest of it is not waited for."""
        world = self.chained(Gate(), Adding(b""))
        client = world.client()
        client.send(GET)
        target = world.accept()
        target.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc")
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 500 "), got)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        world.pass_time()
        self.assertTrue(target.aborted)
        self.assertEqual([one.status for one in world.ended], [500])
        self.assert_nobody_blamed(world)

    def test_order(self) -> None:
        """Gates and edits come in the order of the links; behind one that refuses nobody is asked."""
        first, second = Gate(), Gate()
        world = self.chained(first, Editing(b"/a"), second, Editing(b"/b"))
        client: Line = world.client("198.51.100.9")
        client.send(GET)
        target = world.accept()
        self.assertTrue(target.take().startswith(b"GET /b HTTP/1.1\r\n"))
        target.send(answer())
        self.assertEqual(first.asked, ["198.51.100.9"])
        self.assertEqual(second.asked, ["198.51.100.9"])

    def test_own_record(self) -> None:
        """Of an end that answers itself the record says what the client got, also where a link has failed."""
        world = behind(
            self,
            'type = "headers"\nresponse.set = { X-A = "1" }',
            end=Teapot(),
        )
        chain: Any = world.proxy.table.only
        links = [Link("a", Adding(b"X-A: 1\r\n")), Link("b", Adding(b""))]
        for number, (these, status) in enumerate(((links[:1], 418), (links, 500))):
            other = Chain(these, Teapot(), chain.told, chain.along, chain.identify)
            world.proxy.table = RouteTable([Pattern((), "/", other)])
            client = world.client()
            client.send(GET)
            self.assertIn(b"HTTP/1.1 %d " % status, client.take())
            seen = Teapot.doors[number]
            self.assertEqual(seen.status, 0 if status == 418 else 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class Teapot:
    """A route's end that answers itself. `doors`: at which."""

    doors: list[Any] = []

    def open_exchange(self, door: Any, head: Any, start: Any) -> None:
        self.doors.append(door)
        door.answer(418, b"teapot", b"\r\nContent-Length: 2\r\n", b"no")

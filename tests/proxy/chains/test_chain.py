"""Tests of chains of middleware: the order of hooks, answers of their own, waiting, bodies, failures."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.filters import BodyFilter, Refused
from lolly_tx.proxy.chains.innerdoor import DROPPED_BYTES
from lolly_tx.proxy.chains.keptbody import HELD_BYTES
from lolly_tx.proxy.chains.link import (
    ASKED,
    REQUEST,
    REQUEST_BODY,
    RESPONSE,
    RESPONSE_BODY,
    Link,
)
from lolly_tx.proxy.chains.repeatedfields import RepeatedFields
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.route import ToPool
from lolly_tx.wire.memory import REMEMBERED, REMEMBERED_BYTES
from tests.proxy.world import GET, OK, WorldTestCase, answer, chunked, get, post

GONE = Answer(410, b"\r\nX-Why: gone\r\n", b"no more")


class Noting(Middleware):
    """Writes down what it is asked, and says what it is told to."""

    touches = frozenset((REQUEST, RESPONSE))

    def __init__(self, name: str, seen: list[str], says: Any = None) -> None:
        self.name = name
        self.seen = seen
        self.says = says

    def request(self, passage: Any) -> Any:
        self.seen.append(f"> {self.name}")
        return self.says

    def response(self, passage: Any, answer: Any) -> Any:
        self.seen.append(f"< {self.name} {answer.status}")
        answer.add(b"X-Seen", self.name.encode())


class Asking(Middleware):
    """Only decides."""

    touches = frozenset((ASKED,))

    def __init__(self, says: Any) -> None:
        self.says = says

    def request(self, passage: Any) -> Any:
        return self.says


class Upper(BodyFilter):
    """Another body of the same length."""

    keeps_length = True
    closed = 0

    def data(self, data: bytes) -> bytes:
        return data.upper()

    def close(self) -> None:
        self.closed += 1


class Bracketed(BodyFilter):
    """A longer body, which comes at the end or when it is flushed."""

    def __init__(self) -> None:
        self.kept = b"["
        self.closed = 0

    def data(self, data: bytes) -> bytes:
        self.kept += data
        return b""

    def flush(self) -> bytes:
        kept, self.kept = self.kept, b""
        return kept

    def end(self) -> bytes:
        return self.kept + b"]"

    def close(self) -> None:
        self.closed += 1


class Filtering(Middleware):
    """Filters bodies of one direction."""

    def __init__(self, touches: str, *made: BodyFilter) -> None:
        self.touches = frozenset((touches,))
        self.made = list(made)

    def request_body(self, passage: Any) -> Any:
        return self.made.pop(0)

    def response_body(self, passage: Any, answer: Any) -> Any:
        return self.made.pop(0)


class Adding(Middleware):
    """Adds a field to answers, and says that it does no more."""

    touches = frozenset((RESPONSE,))

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.asked: list[bytes] = []

    def answer_fields(self, fields: bytes) -> bytes:
        self.asked.append(fields)
        if not self.line:
            raise ValueError("nothing to add")
        return fields + self.line

    def response(self, passage: Any, answer: Any) -> None:
        answer.fields = self.answer_fields(answer.fields)


class ChainTestCase(WorldTestCase):
    """A world whose route has a chain."""

    def chained(self, *middleware: Middleware, **settings: Any) -> Any:
        world = self.world("a", **settings)
        self.told: list[tuple[int, int, str]] = []
        links = [Link(f"m{n}", one) for n, one in enumerate(middleware)]
        chain = Chain(
            links,
            ToPool(world.forwarder),
            lambda door, head, status, size, why: self.told.append((status, size, why)),
        )
        world.proxy.table = RouteTable([Pattern((), "/", chain)])
        return world

    def failures(self, count: int = 1) -> None:
        """So many tracebacks have been logged."""
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), count)


class OrderTests(ChainTestCase):
    def test_in_and_out(self):
        """Requests meet the outermost first, answers the innermost; each may add to the head."""
        seen: list[str] = []
        world = self.chained(Noting("one", seen), Noting("two", seen))
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        self.assertEqual(seen, ["> one", "> two", "< two 200", "< one 200"])
        got = client.take()
        self.assertIn(b"\r\nX-Seen: two\r\nX-Seen: one\r\n", got)
        self.assertTrue(got.endswith(b"\r\n\r\nok"))
        self.assertEqual(world.ended[0].status, 200)

    def test_answers_itself(self):
        """Who answers is passed by those outside of it only, and the answer is told."""
        seen: list[str] = []
        middle = Noting("two", seen, GONE)
        world = self.chained(Noting("one", seen), middle, Noting("three", seen))
        client = world.client()
        client.send(GET)
        self.assertEqual(seen, ["> one", "> two", "< one 410"])
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 410 Gone\r\nX-Why: gone\r\n"), got)
        self.assertIn(b"\r\nContent-Length: 7\r\nX-Seen: one\r\n\r\nno more", got)
        self.assertEqual(self.told, [(410, 7, "")])
        client.send(get().replace(b"GET", b"HEAD"))
        got = client.take()
        self.assertIn(b"\r\nContent-Length: 7\r\n", got)
        self.assertTrue(got.endswith(b"\r\n\r\n"), got)

    def test_our_own_errors(self):
        """Refusals and failures of the pool pass the chain too."""
        seen: list[str] = []
        world = self.chained(Noting("one", seen), tries=1)
        client = world.client()
        client.send(GET)
        world.refuse("a")
        self.assertIn("< one 502", seen)
        got = client.take()
        self.assertIn(b"X-Seen: one", got)
        self.assertEqual(world.ended[0].bytes_out, len(got.partition(b"\r\n\r\n")[2]))

    def test_only_asked(self):
        """Where middleware only decides, the exchange has the client's own door."""
        world = self.chained(Asking(None))
        client = world.client()
        client.send(GET)
        backend = world.accept()
        self.assertIs(client.protocol.exchange.door, client.protocol)
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_changed_head(self):
        """The request goes on as a middleware has made it."""

        class Elsewhere(Middleware):
            touches = frozenset((REQUEST,))

            def request(self, passage: Any) -> None:
                passage.head = passage.head.with_target(b"/other?x=1")

        world = self.chained(Elsewhere())
        client = world.client()
        client.send(GET)
        backend = world.accept()
        self.assertTrue(backend.take().startswith(b"GET /other?x=1 HTTP/1.1\r\n"))
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_unknown_touch(self):
        """What nobody asks is an error at once."""
        with self.assertRaises(ValueError):
            Link("x", Filtering("bodies"))


class KnownFieldsTests(ChainTestCase):
    """Middleware that only changes the fields of answers, always in the same way."""

    def got(self, client: Any, target: Any, sent: bytes = OK) -> Any:
        """What the client gets when its target answers so."""
        client.send(GET)
        target.send(sent)
        return client.take()

    def test_once(self) -> None:
        """Lines that repeat are asked about once, others anew; the innermost comes first."""
        outer, inner = Adding(b"X-B: 2\r\n"), Adding(b"X-A: 1\r\n")
        world = self.chained(outer, inner)
        client = world.client()
        client.send(GET)
        target = world.accept()
        target.send(OK)
        self.assertIn(b"\r\nX-A: 1\r\nX-B: 2\r\n\r\nok", client.take())
        for _ in range(3):
            self.assertIn(b"X-A: 1\r\nX-B: 2\r\n\r\nok", self.got(client, target))
        self.assertEqual([len(inner.asked), len(outer.asked)], [1, 1])
        other = self.got(client, target, answer(b"other", 200, "X-Own: 3\r\n"))
        self.assertIn(b"X-A: 1\r\nX-B: 2\r\n\r\nother", other)
        self.assertEqual([len(inner.asked), len(outer.asked)], [2, 2])

    def test_among_others(self) -> None:
        """Where another one looks at answers itself, each is asked about each of them."""
        seen: list[str] = []
        adding = Adding(b"X-A: 1\r\n")
        world = self.chained(adding, Noting("one", seen))
        client = world.client()
        client.send(GET)
        target = world.accept()
        target.send(OK)
        client.take()
        got = self.got(client, target)
        self.assertIn(b"X-Seen: one\r\nX-A: 1\r\n\r\nok", got)
        self.assertEqual(len(adding.asked), 2)

    def test_of_our_own(self) -> None:
        """An answer from within passes those that are outside of it."""
        world = self.chained(Adding(b"X-A: 1\r\n"), Asking(GONE), Adding(b"X-B: 2\r\n"))
        client = world.client()
        client.send(GET)
        got = client.take()
        self.assertIn(b"X-A: 1\r\n\r\nno more", got)
        self.assertNotIn(b"X-B", got)

    def test_fails(self) -> None:
        """One that raises is a 500, and what it was asked about is not remembered."""
        broken = Adding(b"")
        world = self.chained(broken)
        client = world.client()
        client.send(GET)
        target = world.accept()
        target.send(OK)
        self.assertIn(b" 500 ", client.take())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(world.ended[0].status, 500)
        broken.line = b"X-A: 1\r\n"
        self.assertIn(b"X-A: 1", self.got(client, target))

    def test_bounded(self) -> None:
        """What is remembered of lines is bounded, and long ones are not."""
        made = RepeatedFields([("one", Adding(b"X-A: 1\r\n").answer_fields)])
        for n in range(2 * REMEMBERED):
            lines = b"\r\nX-N: %d\r\n" % n
            self.assertEqual(made.of(lines), lines + b"X-A: 1\r\n")
        self.assertLessEqual(len(made.known), REMEMBERED)
        made.known.clear()
        made.of(b"\r\nX-N: %b\r\n" % (b"n" * REMEMBERED_BYTES))
        self.assertEqual(made.known, {})

    def test_no_cycles(self) -> None:
        """An exchange that is over leaves no cycle to the garbage collector."""
        world = self.chained(Adding(b"X-A: 1\r\n"), Asking(None))
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        door = world.ended[0].door
        self.assertIsNone(door.exchange)
        self.assertIsNone(door._passage.inner)


class CapturedTests(ChainTestCase):
    def test_captures(self) -> None:
        """What the expressions of the route have captured is known; without such, there is nothing."""
        seen: list[Any] = []

        class Looking(Asking):
            def request(self, passage: Any) -> Any:
                seen.append((dict(passage.captures), passage.client))
                return GONE

        world = self.chained(Looking(None))
        chain = world.proxy.table.only
        for along in (
            None,
            Along(
                "~^/(.*)$",
                client_of=lambda peer, head: "198.51.100.7",
                wall=lambda: 0.0,
                captures_of=lambda head: {"1": head.target[1:]},
            ),
        ):
            chain.along = along
            for fields in ("", "X-Forwarded-For: 198.51.100.7\r\n"):
                client = world.client("192.0.2.9")
                client.send(get("/page", fields))
                self.assertIn(b" 410 ", client.take())
        self.assertEqual(
            seen,
            [
                ({}, "192.0.2.9"),
                ({}, "192.0.2.9"),
                ({"1": b"page"}, "192.0.2.9"),
                ({"1": b"page"}, "198.51.100.7"),
            ],
        )


class WaitingTests(ChainTestCase):
    def test_thinks(self):
        """A request waits for a Deferred; its body is kept up to a limit, then no more is read."""
        said: Deferred[Any] = Deferred()
        world = self.chained(Asking(said))
        client = world.client()
        length = HELD_BYTES * 2
        client.send(post(length, b"x" * 100))
        client.send(b"x" * HELD_BYTES)
        self.assertTrue(client.protocol._reading_stopped)
        said.callback(None)
        self.assertFalse(client.protocol._reading_stopped)
        backend = world.accept()
        client.send(b"x" * (length - HELD_BYTES - 100))
        body = backend.take().partition(b"\r\n\r\n")[2]
        self.assertEqual(len(body), length)
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_thinks_and_answers(self):
        """A Deferred may bring an answer."""
        said: Deferred[Any] = Deferred()
        world = self.chained(Asking(said))
        client = world.client()
        client.send(GET)
        self.assertEqual(client.take(), b"")
        said.callback(GONE)
        self.assertIn(b" 410 ", client.take())

    def test_client_leaves(self):
        """Who goes while a middleware thinks has it stop."""
        cancelled: list[int] = []
        said: Deferred[Any] = Deferred(lambda _: cancelled.append(1))
        world = self.chained(Asking(said))
        client = world.client()
        client.send(GET)
        client.lose()
        self.assertEqual(cancelled, [1])
        self.assertEqual(self.told, [(499, 0, "client went away")])


class BodyTests(ChainTestCase):
    def test_response_whole(self):
        """A short answer goes out in one piece, with its new length."""
        one = Bracketed()
        world = self.chained(Filtering(RESPONSE_BODY, one))
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        got = client.take()
        self.assertTrue(got.endswith(b"Content-Length: 4\r\n\r\n[ok]"), got)
        self.assertEqual(one.closed, 1)
        self.assertEqual(world.ended[0].bytes_out, 4)

    def test_response_stream(self):
        """A long one is framed anew, in the order of the links, and flushed when it pauses."""
        inner, outer = Upper(), Bracketed()
        world = self.chained(
            Filtering(RESPONSE_BODY, outer), Filtering(RESPONSE_BODY, inner)
        )
        client = world.client()
        client.send(GET)
        backend = world.accept()
        head = b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 9\r\n\r\n"
        backend.send(head + b"abc")
        got = client.take()
        self.assertIn(b"Transfer-Encoding: chunked\r\n\r\n4\r\n[ABC\r\n", got)
        self.assertNotIn(b"Content-Length", got)
        backend.send(b"defghi")
        self.assertEqual(client.take(), b"7\r\nDEFGHI]\r\n0\r\n\r\n")
        self.assertEqual((inner.closed, outer.closed), (1, 1))
        self.assertEqual(world.ended[0].bytes_out, 11)

    def test_keeps_length(self):
        """A filter that keeps the length keeps the framing."""
        world = self.chained(Filtering(RESPONSE_BODY, Upper()))
        client = world.client()
        client.send(GET)
        world.accept().send(answer(b"x" * 9))
        self.assertTrue(client.take().endswith(b"Content-Length: 9\r\n\r\nXXXXXXXXX"))

    def test_request(self):
        """Bodies of requests pass, those that came with the head as well."""
        for sent in (
            [post(6, b"abcdef")],
            [post(6, b"abc"), b"def"],
            [chunked(b"abc", b"def", end=b"0\r\n\r\n")],
        ):
            world = self.chained(Filtering(REQUEST_BODY, Upper()))
            client = world.client()
            client.send(sent[0])
            backend = world.accept()
            for more in sent[1:]:
                client.send(more)
            got = backend.take()
            for part in (b"ABC", b"DEF"):
                self.assertIn(part, got)
            backend.send(OK)
            self.assertEqual(client.take(), OK)

    def test_refused_body(self):
        """A filter may refuse what comes, before a target has answered or after."""

        class Small(BodyFilter):
            keeps_length = True

            def data(self, data: bytes) -> bytes:
                raise Refused(GONE, "too much")

        world = self.chained(Filtering(REQUEST_BODY, Small()))
        client = world.client()
        client.send(post(6, b"abc"))
        self.assertIn(b" 410 ", client.take())
        self.assertEqual(self.told, [(410, 7, "too much")])
        self.assertEqual(world.connects(), [])
        world = self.chained(Filtering(REQUEST_BODY, Small()))
        client = world.client()
        client.send(post(6))
        backend = world.accept()
        client.send(b"abc")
        self.assertIn(b" 410 ", client.take())
        self.assertTrue(backend.aborted or backend.disconnecting)
        self.assert_nobody_blamed(world)


class ReplacedTests(ChainTestCase):
    def replacing(self, client_request: bytes = GET) -> Any:
        class Replacing(Middleware):
            touches = frozenset((RESPONSE,))

            def response(self, passage: Any, answer: Any) -> Any:
                return GONE if answer.status == 200 else None

        world = self.chained(Replacing())
        client = world.client()
        client.send(client_request)
        return world, client, world.accept()

    def test_whole(self):
        """A short answer is replaced in one go; the record says what the client got."""
        world, client, backend = self.replacing()
        backend.send(OK)
        self.assertTrue(client.take().endswith(b"\r\n\r\nno more"))
        [exchange] = world.ended
        self.assertEqual((exchange.status, exchange.upstream_status), (410, 200))
        self.assertEqual(exchange.bytes_out, 7)

    def test_stream(self):
        """Of a longer one a little is read, so that the connection can be used again."""
        world, client, backend = self.replacing()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc")
        self.assertTrue(client.take().endswith(b"\r\n\r\nno more"))
        backend.send(b"defghi")
        self.assertEqual(client.take(), b"")
        [exchange] = world.ended
        self.assertEqual((exchange.status, exchange.bytes_out), (410, 7))
        self.assertIsNone(exchange.error)
        self.assertFalse(backend.aborted or backend.disconnecting)

    def test_long(self):
        """A long one is cut off, and nobody is blamed."""
        world, client, backend = self.replacing()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 999999\r\n\r\nabc")
        backend.send(b"x" * (DROPPED_BYTES + 1))
        self.assertTrue(client.take().endswith(b"\r\n\r\nno more"))
        [exchange] = world.ended
        self.assertEqual((exchange.status, exchange.bytes_out), (410, 7))
        self.assertTrue(backend.aborted)
        self.assert_nobody_blamed(world)
        client.send(GET)
        world.accept().send(OK)
        self.assertTrue(client.take().endswith(b"\r\n\r\nno more"))


class Failing(Middleware):
    """Raises at one of its hooks."""

    def __init__(self, touches: str) -> None:
        self.touches = frozenset((touches,))

    def request(self, passage: Any) -> Any:
        return 1 / 0

    def response(self, passage: Any, answer: Any) -> Any:
        return 1 // 0

    def request_body(self, passage: Any) -> Any:
        return 1 // 0

    def response_body(self, passage: Any, answer: Any) -> Any:
        return 1 // 0


class FailingFilter(BodyFilter):
    def data(self, data: bytes) -> bytes:
        raise ZeroDivisionError


class FailureTests(ChainTestCase):
    def test_hooks(self):
        """Whatever hook raises: 500, a line in the log, nothing left over."""
        for touches in (ASKED, REQUEST, RESPONSE, RESPONSE_BODY):
            world = self.chained(Failing(touches))
            client = world.client()
            client.send(GET)
            if world.connects():
                world.accept().send(OK)
            self.assertIn(b"HTTP/1.1 500 ", client.take(), touches)
            self.failures()
            if world.ended:
                self.assertEqual([one.status for one in world.ended], [500])
            else:
                self.assertEqual(self.told[-1][2], "middleware m0 failed")
        world = self.chained(Failing(REQUEST_BODY))
        client = world.client()
        client.send(post(1, b"x"))
        self.assertIn(b"HTTP/1.1 500 ", client.take())
        self.failures()

    def test_deferred(self):
        """An errback is a failure, too."""
        said: Deferred[Any] = Deferred()
        world = self.chained(Asking(said))
        client = world.client()
        client.send(GET)
        said.errback(ZeroDivisionError())
        self.assertIn(b"HTTP/1.1 500 ", client.take())
        self.failures()

    def test_filters(self):
        """One that raises before the head has left: 500; after that the answer is cut."""
        world = self.chained(Filtering(RESPONSE_BODY, FailingFilter()))
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        self.assertIn(b"HTTP/1.1 500 ", client.take())
        self.failures()
        world = self.chained(Filtering(RESPONSE_BODY, FailingFilter()))
        client = world.client()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc")
        self.assertTrue(client.aborted)
        self.failures()
        self.assert_nobody_blamed(world)
        world = self.chained(Filtering(REQUEST_BODY, FailingFilter()))
        client = world.client()
        client.send(post(6, b"abc"))
        self.assertIn(b"HTTP/1.1 500 ", client.take())
        self.failures()


UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


class OverTests(ChainTestCase):
    """What is called when a request is over."""

    def counting(self, says: Any = None) -> tuple[Any, list[str]]:
        over: list[str] = []

        class Counting(Middleware):
            touches = frozenset((ASKED,))

            def request(self, passage: Any) -> Any:
                passage.when_over(lambda: over.append("over"))

        return self.chained(Counting(), Asking(says)), over

    def test_answered(self):
        """At the end of an answer, a short one or a long one."""
        for pieces in ([OK], [OK[:-1], OK[-1:]]):
            world, over = self.counting()
            client = world.client()
            client.send(GET)
            backend = world.accept()
            for piece in pieces:
                self.assertEqual(over, [])
                backend.send(piece)
            self.assertEqual(over, ["over"])

    def test_answered_here(self):
        """When another middleware has answered, or has said what is no answer."""
        for says in (GONE, "no end"):
            world, over = self.counting(says)
            client = world.client()
            client.send(GET)
            self.assertEqual(over, ["over"])
            self.flushLoggedErrors(AttributeError)

    def test_gone(self):
        """When the client goes, while a middleware thinks or a target does."""
        for says in (Deferred(lambda _: None), None):
            world, over = self.counting(says)
            client = world.client()
            client.send(GET)
            if says is None:
                world.accept()
            client.lose()
            self.assertEqual(over, ["over"])

    def test_failed(self):
        """When no target has answered."""
        world, over = self.counting()
        client = world.client()
        client.send(GET)
        world.refuse()
        self.assertEqual(over, ["over"])

    def test_tunnel(self):
        """A tunnel is over when it is closed."""
        world, over = self.counting()
        client = world.client()
        client.send(get(extra=UPGRADE))
        backend = world.accept()
        backend.send(SWITCHED)
        backend.send(b"hello")
        self.assertTrue(client.take().endswith(b"hello"))
        self.assertEqual(over, [])
        client.lose()
        backend.lose()
        world.pass_time(1)
        self.assertEqual(over, ["over"])


class HoldTests(ChainTestCase):
    def test_hold(self):
        """An answer waits for a middleware as well as for its client."""
        passages: list[Any] = []

        class Holding(Middleware):
            touches = frozenset((RESPONSE,))

            def response(self, passage: Any, answer: Any) -> None:
                passages.append(passage)

        world = self.chained(Holding())
        client = world.client()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc")
        [passage] = passages
        for full, holds, paused in (
            (False, True, True),
            (True, True, True),
            (True, False, True),
            (False, False, False),
        ):
            passage.pause_response() if full else passage.resume_response()
            passage.hold(holds)
            self.assertEqual(backend.paused, paused)


class RestTests(ChainTestCase):
    def test_rest(self):
        """A middleware may have what comes after it serve another request."""
        rests: list[Any] = []

        class Keeping(Middleware):
            touches = frozenset((ASKED,))

            def request(self, passage: Any) -> None:
                rests.append(passage.rest)

        world = self.chained(Keeping(), Keeping())
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        self.assertIsInstance(rests[0], Chain)
        self.assertEqual(len(rests[0].links), 1)
        self.assertIsInstance(rests[1], ToPool)

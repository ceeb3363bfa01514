"""Tests of `body_limit` and `buffer`: how long a body may be, and when a target is chosen."""

from __future__ import annotations

from typing import Any

from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.link import ASKED, RESPONSE, Link
from lolly_tx.proxy.middleware.base import Middleware
from tests.proxy.middleware.behind import behind
from tests.proxy.world import OK, World, WorldTestCase, chunked, get, post

LIMIT = 'type = "body_limit"\nsize = 10'
BUFFER = 'type = "buffer"\nrequest = "100k"'


class BodyLimitTests(WorldTestCase):
    def refused(self, world: World, *pieces: bytes) -> bytes:
        """The answer to a request that is refused, with no lease left."""
        client = world.client()
        for piece in pieces:
            client.send(piece)
        got: bytes = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got)
        self.assertIn(b"Connection: close\r\n", got)
        self.assertEqual(world.in_flight, {})
        return got

    def test_by_length(self) -> None:
        """A body that says it is too long is refused before a target is asked; the longest passes."""
        world = behind(self, LIMIT)
        self.refused(world, post(11))
        self.assertEqual(world.connects(), [])
        self.assertEqual([one[1] for one in world.refusals], [413])
        client = world.client()
        client.send(post(10, b"0123456789"))
        target = world.accept()
        self.assertTrue(target.take().endswith(b"0123456789"))
        target.send(OK)
        self.assertEqual(client.take(), OK)

    def test_expect(self) -> None:
        """A client that waits for a word gets the 413 in its place."""
        world = behind(self, LIMIT)
        self.refused(world, post(11, extra="Expect: 100-continue\r\n"))

    def test_chunked_at_once(self) -> None:
        """A chunked body that is too long in its first piece reaches no target."""
        world = behind(self, LIMIT)
        self.refused(world, chunked(b"0" * 11))
        self.assertEqual(world.connects(), [])

    def test_chunked_later(self) -> None:
        """One that grows too long while a target reads it is ended there, and counted with the 413."""
        world = behind(self, LIMIT)
        client = world.client()
        client.send(chunked(b"0" * 6))
        target = world.accept()
        self.assertIn(b"000000", target.take())
        client.send(b"6\r\n000000\r\n")
        self.assertTrue(client.take().startswith(b"HTTP/1.1 413 "))
        world.pass_time()
        self.assertTrue(target.aborted)
        self.assertEqual([one.status for one in world.ended], [413])
        self.assertEqual(world.in_flight, {})

    def test_outer_ones(self) -> None:
        """The 413 has what outer middlewares say of answers, whenever the body has grown too long."""
        outer = 'type = "headers"\nresponse = { set = { X-Outer = "$status" } }'
        for pieces in ((b"0" * 11,), (b"0" * 6, b"0" * 6)):
            world = behind(self, outer, LIMIT)
            client = world.client()
            client.send(chunked(pieces[0]))
            if pieces[1:]:
                world.accept()
                client.send(b"6\r\n000000\r\n")
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got)
            self.assertIn(b"X-Outer: 413\r\n", got)
            told = [one.status for one in world.ended] or [
                one[1] for one in world.refusals
            ]
            self.assertEqual(told, [413])

    def test_outer_one_fails(self) -> None:
        """An outer one that fails at that answer makes it a 500, and leaves nothing open."""

        class Failing(Middleware):
            touches = frozenset((RESPONSE,))

            def response(self, passage: Any, answer: Any) -> None:
                raise ValueError("no")

        for pieces in ((b"0" * 11,), (b"0" * 6, b"0" * 6)):
            world = behind(self, LIMIT)
            chain: Any = world.proxy.table.only
            links = [Link("outer", Failing()), *chain.links]
            world.proxy.table = RouteTable(
                [Pattern((), "/", Chain(links, chain.end, chain.told, chain.along))]
            )
            client = world.client()
            client.send(chunked(pieces[0]))
            if pieces[1:]:
                world.accept()
                client.send(b"6\r\n000000\r\n")
            self.assertTrue(client.take().startswith(b"HTTP/1.1 500 "))
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
            told = [one.status for one in world.ended] or [
                one[1] for one in world.refusals
            ]
            self.assertEqual(told, [500])

    def test_outer_ones_of_a_failure(self) -> None:
        """A 500 of a middleware that failed has what outer ones say of answers, before a target and after one."""

        class Failing(Middleware):
            def __init__(self, touches: str) -> None:
                self.touches = frozenset((touches,))

            def request(self, passage: Any) -> None:
                raise ValueError("no")

            def response(self, passage: Any, answer: Any) -> None:
                raise ValueError("no")

        outer = 'type = "headers"\nresponse = { set = { X-Outer = "$status" } }'
        for touches in (ASKED, RESPONSE):
            world = behind(self, outer)
            chain: Any = world.proxy.table.only
            links = [*chain.links, Link("inner", Failing(touches))]
            world.proxy.table = RouteTable(
                [Pattern((), "/", Chain(links, chain.end, chain.told, chain.along))]
            )
            client = world.client()
            client.send(get())
            if touches == RESPONSE:
                world.accept().send(OK)
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 500 "), got)
            self.assertIn(b"X-Outer: 500\r\n", got)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
            told = [one.status for one in world.ended] or [
                one[1] for one in world.refusals
            ]
            self.assertEqual(told, [500])

    def test_chunked_that_fits(self) -> None:
        """One that is as long as it may be passes."""
        world = behind(self, LIMIT)
        client = world.client()
        client.send(chunked(b"01234", b"56789", end=b"0\r\n\r\n"))
        target = world.accept()
        self.assertIn(b"0\r\n\r\n", target.take())
        target.send(OK)
        self.assertEqual(client.take(), OK)


class BufferTests(WorldTestCase):
    def test_waits(self) -> None:
        """No target is chosen before the body is whole; then it goes out in one piece."""
        world = behind(self, BUFFER)
        client = world.client()
        client.send(post(90000, b"a" * 30000))
        client.send(b"b" * 30000)
        world.pass_time(1)
        self.assertEqual(world.connects(), [])
        self.assertFalse(client.paused)
        client.send(b"c" * 30000)
        target = world.accept()
        sent = target.take()
        self.assertTrue(sent.endswith(b"a" * 30000 + b"b" * 30000 + b"c" * 30000))
        target.send(OK)
        self.assertEqual(client.take(), OK)

    def test_nothing_to_wait_for(self) -> None:
        """Requests without a body, and those whose body is there, go on at once."""
        world = behind(self, BUFFER)
        client = world.client()
        client.send(get())
        target = world.accept()
        target.send(OK)
        client.take()
        client.send(post(3, b"abc"))
        self.assertTrue(target.take().endswith(b"abc"))
        target.send(OK)

    def test_chunked(self) -> None:
        """A chunked body is waited for with its trailers."""
        world = behind(self, BUFFER)
        client = world.client()
        client.send(chunked(b"abc"))
        self.assertEqual(world.connects(), [])
        client.send(b"3\r\ndef\r\n0\r\n\r\n")
        target = world.accept()
        self.assertTrue(target.take().endswith(b"6\r\nabcdef\r\n0\r\n\r\n"))
        target.send(OK)

    def test_too_long(self) -> None:
        """A longer body is refused: by its length at once, without one when it has grown too long."""
        world = behind(self, BUFFER)
        client = world.client()
        client.send(post(200000))
        self.assertTrue(client.take().startswith(b"HTTP/1.1 413 "))
        client = world.client()
        client.send(chunked(b"a" * 60000))
        self.assertEqual(client.take(), b"")
        client.send(chunked(b"a" * 60000).partition(b"\r\n\r\n")[2])
        self.assertTrue(client.take().startswith(b"HTTP/1.1 413 "))
        self.assertEqual(world.connects(), [])
        self.assertEqual([one[1] for one in world.refusals], [413, 413])

    def test_expect(self) -> None:
        """A client that waits for a word gets one from us, once; its target is not asked for one."""
        world = behind(self, BUFFER)
        client = world.client()
        client.send(post(3, extra="Expect: 100-continue\r\n"))
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"abc")
        target = world.accept()
        sent = target.take()
        self.assertNotIn(b"Expect", sent)
        self.assertTrue(sent.endswith(b"abc"))
        target.send(OK)
        self.assertEqual(client.take(), OK)

    def test_client_goes(self) -> None:
        """A client that goes away meanwhile is logged, and no target hears of it."""
        world = behind(self, BUFFER)
        client = world.client()
        client.send(post(30, b"abc"))
        client.lose()
        world.pass_time(1)
        self.assertEqual(world.connects(), [])
        self.assertEqual([one[1] for one in world.refusals], [499])

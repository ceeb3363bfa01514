"""Targets that are lost beside middleware: what the client sees, what is written down, and that nothing is left.

That no lease, timer or connection stays is looked at after each test (`tests.proxy.world`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from lolly_tx.config.load import parse
from lolly_tx.net.http2.shared import Http2Settings
from tests.proxy.caching.test_cache import FRESH, head_of
from tests.proxy.caching.world import CacheTestCase
from tests.proxy.h2client import Http2Client
from tests.proxy.h2target import Http2Target
from tests.proxy.middleware.behind import REST, behind
from tests.proxy.middleware.test_forward_auth import AUTH
from tests.proxy.world import World, WorldTestCase, answer, chunked, get, post

TABLES = {
    "none": "",
    "headers": 'type = "headers"\nresponse.set = { X-A = "1" }',
    "compress": 'type = "compress"\nleast = "1"\nencodings = ["gzip"]',
    "buffer": 'type = "buffer"\nrequest = "1k"',
    "rate_limit": 'type = "rate_limit"\nrate = "100/s"',
    "concurrency": 'type = "concurrency"\nlimit = 1',
    "bandwidth": 'type = "bandwidth"\nrate = "1M"',
    "body_limit": 'type = "body_limit"\nsize = "1M"',
    "error_pages": 'type = "error_pages"\npages = { "5xx" = "5xx.html" }\nintercept = true',
}
BEGUN = b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Type: text/html\r\nContent-Length: 900\r\n\r\n"
ASKS = "Accept-Encoding: gzip\r\n"
PAGE = b"<h1>sorry</h1>"


class LostTests(WorldTestCase):
    def worlds(self, **more: Any) -> Any:
        """One after the other: the name of a type, and a world behind it; `all` is behind all of them."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "5xx.html").write_bytes(PAGE)
            named = [(name, [table]) for name, table in TABLES.items()]
            for name, tables in [*named, ("all", list(TABLES.values()))]:
                texts = [
                    f"[middleware.m{n}]\n{table}\n"
                    for n, table in enumerate(tables)
                    if table
                ]
                config = parse(REST + "".join(texts), f"{folder}/lolly.toml")
                with self.subTest(name):
                    world = behind(self, config=config, tries=1, **more)
                    yield name, world
                    self.nothing_left(world)

    def nothing_left(self, world: World) -> None:
        """No slot is taken, nothing is packed."""
        self.assertEqual(world.in_flight, {})
        self.assertEqual(world.forwarder.in_flight, 0)
        for link in getattr(world.proxy.table.only, "links", ()):
            one = link.request.__self__
            self.assertEqual(getattr(one, "under_way", {}), {})
            self.assertEqual(getattr(one, "at_work", 0), 0)

    def again(self, world: World) -> None:
        """The next client is served."""
        client = world.client()
        client.send(get())
        target = world.accept()
        target.send(answer())
        self.assertIn(b"HTTP/1.1 200 ", client.take())
        self.assertEqual(world.ended[-1].status, 200)

    def test_before_the_answer(self) -> None:
        """It is a 502, with the page there is for it; the client's connection goes on."""
        for name, world in self.worlds():
            client = world.client()
            client.send(get("/", ASKS))
            world.accept().reset()
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 502 "), got)
            self.assertEqual(name in ("error_pages",), got.endswith(PAGE))
            self.assertFalse(client.disconnecting)
            [ended] = world.ended
            self.assertEqual(ended.status, 502)
            if b"chunked" not in got:
                self.assertEqual(ended.bytes_out, len(got.partition(b"\r\n\r\n")[2]))
            self.again(world)

    def test_within_the_answer(self) -> None:
        """The client sees that it has not all: the connection is cut, whatever has packed it."""
        for name, world in self.worlds():
            client = world.client()
            client.send(get("/", ASKS))
            target = world.accept()
            target.send(BEGUN)
            target.send(b"x" * 100)
            target.reset()
            world.pass_time()
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 200 "), got)
            self.assertNotIn(b"\r\n0\r\n\r\n", got)
            self.assertTrue(client.aborted, name)
            [ended] = world.ended
            self.assertEqual(
                (ended.status, type(ended.error).__name__), (200, "ConnectionReset")
            )
            self.again(world)

    def test_within_the_request(self) -> None:
        """It is a 502, and the rest of the body is read away or the connection ends."""
        for begin, rest in (
            (post(9, b"abc"), b"defghi"),
            (chunked(b"abc"), b"0\r\n\r\n"),
        ):
            for name, world in self.worlds():
                client = world.client()
                client.send(begin)
                if name in ("buffer", "all"):  # asked when all of it is there
                    self.assertEqual(world.connects(), [])
                    client.send(rest)
                target = world.accept()
                self.assertIn(b"abc", target.take())
                target.reset()
                world.pass_time()
                got = client.take()
                self.assertTrue(got.startswith(b"HTTP/1.1 502 "), got)
                self.assertEqual([one.status for one in world.ended], [502])
                client.lose()
                world.pass_time()
                self.again(world)

    def test_http2(self) -> None:
        """The same of streams: one is reset in mid-answer, and the others of its connection go on."""
        for name, world in self.worlds(http2=Http2Settings()):
            client = Http2Client(world)
            early = client.get("/", ("accept-encoding", "gzip"))
            world.accept().reset()
            client.turn()
            self.assertEqual(client.answers[early].status, 502)
            self.assertTrue(client.answers[early].ended)
            late = client.get("/", ("accept-encoding", "gzip"))
            target = world.accept()
            target.send(BEGUN)
            target.send(b"x" * 100)
            target.reset()
            client.turn()
            self.assertEqual(client.answers[late].status, 200)
            self.assertFalse(client.answers[late].ended)
            self.assertIsNotNone(client.answers[late].reset, name)
            up = client.request(method="POST", end=False)
            client.send(up, b"abc")
            if name in ("buffer", "all"):
                client.send(up, b"d", end=True)
            world.accept().reset()
            client.turn()
            self.assertEqual(client.answers[up].status, 502)
            self.assertEqual([one.status for one in world.ended], [502, 200, 502])
            self.again(world)

    def test_streams_of_targets(self) -> None:
        """A target that speaks HTTP/2 resets streams, or goes with all of them."""
        for name, world in self.worlds(protocol="h2c"):
            client, other = world.client(), world.client()
            client.send(get("/", ASKS))
            target = Http2Target(world)
            target.turn()
            [stream] = target.requests
            target.head(stream, ("date", "d"), ("content-type", "text/html"))
            target.send(stream, b"x" * 100)
            target.h2.reset_stream(stream, 2)
            target.turn()
            world.pass_time()
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 200 "), (name, got))
            self.assertTrue(client.aborted, name)
            other.send(get("/", ASKS))
            target.turn()
            stream = max(target.requests)
            target.head(stream, ("date", "d"), ("content-type", "text/html"))
            target.send(stream, b"x" * 100)
            target.line.reset()
            world.pass_time()
            self.assertTrue(other.take().startswith(b"HTTP/1.1 200 "))
            self.assertTrue(other.aborted, name)
            errors = [type(one.error).__name__ for one in world.ended]
            self.assertEqual(errors, ["ConnectionReset"] * 2)

    def test_authority(self) -> None:
        """An authority that is lost before its answer, or within it, lets nobody pass."""
        for begun in (b"", BEGUN + b"x"):
            world = behind(self, AUTH, 'type = "concurrency"\nlimit = 1', tries=1)
            client = world.client()
            client.send(post(3, b"abc"))
            authority = world.accept()
            if begun:
                authority.send(begun)
            authority.reset()
            world.pass_time()
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 500 "), got)
            self.assertEqual(world.connects(), [])
            self.nothing_left(world)
            client.lose()
            client = world.client()
            client.send(get())
            world.accept().send(answer())
            world.pass_time()
            target = world.lines[-1]
            self.assertIn(b"GET / HTTP/1.1", target.take())
            target.send(answer(b"in"))
            self.assertTrue(client.take().endswith(b"in"))


class CopiedTests(WorldTestCase):
    def test_copies(self) -> None:
        """A lost copy is nobody's affair; a lost target leaves its copy alone."""
        for first in (True, False):
            world = behind(self, 'type = "mirror"\npool = "app"\nbody = "1k"', tries=1)
            client = world.client()
            client.send(post(3, b"abc"))
            lines = [world.accept() for _ in range(len(world.connects()))]
            self.assertEqual(len(lines), 2)
            lines[not first].send(BEGUN)
            lines[first].reset()
            world.pass_time()
            lines[not first].send(b"x" * 900)
            world.pass_time()
            self.assertEqual(world.forwarder.in_flight, 0)
            client.take()


class FilledTests(CacheTestCase):
    """A cache that is being filled when the target goes, of a known length or not; over HTTP/2 as well."""

    def test_waiters(self) -> None:
        """All that have a part of it are cut off, nothing is stored, and the next one asks again."""
        for line in ("Content-Length: 600", "Transfer-Encoding: chunked"):
            self.cached(http2=Http2Settings())
            clients = [self.ask(), self.ask()]
            second = Http2Client(self.w)
            stream = second.get()
            backend = self.backend()
            body = b"2\r\nab\r\n" if "chunked" in line else b"ab"
            self.reply(backend, body, FRESH, line, length=False)
            third = self.ask()
            second.turn()
            backend.reset()
            second.turn()
            for client in (*clients, third):
                self.assertIn(b"ab", client.take())
                self.assertTrue(client.aborted)
            self.assertEqual(second.answers[stream].body, b"ab")
            self.assertIsNotNone(second.answers[stream].reset)
            self.assertEqual((len(self.store), self.store.filling), (0, 0))
            self.assertEqual(self.w.in_flight, {})
            self.assertIn(b"fwd=uri-miss", self.fill(FRESH))
            self.assertEqual(len(self.store), 1)

    def test_before_the_answer(self) -> None:
        """A target that goes before its answer is a 502 for who asked; the others ask again."""
        self.cached(tries=1)
        one, two = self.ask(), self.ask()
        self.backend().reset()
        self.w.pass_time()
        self.assertEqual(head_of(one.take()), b"502")
        self.reply(self.backend(), b"ok", FRESH)
        self.assertTrue(two.take().endswith(b"ok"))
        self.assertEqual((len(self.store), self.store.filling), (1, 0))

    def test_refresh(self) -> None:
        """A stale answer that was being asked for again is kept, and given while it may be."""
        self.cached(tries=1)
        self.fill("Cache-Control: max-age=1, stale-while-revalidate=60", 'ETag: "x"')
        self.w.pass_time(2.0)
        self.assertTrue(self.ask().take().endswith(b"ok"))
        backend = self.backend()
        self.reply(backend, b"new", FRESH, "Content-Length: 60", length=False)
        backend.reset()
        self.w.pass_time()
        self.assertEqual(self.store.filling, 0)
        self.assertEqual(self.w.in_flight, {})
        self.assertTrue(self.ask().take().endswith(b"ok"))

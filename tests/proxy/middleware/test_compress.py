"""Tests of `type = "compress"`: which answers are packed for whom, and how they pass."""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from typing import Any

import brotli
from twisted.internet.task import Clock

from lolly_tx.config.middleware.compress import Compress
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.slices import SLICE_BYTES
from lolly_tx.proxy.middleware import compress
from lolly_tx.proxy.middleware.compress import (
    TURN_BYTES,
    CompressFactory,
    CompressMiddleware,
)
from lolly_tx.wire.packing import packers, zstd
from tests.config.samples import faults
from tests.proxy.middleware.behind import REST, behind, deps_of, settings
from tests.proxy.world import World, WorldTestCase, get

TEXT = b"the quick brown fox jumps over the lazy dog. " * 100
HTML = b"\r\nContent-Type: text/html\r\n"
USUAL = 'type = "compress"\n'
UNPACK = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}


def target_says(
    *fields: str, body: bytes = TEXT, status: int = 200, kind: str = "text/html"
) -> bytes:
    """An answer in one piece."""
    lines = [f"HTTP/1.1 {status} R", "Date: d", *fields]
    if kind:
        lines.append(f"Content-Type: {kind}")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class CompressTestCase(WorldTestCase):
    middleware = USUAL

    def setUp(self) -> None:
        super().setUp()
        self.behind = behind(self, self.middleware)

    def ask(
        self,
        answer: bytes,
        accept: str | None = "gzip",
        *fields: str,
        world: World | None = None,
        method: str = "GET",
    ) -> tuple[dict[str, str], bytes]:
        """Fields by lower-case name, and body, of what a client gets when the target says that."""
        world = world or self.behind
        more = "".join(f"{one}\r\n" for one in fields)
        if accept is not None:
            more += f"Accept-Encoding: {accept}\r\n"
        client = world.client()
        client.send(get("/", more).replace(b"GET", method.encode(), 1))
        target = world.accept()
        target.send(answer)
        head, _, body = client.take().partition(b"\r\n\r\n")
        target.lose()
        client.lose()
        world.pass_time(0.1)
        found: dict[str, str] = {}
        for line in head.decode().split("\r\n")[1:]:
            name, _, value = line.partition(": ")
            name = name.lower()
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found, body

    def packed(self, *asked: Any, **named: Any) -> str | None:
        """The coding, after a look at the body."""
        fields, body = self.ask(*asked, **named)
        coding = fields.get("content-encoding")
        if coding is not None and coding in UNPACK:
            self.assertEqual(int(fields["content-length"]), len(body))
            self.assertEqual(UNPACK[coding](body), TEXT)
        return coding


class WhichTests(CompressTestCase):
    def test_codings(self) -> None:
        """By what the client prefers, then by our order."""
        for accept, coding in (
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("br;q=0.9, gzip;q=1.0", "gzip"),
            ("gzip, br", "br"),
            ("*", "zstd"),
            ("gzip;q=0", None),
            ("identity, *;q=0", None),
            ("deflate", None),
            ("gzipx", None),
            ("", None),
            (None, None),
        ):
            self.assertEqual(self.packed(target_says(), accept), coding, accept)

    def test_fields(self) -> None:
        """The head says what the body is, and no more what it was."""
        fields, body = self.ask(
            target_says(
                'ETag: "x"',
                "Accept-Ranges: bytes",
                "Content-MD5: x",
                "Digest: x",
                "Content-Digest: x",
                "Repr-Digest: x",
                "Vary: Origin",
                "X-Kept: 1",
            )
        )
        self.assertLess(len(body), len(TEXT) // 4)
        self.assertEqual(
            fields,
            {
                "date": "d",
                "content-type": "text/html",
                "content-encoding": "gzip",
                "content-length": str(len(body)),
                "etag": 'W/"x"',
                "vary": "Origin, Accept-Encoding",
                "x-kept": "1",
            },
        )

    def test_vary(self) -> None:
        """Every answer that could have been packed varies, for who takes nothing as well; the others do not."""
        fields, body = self.ask(target_says('ETag: "x"'), None)
        self.assertEqual((fields["vary"], fields["etag"]), ("Accept-Encoding", '"x"'))
        self.assertEqual(body, TEXT)
        for said in ("Vary: *", "Vary: accept-encoding, Origin"):
            vary = self.ask(target_says(said))[0]["vary"]
            self.assertEqual(f"Vary: {vary}", said)
        self.assertNotIn("vary", self.ask(target_says(kind="image/png"))[0])
        self.assertNotIn("vary", self.ask(target_says(body=b"short"))[0])

    def test_weak_already(self) -> None:
        """A weak tag stays as it is."""
        self.assertEqual(self.ask(target_says('ETag: W/"x"'))[0]["etag"], 'W/"x"')

    def test_never(self) -> None:
        """What is packed already, is a part, may not be changed, is short or is no text."""
        for answer in (
            target_says("Content-Encoding: br"),
            target_says("Content-Encoding: identity"),
            target_says("Content-Range: bytes 0-9/100", status=206),
            target_says("Content-Range: bytes 0-9/100"),
            target_says(status=206),
            target_says("Cache-Control: public, No-Transform"),
            target_says(body=TEXT[:1023]),
            target_says(kind="image/png"),
            target_says(kind="application/octet-stream"),
            target_says(kind="application/grpc"),
            target_says(kind="texts/html"),
            target_says(kind=""),
        ):
            fields, body = self.ask(answer)
            self.assertNotIn("vary", fields, answer[:80])
            self.assertTrue(answer.endswith(body))
        self.assertIsNone(
            self.packed(target_says(), "gzip", "Cache-Control: no-transform")
        )

    def test_types(self) -> None:
        """Parameters and case do not count."""
        for kind in (
            "text/HTML; charset=utf-8",
            "application/json",
            "application/problem+json",
            "application/xhtml+xml;x=y",
            "image/svg+xml",
            "application/wasm",
        ):
            self.assertEqual(self.packed(target_says(kind=kind)), "gzip", kind)

    def test_statuses(self) -> None:
        """Errors are packed like the rest; what has no body has none."""
        self.assertEqual(self.packed(target_says(status=404)), "gzip")
        fields, body = self.ask(target_says(status=204, body=b"", kind=""))
        self.assertNotIn("vary", fields)
        fields, body = self.ask(
            b'HTTP/1.1 304 N\r\nDate: d\r\nETag: "x"\r\n\r\n', "gzip"
        )
        self.assertEqual(body, b"")
        self.assertEqual((fields["vary"], fields["etag"]), ("Accept-Encoding", 'W/"x"'))
        self.assertNotIn("content-encoding", fields)

    def test_head(self) -> None:
        """A HEAD has the fields of a GET, but for the length that nobody knows."""
        asked, _ = self.ask(target_says('ETag: "x"'))
        answer = target_says('ETag: "x"').removesuffix(TEXT)
        fields, body = self.ask(answer, method="HEAD")
        self.assertEqual(body, b"")
        del asked["content-length"]
        self.assertEqual(fields, asked)

    def test_released(self) -> None:
        """Nothing is at work when all is over."""
        self.packed(target_says())
        link = self.behind.proxy.table.only.links[0]  # type: ignore[union-attr]  # a chain
        self.assertEqual(link.response.__self__.at_work, 0)


class SettingTests(CompressTestCase):
    def of(self, more: str) -> World:
        """A world behind these settings."""
        return behind(self, USUAL + more)

    def test_settings(self) -> None:
        """Each of them has its effect."""
        world = self.of('encodings = ["gzip"]\nleast = 10\ntypes = ["text/plain"]')
        both = "zstd, gzip"
        self.assertIsNone(self.packed(target_says(), both, world=world))
        answer = target_says(kind="text/plain")
        self.assertEqual(self.packed(answer, both, world=world), "gzip")
        short = target_says(body=b"x" * 10, kind="text/plain")
        self.assertIn("content-encoding", self.ask(short, both, world=world)[0])
        shorter = target_says(body=b"x" * 9, kind="text/plain")
        self.assertNotIn("content-encoding", self.ask(shorter, both, world=world)[0])

    def test_level(self) -> None:
        """A higher level packs no worse."""
        sizes = []
        for level in (1, 9):
            world = self.of(f'level = {level}\nencodings = ["gzip"]')
            sizes.append(len(self.ask(target_says(), world=world)[1]))
        self.assertLessEqual(sizes[1], sizes[0])
        self.assertEqual(
            CompressMiddleware(Compress(level=7), Clock())._levels["br"], 7
        )

    def test_faults(self) -> None:
        """Wrong ones say what would be right."""
        for text, said in (
            ('encodings = ["deflate"]', "is none of the choices"),
            ("encodings = []", "must name a coding at least"),
            ("level = 10", "must be between 0 and 9"),
            ('types = ["html"]', "must be a media type without parameters"),
            ('types = ["text/html; charset=utf-8"]', "without parameters"),
            ("streams = 0", "must be between"),
        ):
            found = faults(f"{REST}[middleware.m]\n{USUAL}{text}\n")
            self.assertEqual(len(found), 1, text)
            self.assertIn(said, found[0])

    def test_told(self) -> None:
        """What it may take, and what it gives away, is said."""
        self.assertIn("1000 answers", next(Compress().facts()))
        self.assertEqual(list(Compress().doubts()), [])
        self.assertIn("BREACH", next(Compress(secrets=True).doubts()))

    def test_missing(self) -> None:
        """What is not installed is left out, and that is logged."""
        only = {"gzip": packers()["gzip"]}
        self.patch(compress, "packers", lambda: only)
        said: list[Any] = []

        class Log:
            def warn(self, text: str, **named: Any) -> None:
                said.append(named["missing"])

        config = settings(USUAL)
        deps = deps_of(self.behind, config, "m0")
        object.__setattr__(deps, "log", Log())
        made = CompressFactory().build(Compress(), deps)
        self.assertEqual(said, ["zstd and br"])
        self.assertEqual(made._negotiation.choose(b"zstd, gzip"), "gzip")
        object.__setattr__(deps, "serves", False)
        CompressFactory().build(Compress(), deps)
        self.assertEqual(len(said), 1)


class SecretTests(CompressTestCase):
    def coding(self, answer: bytes, *fields: str, secure: bool = True) -> str | None:
        """Over TLS, or not."""
        world = behind(self, self.middleware, secure=secure)
        return self.ask(answer, "gzip", *fields, world=world)[0].get("content-encoding")

    def test_secrets(self) -> None:
        """Over TLS, pages and JSON for who shows a cookie or a password go as they are, unless they are public."""
        for secret in ("Cookie: a=b", "Authorization: Basic x"):
            for kind in ("text/html", "application/json", "application/a+json"):
                self.assertIsNone(self.coding(target_says(kind=kind), secret))
            self.assertEqual(self.coding(target_says(kind="text/css"), secret), "gzip")
            public = target_says("Cache-Control: public, max-age=1")
            self.assertEqual(self.coding(public, secret), "gzip")
            self.assertEqual(self.coding(target_says(), secret, secure=False), "gzip")
        self.assertEqual(self.coding(target_says()), "gzip")

    def test_unless_asked(self) -> None:
        """`secrets = true` packs them all."""
        self.middleware = USUAL + "secrets = true"
        self.assertEqual(self.coding(target_says(), "Cookie: a=b"), "gzip")

    def test_vary(self) -> None:
        """They vary all the same: another client gets them packed."""
        world = behind(self, self.middleware, secure=True)
        fields = self.ask(target_says(), "gzip", "Cookie: a=b", world=world)[0]
        self.assertEqual(fields["vary"], "Accept-Encoding")


def chunk(data: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def unchunked(data: bytes) -> bytes:
    """What chunks hold, as far as they have come."""
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        out += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return out


class StreamTests(CompressTestCase):
    def begin(self, kind: str, *fields: str, world: World | None = None) -> Any:
        """A client and a target in the midst of an answer without a length; its head is taken."""
        world = world or self.behind
        client = world.client()
        client.send(get("/", "Accept-Encoding: gzip\r\n"))
        target = world.accept()
        more = "".join(f"{one}\r\n" for one in fields)
        target.send(
            f"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Type: {kind}\r\n{more}"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        return client, target

    def test_events(self) -> None:
        """Each event is there as soon as it came, and the head before the first."""
        client, target = self.begin("text/event-stream")
        head = client.take()
        self.assertIn(b"Content-Encoding: gzip\r\n", head)
        self.assertIn(b"Transfer-Encoding: chunked\r\n", head)
        reader = zlib.decompressobj(31)
        for number in range(3):
            event = b"data: %d\n\n" % number
            target.send(chunk(event))
            self.assertEqual(reader.decompress(unchunked(client.take())), event)
        target.send(b"0\r\n\r\n")
        rest = client.take()
        self.assertTrue(rest.endswith(b"0\r\n\r\n"))
        reader.decompress(unchunked(rest))
        self.assertTrue(reader.eof)

    def test_others(self) -> None:
        """So is what another answer brings, when nothing more comes for now."""
        for more in ((), ("X-Accel-Buffering: no",)):
            client, target = self.begin("text/plain", *more)
            client.take()
            reader = zlib.decompressobj(31)
            target.send(chunk(b"hello"))
            self.assertEqual(reader.decompress(unchunked(client.take())), b"hello")
            client.lose()

    def test_long(self) -> None:
        """A long body passes in pieces, and is the same in the end."""
        client, target = self.begin("text/plain")
        client.take()
        for _ in range(50):
            target.send(chunk(TEXT))
        target.send(b"0\r\n\r\n")
        self.behind.clock.advance(0)
        self.assertEqual(gzip.decompress(unchunked(client.take())), TEXT * 50)

    def test_gone(self) -> None:
        """A client that goes, and a target that breaks off, leave nothing at work."""
        link = self.behind.proxy.table.only.links[0]  # type: ignore[union-attr]  # a chain
        middleware = link.response.__self__
        client, target = self.begin("text/plain")
        target.send(chunk(TEXT))
        self.assertEqual(middleware.at_work, 1)
        client.lose()
        self.assertEqual(middleware.at_work, 0)
        client, target = self.begin("text/plain")
        target.send(chunk(TEXT))
        target.reset()
        self.assertEqual(middleware.at_work, 0)
        self.assertTrue(client.aborted)

    def test_bound(self) -> None:
        """No more than so many at once; the others go as they are, and vary."""
        world = behind(self, USUAL + "streams = 1")
        first, _ = self.begin("text/plain", world=world)
        self.assertIn(b"Content-Encoding", first.take())
        fields, body = self.ask(target_says(), world=world)
        self.assertNotIn("content-encoding", fields)
        self.assertEqual((fields["vary"], body), ("Accept-Encoding", TEXT))
        first.lose()
        self.assertEqual(self.packed(target_says(), world=world), "gzip")


def turn(world: World) -> None:
    """One turn of the event loop: what is due, and nothing of what that has asked for."""
    clock = world.clock
    for call in [one for one in clock.calls if one.getTime() <= clock.seconds()]:
        if call.active():
            clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class TurnTests(CompressTestCase):
    """A long body is packed some at a time, so that others are served meanwhile."""

    body = random.Random(1).randbytes(6 * SLICE_BYTES)

    def unpacked(self, got: bytes) -> tuple[bytes, bool]:
        """What of the body a client has, and whether that is all."""
        head, _, rest = got.partition(b"\r\n\r\n")
        self.assertIn(b"Transfer-Encoding: chunked", head)
        packed = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            if not int(size, 16):
                return zlib.decompressobj(31).decompress(packed), True
            packed += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return zlib.decompressobj(31).decompress(packed), False

    def test_stream(self) -> None:
        """A target is read on when a turn's share is packed and others had theirs; nothing is lost."""
        client = self.behind.client()
        client.send(get("/", "Accept-Encoding: gzip\r\n"))
        target = self.behind.accept()
        said = target_says(body=self.body)
        got, turns = b"", 0
        for at in range(0, len(said), 16384):
            target.send(said[at : at + 16384])
        while target.inbox:
            self.assertTrue(target.paused)
            before = len(target.inbox)
            turns += 1
            turn(self.behind)
            turn(self.behind)
            self.assertLessEqual(before - len(target.inbox), TURN_BYTES // 16384 + 1)
            self.assertLess(turns, 100)
        self.behind.clock.advance(0)
        got = client.take()
        self.assertEqual(self.unpacked(got), (self.body, True))
        self.assertGreaterEqual(turns, len(self.body) // TURN_BYTES - 1)

    def responding(self) -> World:
        """A route that answers itself, in one piece."""
        world = behind(self, self.middleware, end=Answer(200, HTML, self.body))
        self.addCleanup(world.clock.advance, 0)
        return world

    def test_one_piece(self) -> None:
        """A body that was given in one piece leaves slice by slice, one in a turn."""
        world = self.responding()
        client = world.client()
        client.send(get("/", "Accept-Encoding: gzip\r\n"))
        got = client.take()
        sizes = [len(self.unpacked(got)[0])]
        for _ in range(20):
            turn(world)
            got += client.take()
            sizes.append(len(self.unpacked(got)[0]))
        self.assertEqual(self.unpacked(got), (self.body, True))
        steps = [b - a for a, b in itertools.pairwise([0, *sizes])]
        self.assertLessEqual(max(steps), 2 * SLICE_BYTES)
        client.send(get())
        self.assertTrue(client.take().endswith(self.body))  # unpacked, at once

    def test_back_pressure(self) -> None:
        """A client that takes nothing stops it."""
        world = self.responding()
        client = world.client()
        client.stop_reading()
        client.send(get("/", "Accept-Encoding: gzip\r\n"))
        for _ in range(20):
            world.clock.advance(0)
        self.assertLess(client.queued, 3 * SLICE_BYTES)
        client.read_on()
        for _ in range(20):
            world.clock.advance(0)
        self.assertEqual(self.unpacked(client.take()), (self.body, True))

    def test_client_leaves(self) -> None:
        """A client that goes in the middle ends the work, and nothing waits for the next turn."""
        world = self.responding()
        client = world.client()
        client.send(get("/", "Accept-Encoding: gzip\r\n"))
        client.lose()
        world.clock.advance(0)
        waiting = [each for each in world.clock.getDelayedCalls() if not each.getTime()]
        self.assertEqual(waiting, [])

    def test_head(self) -> None:
        """A HEAD is answered at once."""
        world = self.responding()
        client = world.client()
        client.send(get("/", "Accept-Encoding: gzip\r\n").replace(b"GET", b"HEAD", 1))
        got = client.take()
        self.assertIn(b"Content-Encoding: gzip", got)
        self.assertTrue(got.endswith(b"\r\n\r\n"))

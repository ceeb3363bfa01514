"""Heads that need not be made again: the same as made anew, in every case."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.encoder import field
from lolly_tx.wire.hpack.static import STATIC
from lolly_tx.wire.hpack.table import Decoded, empty_table
from lolly_tx.wire.http2 import known
from lolly_tx.wire.http2.known import RequestHeads
from lolly_tx.wire.http2.requests import request_head
from lolly_tx.wire.message import RequestHead

LIMITS = HeadLimits(line_bytes=200)
PSEUDO = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"a.test"),
    (b":path", b"/"),
)
Fields = tuple[tuple[bytes, bytes], ...]


def decoded(fields: Fields) -> Decoded:
    return Decoded(fields, (), empty_table(), None, b"")


def facts(head: RequestHead) -> tuple[object, ...]:
    """All that a head says."""
    block = head.block
    return (
        head.method,
        head.target,
        head.version,
        head.plain,
        head.is_head,
        block.raw,
        block.kept,
        block.host,
        block.has_host,
        block.plain,
        block.length,
        block.chunked,
        block.connection,
        block.forwarded,
        block.wants_trailers,
    )


def outcome(fields: Fields, ended: bool, heads: RequestHeads | None) -> object:
    """What comes of fields, made by `heads` or made anew."""
    try:
        if heads is None:
            return facts(request_head(fields, ended=ended, limits=LIMITS))
        return facts(heads.head_of(decoded(fields), ended))
    except BadMessage as error:
        return (type(error), error.reason, error.status, error.line)


class SameTests(SynchronousTestCase):
    def same(self, fields: Fields, heads: RequestHeads) -> None:
        for ended in (True, False):
            self.assertEqual(
                outcome(fields, ended, heads), outcome(fields, ended, None), fields
            )

    def test_single_fields(self) -> None:
        """Each kind of field, good or bad, among others."""
        heads = RequestHeads(LIMITS)
        values = (
            b"",
            b"a",
            b"a b",
            b" a",
            b"a\t",
            b"\ta",
            b"a\nb",
            b"a\rb",
            b"\x00",
            b"\xff",
            b"5",
            b"trailers",
            b"\x7f",
        )
        names = [name for name, _ in STATIC[1:]]
        names += [
            b"x-a",
            b"x_a",
            b"X-A",
            b"",
            b"a b",
            b"a:",
            b"te",
            b"connection",
            b"upgrade",
            b"trailer",
            b"forwarded",
        ]
        names += [
            b"keep-alive",
            b"x-forwarded-for",
            b"x-real-ip",
            b"lolly-hop",
            b"proxy-connection",
            b":protocol",
            b"a\n",
        ]
        for name in names:
            for value in values:
                self.same((*PSEUDO, (b"accept", b"*/*"), (name, value)), heads)
                self.same(((name, value), *PSEUDO), heads)

    def test_pseudo_fields(self) -> None:
        """Their values, their order, too few and too many of them."""
        heads = RequestHeads(LIMITS)
        for name, values in (
            (b":method", (b"GET", b"get", b"", b"PURGE", b"A B", b"CONNECT", b"HEAD")),
            (b":scheme", (b"http", b"ftp", b"")),
            (
                b":authority",
                (b"", b"A.test:80", b"a b", b"a\nb", b"[::1]", b"a@b", b" a"),
            ),
            (b":path", (b"", b"*", b"/x?y", b"x", b"/\n", b"/ ", b"/" + b"x" * 300)),
        ):
            for value in values:
                changed = tuple((n, value if n == name else v) for n, v in PSEUDO)
                self.same(changed, heads)
            self.same(tuple(pair for pair in PSEUDO if pair[0] != name), heads)
            self.same((*PSEUDO, (name, b"/")), heads)
            self.same((*PSEUDO[:3], (b"accept", b"a"), PSEUDO[3]), heads)
        self.same((), heads)
        self.same(PSEUDO[::-1], heads)

    def test_random(self) -> None:
        """Heads of some fields out of a few, as clients send them."""
        random = Random(3)
        heads = RequestHeads(LIMITS)
        some = [(b"x-%d" % n, b"v" * n) for n in range(5)]
        some += [
            (b"cookie", b"a=b"),
            (b"cookie", b"c=d"),
            (b"host", b"a.test"),
            (b"te", b"trailers"),
            (b"x_y", b"z"),
        ]
        some += [
            (b"cookie", b" a"),
            (b"cookie", b""),
            (b"authorization", b"x"),
            (b"content-length", b"0"),
        ]
        for _ in range(2000):
            self.same((*PSEUDO, *random.choices(some, k=random.randrange(6))), heads)


class KeptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heads = RequestHeads(LIMITS)
        self.decoder = Decoder(BlockMemory(LIMITS))

    def block(self, path: bytes, *more: tuple[bytes, bytes]) -> bytes:
        start = b"\x82\x87"  # GET, https
        fields = [(b":path", path), PSEUDO[2], *more]
        return start + b"".join([field(*pair) for pair in fields])

    def made(self, block: bytes, ended: bool = True) -> RequestHead:
        return self.heads.head_of(self.decoder.decode(block), ended)

    def test_whole(self) -> None:
        """A block that is known has its head, and another one where a body follows."""
        block = self.block(b"/a")
        for _ in range(3):
            last, body = self.made(block), self.made(block, False)
        self.assertIs(self.made(block), last)
        self.assertIs(self.made(block, False), body)
        self.assertEqual((last.plain, body.block.chunked), (True, True))

    def test_paths(self) -> None:
        """One that is known but for its path shares the fields; a bad path is refused all the same."""
        heads = [self.made(self.block(b"/%d" % n)) for n in range(6)]
        self.assertEqual(
            [head.target for head in heads], [b"/%d" % n for n in range(6)]
        )
        self.assertIs(heads[4].block, heads[5].block)
        for path in (b"x", b"/ x", b"/\n", b"/" * 201, b"*"):
            self.assertRaises(BadMessage, self.made, self.block(path))
        self.assertIs(self.made(self.block(b"/x")).block, heads[5].block)

    def test_upgrade(self) -> None:
        """A WebSocket has a key of its own each time."""
        keys = iter(range(100))
        self.heads = RequestHeads(LIMITS, lambda: b"%022d==" % next(keys))
        pairs = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *PSEUDO[1:]]
        block = b"".join([field(*pair) for pair in pairs])
        seen = {
            self.made(block, False).block.get(b"sec-websocket-key") for _ in range(5)
        }
        self.assertEqual(len(seen), 5)

    def test_names(self) -> None:
        """Names that were found to be only passed on are known again, so many; values are checked each time."""
        heads = RequestHeads(LIMITS, scan=None)
        for n in range(known.NAMES + 10):
            heads.head_of(decoded((*PSEUDO, (b"x-%d" % n, b"a"))), True)
            heads.head_of(decoded((*PSEUDO, (b"y" * 100 + b"%d" % n, b"a"))), True)
            self.assertLessEqual(len(heads._passed), known.NAMES)
        self.assertIn(b"x-%d" % n, heads._passed)
        self.assertLess(max(map(len, heads._passed)), known.LARGEST_NAME_BYTES)
        for value in (b" a", b"a\r\nb: c", b"\0"):
            fields = (*PSEUDO, (b"x-%d" % n, value))
            self.assertRaises(BadMessage, heads.head_of, decoded(fields), True)
        self.assertNotIn(b"x-forwarded-for", heads._passed)

    def test_bound(self) -> None:
        """Lines that are all different are forgotten again, credentials never remembered."""
        heads = RequestHeads(LIMITS, scan=None)
        for n in range(5000):
            heads.head_of(
                decoded((*PSEUDO, (b"x-a", b"%d" % n), (b"authorization", b"%d" % n))),
                True,
            )
            self.assertGreaterEqual(heads._left, 0)
        remembered = heads._lines
        self.assertLess(len(remembered), known.REMEMBERED_BYTES // 350)
        self.assertEqual({name for name, _ in remembered}, {b"x-a"})

"""Heads to header blocks: what comes out means the same to another library, whatever is remembered."""

from __future__ import annotations

from random import Random

import hpack
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.encoder import Encoder, LineMemory
from lolly_tx.wire.hpack.static import STATIC

Fields = list[tuple[bytes, bytes]]


def encoder(memory: LineMemory | None = None) -> Encoder:
    return Encoder(memory or LineMemory())


def meaning(block: bytes) -> Fields:
    """What another library takes it for; it leaves nothing in a dynamic table."""
    other = hpack.Decoder(max_header_list_size=10**6)
    fields = [(bytes(n), bytes(v)) for n, v in other.decode(block, raw=True)]
    assert not other.header_table.dynamic_entries
    return fields


class AnswerTests(SynchronousTestCase):
    def test_head(self) -> None:
        """Status and lines, names in lower case and values without what is around them."""
        lines = b"\r\nDate: x\r\nETag:\t a b \r\nX-A:\r\nVary: Accept-Encoding\r\n"
        wanted = [
            (b":status", b"200"),
            (b"date", b"x"),
            (b"etag", b"a b"),
            (b"x-a", b""),
            (b"vary", b"Accept-Encoding"),
        ]
        coder = encoder()
        for _ in range(3):
            self.assertEqual(meaning(coder.answer(200, lines)), wanted)
        self.assertEqual(coder.answer(200, lines)[0], 0x88)

    def test_statuses(self) -> None:
        """Every status."""
        for status in range(100, 600):
            block = encoder().answer(status, b"\r\n")
            self.assertEqual(meaning(block), [(b":status", b"%d" % status)])

    def test_trailers(self) -> None:
        """Lines alone."""
        block = encoder().fields(b"Grpc-Status: 0\r\nX: y\r\n")
        self.assertEqual(meaning(block), [(b"grpc-status", b"0"), (b"x", b"y")])
        self.assertEqual(encoder().fields(b""), b"")

    def test_sizes(self) -> None:
        """Names and values of any length."""
        for size in (0, 1, 14, 15, 126, 127, 128, 254, 255, 300, 16383, 70000):
            lines = b"\r\n%b: %b\r\n" % (b"n" * (size or 1), b"v" * size)
            found = meaning(encoder().fields(lines))
            self.assertEqual(found, [(b"n" * (size or 1), b"v" * size)])

    def test_known_fields(self) -> None:
        """What the static table has takes one byte, a name in it one or two."""
        for index, (name, value) in enumerate(STATIC):
            if value and name[0] != 58:
                block = encoder().fields(b"%b: %b\r\n" % (name, value))
                self.assertEqual(block, bytes((0x80 | index,)))
        self.assertEqual(encoder().fields(b"Server: x\r\n"), b"\x0f\x27\x01x")


class RequestTests(SynchronousTestCase):
    def test_head(self) -> None:
        """The pseudo-fields come first."""
        lines = b"\r\nAccept: */*\r\nUser-Agent: x\r\n"
        for _ in range(2):
            block = encoder().request(b"PUT", b"https", b"a.test", b"/x", lines)
            self.assertEqual(
                meaning(block),
                [
                    (b":method", b"PUT"),
                    (b":scheme", b"https"),
                    (b":authority", b"a.test"),
                    (b":path", b"/x"),
                    (b"accept", b"*/*"),
                    (b"user-agent", b"x"),
                ],
            )


class NeverIndexedTests(SynchronousTestCase):
    def decoded(self, block: bytes) -> list[bytes]:
        """The names of fields that are never indexed."""
        found = Decoder(BlockMemory(HeadLimits())).decode(block)
        return [found.fields[at][0] for at in found.never]

    def test_as_received(self) -> None:
        """What came as never indexed is sent on so, and only that (RFC 7541 section 6.2.3)."""
        never = frozenset((b"x-secret", b"vary"))
        lines = b"\r\nX-Secret: a\r\nVary: x\r\nDate: y\r\nx-secret: b\r\n"
        coder = encoder()
        coder.answer(200, lines)
        for block in (
            coder.answer(200, lines, never),
            coder.fields(lines, never),
            coder.request(b"GET", b"http", b"a", b"/", lines, never),
        ):
            self.assertEqual(self.decoded(block), [b"x-secret", b"vary", b"x-secret"])
        self.assertEqual(self.decoded(coder.answer(200, lines)), [])

    def test_credentials(self) -> None:
        """Authorization is never indexed in any case."""
        lines = b"\r\nAuthorization: Basic eA==\r\nCookie: a=b\r\n"
        block = encoder().request(b"GET", b"http", b"a", b"/", lines)
        self.assertEqual(self.decoded(block), [b"authorization"])


class TableSizeTests(SynchronousTestCase):
    """RFC 7541 section 4.2 and RFC 9113 section 4.3.1."""

    def test_smaller(self) -> None:
        """A peer that makes the table smaller is told with the next block that we keep to it, once."""
        for most in (0, 100, 4095):
            coder = encoder()
            coder.table_size(most)
            self.assertEqual(coder.answer(200, b"\r\n"), b"\x20\x88")
            coder.table_size(0)
            self.assertEqual(coder.answer(200, b"\r\n"), b"\x88")
        coder = encoder()
        coder.table_size(0)
        block = coder.request(b"GET", b"http", b"", b"/", b"\r\n")
        self.assertEqual(block[:2], b"\x20\x82")
        self.assertEqual(coder.fields(b"a: b\r\n")[0], 0)

    def test_larger(self) -> None:
        """A larger one is nothing to us; one that was smaller between two blocks is."""
        coder = encoder()
        coder.table_size(65536)
        self.assertEqual(coder.answer(200, b"\r\n"), b"\x88")
        coder.table_size(10)
        coder.table_size(65536)
        self.assertEqual(coder.answer(200, b"\r\n"), b"\x20\x88")


class MemoryTests(SynchronousTestCase):
    def test_same_bytes(self) -> None:
        """What is remembered, forgotten, or was never there, gives the same bytes."""
        random = Random(5)
        memory = LineMemory(5000)
        most = 0
        for _ in range(2000):
            lines = b"\r\n" + b"".join(
                b"X-%d: %b\r\n" % (random.randrange(9), b"v" * random.randrange(9))
                for _ in range(random.randrange(5))
            )
            block = encoder(memory).answer(200, lines)
            self.assertEqual(block, encoder().answer(200, lines))
            most = max(most, memory.used_bytes)
        self.assertGreater(most, 4000)
        self.assertLessEqual(most, 5000)

    def test_bound(self) -> None:
        """Heads that are all different take no more than that."""
        memory = LineMemory()
        coder = encoder(memory)
        for n in range(4000):
            coder.answer(200, b"\r\nX-A: %d\r\nX-B: %b\r\n" % (n, b"b" * 1500))
            self.assertLessEqual(memory.used_bytes, memory.most_bytes)
        before = memory.used_bytes
        coder.answer(200, b"\r\nX-A: 1\r\nX-B: %b\r\n" % (b"b" * 5000))
        self.assertLess(memory.used_bytes - before, 1000)

    def test_credentials(self) -> None:
        """Nothing of theirs is remembered."""
        memory = LineMemory()
        for name in (b"Set-Cookie", b"cookie", b"Authorization"):
            encoder(memory).answer(200, b"\r\n%b: secret\r\n" % name)
        self.assertEqual(memory.used_bytes, 0)

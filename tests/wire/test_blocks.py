"""Tests of lolly_tx.wire.hpack.native: what the extension takes, and that it reads as those without it do."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest import SkipTest

import hpack
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.hpack import native
from lolly_tx.wire.hpack.encoder import field, literal
from lolly_tx.wire.hpack.huffman import LENGTHS
from lolly_tx.wire.hpack.static import FIRST_DYNAMIC, STATIC
from tests.wire.fuzz_blocks import differences
from tests.wire.native import blocks

START = b"\x82\x87\x84\x41\x01x"
"""GET https / of x, which is put into the table."""
GET = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/"),
    (b":authority", b"x"),
)


class BlocksTestCase(SynchronousTestCase):
    module: Any

    def setUp(self) -> None:
        self.module = blocks()
        if self.module is None:
            raise SkipTest("needs a C compiler and Python's headers")

    def read(self, block: bytes, entries: Any = (), **named: int) -> Any:
        """What is made of a block."""
        size = sum(len(n) + len(v) + 32 for n, v in entries)
        known = (*STATIC, *entries)
        limits = {"most": 4096, "head_bytes": 32768, "fields": 200, **named}
        return self.module.read_block(block, known, size, *limits.values())


class ReadTests(BlocksTestCase):
    def test_ordinary(self) -> None:
        """Indexed fields, literals and what is put into the table."""
        fields, never, private, counted, entries, size = self.read(
            START + literal(b"x-a", b"b")
        )
        self.assertEqual(fields, (*GET, (b"x-a", b"b")))
        self.assertEqual((never, private), ((), False))
        self.assertEqual(counted, sum(len(n) + len(v) + 32 for n, v in fields))
        self.assertEqual(entries[FIRST_DYNAMIC:], ((b":authority", b"x"),))
        self.assertEqual(size, 43)

    def test_nothing_put_in(self) -> None:
        """Then there is no other table."""
        self.assertIsNone(self.read(b"\x82\x87\x84")[4])

    def test_evicted(self) -> None:
        """The oldest entries go first; one that is larger than the table empties it."""
        old = [(b"a", b"1"), (b"b", b"2")]
        made = self.read(b"\x40\x01c\x013\xbe\xbf", old, most=70)
        self.assertEqual(made[0], ((b"c", b"3"), (b"c", b"3"), (b"a", b"1")))
        self.assertEqual(made[4][FIRST_DYNAMIC:], ((b"c", b"3"), (b"a", b"1")))
        self.assertIsNone(self.read(b"\x40\x01c\x013\xc0", old, most=70))
        made = self.read(b"\x40\x01c\x64" + b"x" * 100, old, most=70)
        self.assertEqual((made[4], made[5]), (STATIC, 0))

    def test_private(self) -> None:
        """Credentials, and what is never indexed, are said to be so."""
        self.assertTrue(self.read(START + literal(b"cookie", b"a=b"))[2])
        made = self.read(START + literal(b"x", b"y", True))
        self.assertEqual((made[1], made[2]), ((4,), True))

    def test_code(self) -> None:
        """Every symbol in the Huffman code, and the bytes of appendix C.4."""
        block = bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")
        self.assertEqual(self.read(block)[0][3][1], b"www.example.com")
        every = bytes(range(256))
        encoded = hpack.Encoder().encode([(b"x", every)], huffman=True)
        self.assertEqual(self.read(encoded)[0], ((b"x", every),))

    def test_left_to_others(self) -> None:
        """Size updates, what is cut off or malformed, and all that is beyond a limit."""
        whole = START + literal(b"x-a", b"b" * 200)
        for size in range(1, len(whole)):
            made = self.read(whole[:size])
            self.assertTrue(
                made is None
                or whole[:size] in (b"\x82", b"\x82\x87")
                or (whole[:size] in (b"\x82\x87\x84", START)),
                size,
            )
        for bad in (
            b"\x20" + START,
            b"\x80",
            b"\xbe",
            b"\x7f\xff\xff\xff\xff\xff\xff",
            b"\xff\xff\xff\xff\xff\xff",
            b"\x00\x81\xff\x01a",  # padding of eight ones
            b"\x00\x84\xff\xff\xff\xff\x01a",  # EOS
            b"\x00\x81\x00\x01a",  # padding of zeros
            b"\x82" * 257,
        ):
            self.assertIsNone(self.read(bad), bad)
        self.assertIsNone(self.read(START, fields=3))
        self.assertIsNone(self.read(START, head_bytes=100))
        self.assertIsNone(self.read(literal(b"x", b"y" * 300), head_bytes=300))

    def test_arguments(self) -> None:
        """What is no block and no table is an error, and leaves everything as it was."""
        bad: list[Any] = [(), (b"", [], 0, 0, 0, 0), ("", STATIC, 0, 0, 0, 0)]
        for args in bad:
            self.assertRaises(TypeError, self.module.read_block, *args)
        self.assertRaises(TypeError, self.module.read_block, b"", STATIC, None, 0, 0, 0)
        self.assertRaises(TypeError, self.module.plain_head, [], 0)
        self.assertRaises(TypeError, self.module.plain_head, (1, 2, 3, 4), 0)
        told = native.told()
        self.assertRaises(ValueError, self.module.configure, LENGTHS[:-1], *told[1:])
        self.assertRaises(TypeError, self.module.configure)
        self.assertEqual(self.read(START)[0], GET)


class HeadTests(BlocksTestCase):
    def test_lines(self) -> None:
        """Fields become lines; crumbs are joined, names with "_" left out."""
        more = ((b"cookie", b"a=b"), (b"x_y", b"z"), (b"x-a", b""), (b"cookie", b"c"))
        self.assertEqual(
            self.module.plain_head(GET + more, 100),
            (b"GET", b"/", b"x", b"\r\nhost: x\r\nx-a: \r\ncookie: a=b; c\r\n", b""),
        )

    def test_priority(self) -> None:
        """The first value of Priority is told as well: it is asked of every request."""
        more = ((b"priority", b"u=1"), (b"priority", b"u=2"))
        self.assertEqual(self.module.plain_head(GET + more, 9)[4], b"u=1")

    def test_left_to_others(self) -> None:
        """What is not ordinary: methods, schemes, targets, names and values."""
        for at, value in (
            (0, b"CONNECT"),
            (1, b"ftp"),
            (2, b"*"),
            (2, b"/%00"),
            (3, b""),
        ):
            fields = [*GET]
            fields[at] = (fields[at][0], value)
            self.assertIsNone(self.module.plain_head(tuple(fields), 100))
        for more in (
            (b"te", b"trailers"),
            (b"host", b"x"),
            (b"x-forwarded-for", b"x"),
            (b":path", b"/"),
            (b"X", b"y"),
            (b"", b"y"),
            (b"x", b" y"),
            (b"x", b"y\t"),
            (b"x", b"a\nb"),
            (b"x", b"\0"),
            (b"cookie", b"a\rb"),
        ):
            self.assertIsNone(self.module.plain_head((*GET, more), 100), more)
        self.assertIsNone(self.module.plain_head(GET[:3], 100))
        self.assertIsNone(self.module.plain_head((*GET[:3], GET[0]), 100))
        self.assertIsNone(self.module.plain_head(GET, 0))

    def test_same_as_step_by_step(self) -> None:
        """Random connections, some of them spoiled."""
        taken = sum(differences(Random(seed)) for seed in range(250))
        self.assertGreater(taken, 1200)


def test_field() -> None:
    """What the encoder writes is what the decoder is shown here."""
    assert field(b":method", b"GET") == b"\x82"

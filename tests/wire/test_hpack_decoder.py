"""Header blocks to fields: the examples of RFC 7541, what breaks its rules, limits, and the same as another library."""

from __future__ import annotations

from random import Random
from time import process_time
from typing import Any

import hpack
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack import huffman
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.encoder import integer, literal, string
from lolly_tx.wire.hpack.reading import MOST_STEPS
from lolly_tx.wire.http2_errors import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    Http2Error,
)
from tests.wire.fuzz_hpack import BLOCKS, Fields, differences, entries

LIMITS = HeadLimits(head_bytes=16384, fields=100)
huffman_coded = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode


def decoder(most_table: int = 4096) -> Decoder:
    return Decoder(BlockMemory(LIMITS, most_table))


def inserted(name: bytes, value: bytes) -> bytes:
    return b"\x40" + string(name) + string(value)


def coded(text: bytes) -> bytes:
    """A Huffman string with its length."""
    data = huffman_coded(text)
    return integer(0x80, 0x7F, len(data)) + data


def refused(block: bytes, of: Decoder | None = None) -> Http2Error:
    """The error that `block` costs a connection."""
    try:
        got = (of or decoder()).decode(block)
    except Http2Error as error:
        assert error.stream == 0
        return error
    raise AssertionError(f"{block.hex()} gave {got.fields}")


class ExampleTests(SynchronousTestCase):
    """RFC 7541 appendix C."""

    def check(self, of: Decoder, block: str, fields: str, table: str) -> None:
        got = of.decode(bytes.fromhex(block))
        self.assertEqual(list(got.fields), pairs(fields))
        self.assertEqual(entries(of), pairs(table))
        size = sum(len(name) + len(value) + 32 for name, value in entries(of))
        self.assertEqual(of.table.size, size)

    def test_representations(self) -> None:
        """C.2: each kind of literal, and an index."""
        self.check(
            decoder(),
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
            "custom-key: custom-header",
        )
        self.check(
            decoder(),
            "040c 2f73 616d 706c 652f 7061 7468",
            ":path: /sample/path",
            "",
        )
        self.check(
            decoder(),
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            "password: secret",
            "",
        )
        self.check(decoder(), "82", ":method: GET", "")

    def test_never_indexed(self) -> None:
        """C.2.3: that a literal must never be indexed is kept, and where it was."""
        block = bytes.fromhex("82 1008 7061 7373 776f 7264 0673 6563 7265 74")
        self.assertEqual(decoder().decode(block).never, (1,))
        self.assertEqual(decoder().decode(b"\x04\x01/").never, ())

    def test_requests(self) -> None:
        """C.3 and C.4: three requests, without and with Huffman code."""
        for blocks in (
            (
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ),
            (
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ),
        ):
            of = decoder()
            self.check(
                of,
                blocks[0],
                ":method: GET|:scheme: http|:path: /|:authority: www.example.com",
                ":authority: www.example.com",
            )
            self.check(
                of,
                blocks[1],
                ":method: GET|:scheme: http|:path: /|:authority: www.example.com|cache-control: no-cache",
                "cache-control: no-cache|:authority: www.example.com",
            )
            self.check(
                of,
                blocks[2],
                ":method: GET|:scheme: https|:path: /index.html|:authority: www.example.com|custom-key: custom-value",
                "custom-key: custom-value|cache-control: no-cache|:authority: www.example.com",
            )

    def test_responses(self) -> None:
        """C.5 and C.6: three responses through a table of 256 bytes, without and with Huffman code."""
        for blocks in (
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133"
                "3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "4803 3330 37c1 c0bf",
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a"
                "6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d"
                "6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            ),
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d"
                "29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                "4883 640e ffc1 c0bf",
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d"
                "d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106"
                "3d50 07",
            ),
        ):
            of = decoder()
            of.decode(b"\x3f\xe1\x01")  # the table has 256 bytes
            first = (
                "location: https://www.example.com|date: Mon, 21 Oct 2013 20:13:21 GMT"
                "|cache-control: private"
            )
            old = pairs(first)[::-1]
            self.check(
                of,
                blocks[0],
                ":status: 302|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT"
                "|location: https://www.example.com",
                first + "|:status: 302",
            )
            got = of.decode(bytes.fromhex(blocks[1]))
            self.assertEqual(list(got.fields), [(b":status", b"307"), *old])
            self.assertEqual(entries(of), [(b":status", b"307"), *pairs(first)])
            cookie = (
                "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
            )
            self.check(
                of,
                blocks[2],
                ":status: 200|cache-control: private|date: Mon, 21 Oct 2013 20:13:22 GMT"
                f"|location: https://www.example.com|content-encoding: gzip|{cookie}",
                f"{cookie}|content-encoding: gzip|date: Mon, 21 Oct 2013 20:13:22 GMT",
            )
            self.assertEqual(of.table.size, 215)

    def test_integers(self) -> None:
        """C.1: integers beyond their prefix."""
        self.assertEqual(integer(0, 0x1F, 10), b"\x0a")
        self.assertEqual(integer(0, 0x1F, 1337), b"\x1f\x9a\x0a")
        self.assertEqual(integer(0, 0xFF, 42), b"\x2a")


def pairs(text: str) -> Fields:
    """Fields from "name: value|name: value"."""
    fields = []
    for line in text.split("|") if text else ():
        name, _, value = (
            line.rpartition(": ") if line[0] == ":" else line.partition(": ")
        )
        fields.append((name.encode(), value.encode()))
    return fields


class RuleTests(SynchronousTestCase):
    """What a peer can break costs the connection, with COMPRESSION_ERROR."""

    def check(self, *blocks: bytes) -> None:
        for block in blocks:
            self.assertEqual(refused(block).code, COMPRESSION_ERROR, block.hex())

    def test_indices(self) -> None:
        """An index of 0, or beyond both tables (sections 2.3.3 and 6.1), as field and as name."""
        self.check(b"\x80", b"\xbe", b"\xff\x00", b"\xff\x80\x01")
        self.check(b"\x7e\x01a", b"\x0f\x2f\x01a", b"\x1f\x2f\x01a")
        of = decoder()
        of.decode(inserted(b"a", b"b"))
        self.assertEqual(of.decode(b"\xbe").fields, ((b"a", b"b"),))
        self.assertEqual(refused(b"\xbf", of).code, COMPRESSION_ERROR)

    def test_evicted(self) -> None:
        """An entry that has gone is not there any more (section 4.4)."""
        of = decoder()
        of.decode(b"\x20" + inserted(b"a", b"b"))
        self.assertEqual(entries(of), [])
        self.assertEqual(refused(b"\xbe", of).code, COMPRESSION_ERROR)

    def test_integer_bounds(self) -> None:
        """Integers without end, or beyond all sense (section 5.1)."""
        self.check(b"\xff" + b"\xff" * 20 + b"\x01", b"\x7f" + b"\x80" * 9 + b"\x01")
        self.check(b"\x00\x7f" + b"\xff" * 9 + b"\x7f")
        self.check(b"\x3f" + b"\xff" * 9 + b"\x7f", b"\xff", b"\xff\x80", b"\x3f\x80")

    def test_cut_off(self) -> None:
        """Every block that ends within a representation (section 5.2)."""
        block = b"\x3f\xe1\x01" + literal(b"x" * 130, b"y" * 130) + inserted(b"a", b"b")
        ends = {3, 3 + len(literal(b"x" * 130, b"y" * 130)), len(block), 0}
        for end in range(len(block)):
            if end not in ends:
                self.check(block[:end])
            else:
                decoder().decode(block[:end])

    def test_size_updates(self) -> None:
        """Only at the beginning of a block (section 4.2), and within what we have allowed (section 6.3)."""
        self.check(
            b"\x82\x20", b"\x82\x3f\xe1\x01\x82", b"\x3f\xe2\x1f", b"\x20\x20\x20"
        )
        self.check(inserted(b"a", b"b") + b"\x20")
        of = decoder()
        of.decode(inserted(b"a", b"b"))
        of.decode(b"\x20\x3f\xe1\x1f\x82")
        self.assertEqual((entries(of), of.table.most), ([], 4096))
        wide = decoder(65536)
        wide.decode(b"\x3f\xe1\xff\x03\x82")
        self.assertEqual(wide.table.most, 65536)

    def test_padding(self) -> None:
        """Padding of Huffman strings is short and of ones, and nobody sends EOS (section 5.2)."""
        for text in (
            b"\xff",  # eight bits of padding
            b"\x1f\xff",  # "a" and 11 of them
            b"\x18",  # "a" and zeros
            b"\xff\xff\xff\xfc",  # EOS
            b"\x1f\xff\xff\xff\xff\x1f",  # EOS, and more
            b"\xff\xff\xff\xff\xff\xff",
        ):
            self.check(b"\x00\x01a" + bytes((0x80 | len(text),)) + text)
        self.assertEqual(huffman.decode(b"\x1f"), b"a")
        self.assertEqual(huffman.decode(b""), b"")


class HuffmanTests(SynchronousTestCase):
    def test_code(self) -> None:
        """The code is that of appendix B."""
        self.assertEqual(list(huffman.LENGTHS), list(REQUEST_CODES_LENGTH))
        self.assertEqual(huffman.codes(), list(REQUEST_CODES))

    def test_all_symbols(self) -> None:
        """Every symbol, after every other."""
        for first in range(256):
            text = b"".join(bytes((first, second)) for second in range(256))
            self.assertEqual(huffman.decode(huffman_coded(text)), text)


class LimitTests(SynchronousTestCase):
    """A head that is too large is refused, and the table stays right."""

    def too_large(self, block: bytes) -> object:
        of, other = decoder(), hpack.Decoder(max_header_list_size=10**7)
        error = self.assertRaises(BadMessage, of.decode, block)
        self.assertEqual(error.status, 431)
        other.decode(block, raw=True)
        table = [tuple(entry) for entry in other.header_table.dynamic_entries]
        self.assertEqual(entries(of), table)
        return error.reason

    def test_bytes(self) -> None:
        """All fields together, with 32 bytes for each; the last byte counts."""
        room = LIMITS.head_bytes - 33
        of = decoder()
        of.decode(literal(b"a", b"b" * room))
        self.assertEqual(
            self.too_large(literal(b"a", b"b" * (room + 1))), "head too large"
        )
        self.too_large(literal(b"a", b"b" * 10**5) + inserted(b"c", b"d"))

    def test_references(self) -> None:
        """Fields out of the table count as those that are written out, also once others have pushed most of it out."""
        large = inserted(b"a", b"b" * 1000)
        room = LIMITS.head_bytes // 1033
        for before, block in (
            (large, b"\xbe"),
            (large + inserted(b"c", b"d") * 10, b"\xc8"),
            (b"", large + b"\xbe"),
        ):
            of, other = decoder(), decoder()
            of.decode(before)
            other.decode(before)
            more = block[-1:]
            many = room - len(block.removesuffix(more)) // 1000
            of.decode(block[:-1] + more * many)
            error = self.assertRaises(
                BadMessage, other.decode, block[:-1] + more * (many + 1)
            )
            self.assertEqual(error.reason, "head too large")

    def test_fields(self) -> None:
        """Their number, in which the crumbs of a cookie do not count."""
        of = decoder()
        self.assertEqual(len(of.decode(b"\x82" * 100).fields), 100)
        self.assertEqual(self.too_large(b"\x82" * 101), "too many fields")
        block = inserted(b"a", b"b")
        self.too_large(block + b"\xbe" * 100 + inserted(b"c", b"d"))
        self.assertEqual(len(of.decode(b"\x0f\x11\x01a" * 300 + b"\x82").fields), 301)

    def test_inserted(self) -> None:
        """Strings beyond the limit: those that the table may need are still decoded."""
        filler = literal(b"a", b"b" * LIMITS.head_bytes)
        for value in (b"x" * 3000, b"x" * 4095, b"x" * 40000, b"\xff" * 1000):
            self.too_large(inserted(b"c", b"d") + filler + inserted(b"e", value))
            block = b"\x40" + coded(b"e") + coded(value)
            self.too_large(inserted(b"c", b"d") + filler + block + inserted(b"f", b"g"))

    def test_steps(self) -> None:
        """Who sends too many representations pays with the connection."""
        for block in (b"\x82", b"\x41\x00", b"\x01\x00", b"\xff\x00"):
            of = decoder()
            of.decode(inserted(b"a", b"") * 66)
            self.assertRaises(BadMessage, of.decode, block * MOST_STEPS)
            self.assertEqual(
                refused(block * (MOST_STEPS + 1), of).code, ENHANCE_YOUR_CALM
            )

    def test_bombs(self) -> None:
        """References to a large entry, insertions, and Huffman strings cost no more than a few heads within limits."""
        first = inserted(b"a", b"b" * 4000)

        def cost(block: bytes, **how: Any) -> float:
            """Seconds, the least of a few times."""
            best = 9.0
            for _ in range(5):
                of = Decoder(BlockMemory(LIMITS, **how))
                of.decode(first)
                before = process_time()
                try:
                    of.decode(block)
                except (Http2Error, BadMessage):
                    pass
                best = min(best, process_time() - before)
            return best

        usual = cost(b"\x41\x01a" * LIMITS.fields, scan=None)  # step by step
        for block, most in (
            (b"\xbe" * 16000, 5),
            (b"\x41\x01a" * 3000, 60),
            (b"\x41\x00" * 32000, 60),
            (b"\x01" + coded(b"a" * 12800), 20),
            (b"\x41" + coded(b"a" * 100000), 20),
        ):
            self.assertLess(cost(block), most * usual, (len(block), usual))


class DifferentialTests(SynchronousTestCase):
    def test_same_as_hpack(self) -> None:
        """Random blocks, table sizes and mutations mean the same to another library."""
        refusals = sum(differences(Random(seed), BLOCKS) for seed in range(300))
        self.assertGreater(refusals, 50)

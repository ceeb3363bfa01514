"""What decoders remember: the same as reading, bounded, nothing of credentials, and with what the caller made of it."""

from __future__ import annotations

import gc
import tracemalloc
from random import Random

import hpack
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.encoder import literal, string
from lolly_tx.wire.http2_errors import Http2Error
from lolly_tx.wire.message import RequestHead
from tests.wire.fuzz_hpack import LOOSE, random_fields
from tests.wire.test_hpack_decoder import coded, inserted

LIMITS = HeadLimits(head_bytes=4096, fields=50)
START = b"\x82\x87\x41\x01a"  # GET, https, an authority that is put in


def memory(most_bytes: int = 1 << 21) -> BlockMemory:
    return BlockMemory(LIMITS, most_bytes=most_bytes)


def to_path(path: bytes, rest: bytes = b"") -> bytes:
    return b"\x82\x87\xbe\x04" + path + rest


def begun(of: BlockMemory) -> Decoder:
    decoder = Decoder(of)
    decoder.decode(START)
    return decoder


class KnownTests(SynchronousTestCase):
    def test_whole_blocks(self) -> None:
        """What comes for the third time is the same value, on any connection, with what was made of it."""
        shared = memory()
        block = to_path(string(b"/a"))
        for _ in range(3):
            last = begun(shared)
            found = last.decode(block)
            found.made = "head" if found.made is None else found.made
        again = begun(shared).decode(block)
        self.assertIs(again, last.decode(block))
        self.assertEqual(again.made, "head")
        self.assertEqual(begun(memory()).decode(block).made, None)

    def test_same_table(self) -> None:
        """Connections that say the same share a table, others do not."""
        shared = memory()
        tables = [begun(shared).table for _ in range(4)]
        self.assertIs(tables[2], tables[3])
        other = Decoder(shared)
        other.decode(b"\x82\x87\x41\x01b")
        self.assertEqual(other.decode(b"\xbe").fields, ((b":authority", b"b"),))
        self.assertEqual(begun(shared).decode(b"\xbe").fields, ((b":authority", b"a"),))

    def test_never_there_again(self) -> None:
        """What changes a table that nobody else comes by is not noticed: no block will follow that table again."""
        shared = memory()
        decoder = begun(shared)
        noticed = len(shared._recent)
        for n in range(100):
            decoder.decode(to_path(string(b"/a"), inserted(b"x", b"%d" % n)))
        self.assertEqual(len(shared._recent), noticed)
        self.assertEqual(shared.used_bytes, 0)
        begun(shared).decode(to_path(string(b"/a"), inserted(b"x", b"0")))
        self.assertGreater(len(shared._recent), noticed)  # of one that others come by

    def test_inserted_again(self) -> None:
        """Who inserts the same with each block has the same table again once it is full, and is known then."""
        decoder = Decoder(memory())
        block = b"\x88" + inserted(b"server", b"s") + inserted(b"date", b"d" * 29)
        for _ in range(60):
            decoder.decode(block)
        table = decoder.table
        found = decoder.decode(block)
        self.assertIs(decoder.table, table)
        self.assertIs(decoder.decode(block), found)
        self.assertEqual(found.fields[1:], ((b"server", b"s"), (b"date", b"d" * 29)))
        decoder.decode(inserted(b"server", b"t"))
        self.assertIsNot(decoder.table, table)

    def test_paths(self) -> None:
        """Blocks that differ in their path alone share all the rest."""
        shared = memory()
        decoder = begun(shared)
        rest = literal(b"accept", b"*/*")
        for path in (
            b"/1",
            b"/2",
            b"",
            b"/" + b"x" * 126,
            b"/" + b"x" * 300,
            b"/y" * 400,
        ):
            for text in (string(path), coded(path)):
                found = decoder.decode(to_path(text, rest))
                self.assertEqual(
                    found.fields,
                    (
                        (b":method", b"GET"),
                        (b":scheme", b"https"),
                        (b":authority", b"a"),
                        (b":path", path),
                        (b"accept", b"*/*"),
                    ),
                )
                if found.pattern is not None:
                    self.assertEqual(found.path, path)
                    found.pattern.made = "all but the path"
        found = decoder.decode(to_path(string(b"/new"), rest))
        assert found.pattern is not None
        self.assertEqual(found.pattern.made, "all but the path")
        self.assertIsNone(found.made)
        other = decoder.decode(to_path(string(b"/new"), literal(b"accept", b"x")))
        self.assertIsNone(other.pattern)

    def test_never_indexed_path(self) -> None:
        """A path that is never indexed is not taken apart, nor one that is put in."""
        decoder = begun(memory())
        for first in (b"\x14", b"\x44"):
            for _ in range(4):
                found = decoder.decode(b"\x82" + first + b"\x02/x")
                self.assertEqual(found.fields[1], (b":path", b"/x"))
                self.assertIsNone(found.pattern)

    def test_errors(self) -> None:
        """What is wrong with a path is found, whether the rest is known or not."""
        shared = memory()
        for _ in range(3):
            begun(shared).decode(to_path(string(b"/a")))
        for bad in (
            b"\x81\xff",
            b"\x05/a",
            b"\x84\xff\xff\xff\xfc",
            b"\x7f\xff\xff\xff\x7f/",
            b"\x7f",
        ):
            with self.assertRaises(Http2Error):
                begun(shared).decode(to_path(bad))
        for size in (4500, 4000):
            decoder = begun(shared)
            error = self.assertRaises(
                BadMessage, decoder.decode, to_path(string(b"/" * size))
            )
            self.assertEqual(error.status, 431)
            self.assertEqual(decoder.decode(b"\xbe").fields, ((b":authority", b"a"),))


class CredentialTests(SynchronousTestCase):
    def test_not_remembered(self) -> None:
        """Literals of credentials, and those that are never indexed, leave nothing that others could notice."""
        for secret in (
            inserted(b"cookie", b"a=b"),
            b"\x60\x03a=b",  # the name by its index
            literal(b"authorization", b"Basic x"),
            literal(b"proxy-authorization", b"Basic x"),
            literal(b"x-token", b"y", never=True),
        ):
            shared = memory()
            decoders = [begun(shared) for _ in range(4)]
            used = shared.used_bytes
            for decoder in decoders:
                for path in (b"/a", b"/b"):
                    decoder.decode(to_path(string(path), secret))
            self.assertEqual(shared.used_bytes, used)
            tables = {id(decoder.table) for decoder in decoders}
            if secret[0] >= 0x40:
                self.assertEqual(len(tables), 4)

    def test_own_table(self) -> None:
        """A connection that has put a cookie into its table remembers what refers to it, for itself."""
        shared = memory()
        one, other = begun(shared), begun(shared)
        for decoder in (one, other):
            decoder.decode(b"\x82" + inserted(b"cookie", b"a=b"))
        found = [one.decode(b"\x82\xbe") for _ in range(3)]
        self.assertIs(found[1], found[2])
        self.assertIsNot(other.decode(b"\x82\xbe"), found[2])


class BoundTests(SynchronousTestCase):
    def used(self, shared: BlockMemory, connections: int, size: int) -> int:
        """Bytes that a memory takes, and `connections` that stay, when all blocks are different and come twice."""
        gc.collect()
        tracemalloc.start()
        try:
            kept = []
            before = tracemalloc.get_traced_memory()[0]
            for n in range(connections):
                decoder = Decoder(shared)
                for part in range(10):
                    rest = literal(b"x-a", b"%d-%d-" % (n, part) + b"v" * size)
                    for block in (
                        inserted(b"x-%d" % n, b"y"),
                        to_path(string(b"/%d" % n), rest),
                    ):
                        for _ in range(2):
                            found = decoder.decode(block)
                            if found.fields[0][0] == b":method":
                                head = RequestHead.from_pairs(
                                    b"GET", b"/", [(b"host", b"a"), *found.fields[4:]]
                                )
                                found.made = head
                                if found.pattern is not None:
                                    found.pattern.made = head
                        self.assertLessEqual(shared.used_bytes, shared.most_bytes)
                kept.append(decoder)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

    def test_bytes(self) -> None:
        """Blocks that are all different take no more than what is said, whatever their size."""
        for size in (10, 1000):
            shared = memory(500_000)
            took = self.used(shared, 60, size)
            self.assertLess(took, 60 * 5000 + 500_000)
            self.assertGreater(shared.used_bytes, 50_000)

    def test_nothing(self) -> None:
        """Without room nothing is remembered."""
        shared = memory(0)
        for _ in range(5):
            found = begun(shared).decode(to_path(string(b"/a")))
        self.assertIsNone(found.pattern)
        self.assertEqual(shared.used_bytes, 0)

    def test_large(self) -> None:
        """One that is very large is not kept at all."""
        shared = BlockMemory(HeadLimits(head_bytes=65536))
        for _ in range(4):
            Decoder(shared).decode(literal(b"a", b"b" * 20000))
        self.assertEqual(shared.used_bytes, 0)


def conversation(random: Random) -> list[bytes]:
    """Blocks that another library makes of a few heads, with their paths not put in."""
    encoder = hpack.Encoder()
    heads = [random_fields(random) for _ in range(3)]
    blocks = []
    for _ in range(12):
        if random.random() < 0.05:
            encoder.header_table_size = random.randrange(4097)
        path = string(b"/%d" % random.randrange(4))
        if random.random() < 0.5:
            blocks.append(
                encoder.encode(random.choice(heads), huffman=random.random() < 0.5)
            )
        else:
            blocks.append(b"\x82\x87\x04" + path + encoder.encode(random.choice(heads)))
    return blocks


class SameTests(SynchronousTestCase):
    def test_same_as_reading(self) -> None:
        """Whatever is remembered or forgotten, blocks mean what they mean to who remembers nothing."""
        random = Random(7)
        talks = [conversation(random) for _ in range(12)]
        hits = 0
        for room in (1 << 21, 20_000):
            shared = BlockMemory(LOOSE, most_bytes=room)
            for _ in range(60):
                pairs = [
                    (
                        Decoder(shared),
                        Decoder(BlockMemory(LOOSE, most_bytes=0)),
                        iter(talk),
                    )
                    for talk in random.sample(talks, 3)
                ]
                for _ in range(12):
                    for ours, plain, talk in pairs:
                        block = next(talk)
                        hits += block in ours.table.known
                        outcome: list[object] = []
                        for decoder in (ours, plain):
                            try:
                                found = decoder.decode(block)
                                outcome.append((found.fields, found.never))
                            except Http2Error as error:
                                outcome.append((error.reason, error.code))
                        self.assertEqual(outcome[0], outcome[1])
                        self.assertEqual(ours.table.fields, plain.table.fields)
                        self.assertEqual(ours.table.most, plain.table.most)
        self.assertGreater(hits, 500)

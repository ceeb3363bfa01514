"""Tests of `lolly_tx.wire.cachefile`."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.cachefile import (
    BLOCK_BYTES,
    FRONT_BYTES,
    MAGIC,
    BadFile,
    Card,
    check_block,
    checksums,
    front,
    head_bytes,
    read_head,
)

BODY = bytes(range(256)) * 1500
CARD = Card(
    b"https://x",
    b"/\xff?\x80",
    b"/",
    (b"a", b"b"),
    (b"1", b""),
    (b"t",),
    200,
    b"OK",
    [(b"A", b"\xfc"), (b"A", b"2")],
    len(BODY),
    True,
    1e9,
    60.0,
    0.0,
    5.0,
    checksums(BODY),
)


def _read(data: bytes) -> Card:
    start = data[:FRONT_BYTES]
    return read_head(start, data[FRONT_BYTES:][: head_bytes(start)])


class FileTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """What was written is read, byte for byte."""
        self.assertEqual(_read(front(CARD) + BODY), CARD)

    def test_damaged(self) -> None:
        """Whatever is cut off or changed in the head is no file."""
        data = front(CARD)
        for at in range(0, len(data), 7):
            with self.subTest(at=at):
                self.assertRaises(BadFile, _read, data[:at])
                changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
                self.assertRaises(BadFile, _read, changed)
        self.assertRaises(BadFile, _read, MAGIC + b"\xff" * 8)

    def test_other_ideas(self) -> None:
        """A head of another version is no file."""

        @attrs.frozen
        class Other:
            site: str = "x"

        self.assertRaises(BadFile, _read, front(Other()))  # type: ignore[arg-type]

    def test_blocks(self) -> None:
        """Each block of the body has a checksum of its own, the last one is shorter."""
        self.assertEqual(len(CARD.checksums), 2)
        check_block(CARD, 0, BODY[:BLOCK_BYTES])
        check_block(CARD, 1, BODY[BLOCK_BYTES:])
        for number, block in (
            (0, BODY[:BLOCK_BYTES][:-1]),
            (0, b"x" + BODY[1:BLOCK_BYTES]),
            (1, BODY[BLOCK_BYTES:] + b"x"),
        ):
            self.assertRaises(BadFile, check_block, CARD, number, block)
        self.assertEqual(checksums(b""), ())

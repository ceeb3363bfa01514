"""Tests of lolly_tx.wire.http2.framing: frames in one pass are those of wire.http2.frames."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.http2 import frames as fr
from tests.wire.native import extension


class FramingTests(SynchronousTestCase):
    module: Any

    def setUp(self) -> None:
        self.module = extension("wire/http2/_framing.c")
        if self.module is None:
            raise SkipTest("needs a C compiler and Python's headers")

    def test_split(self) -> None:
        """Whole frames of any kind and size, and where they end; what is cut off or too large is left."""
        whole = fr.ping(b"12345678") + fr.frame(0xFE, 0xFF, 0xFFFFFFFF, b"")
        found = [(6, 0, 0, b"12345678"), (0xFE, 0xFF, fr.MOST_STREAM, b"")]
        for rest in (b"", b"\0", whole[:16], fr.frame(0, 0, 1, bytes(101))):
            made = self.module.split(whole + rest, 100)
            self.assertEqual(made, (found, len(whole)), rest)

    def test_same_as_step_by_step(self) -> None:
        """Random frames, cut at random, also in bytes that are none."""
        chance = Random(1)
        for _ in range(300):
            data = b"".join(
                fr.frame(
                    chance.randrange(256),
                    chance.randrange(256),
                    chance.randrange(1 << 32),
                    chance.randbytes(chance.choice((0, 1, 5, 300))),
                )
                for _ in range(chance.randrange(8))
            )
            if chance.random() < 0.3:
                data += chance.randbytes(30)
            one = fr.FrameReader(400, self.module.split)
            other = fr.FrameReader(400, None)
            at = 0
            while at < len(data):
                step = chance.choice((1, 3, 12, 500))
                piece = data[at : at + step]
                got = one.read(piece)
                self.assertEqual(got, other.read(piece))
                self.assertEqual(one.within_frame, other.within_frame)
                at += step
                if got and got[-1][0] == fr.OVERSIZED:
                    break

    def test_answer(self) -> None:
        """HEADERS and DATA, in one piece."""
        for number, size in ((1, 0), (fr.MOST_STREAM, 1), (5, 16384), (7, 300)):
            block, body = b"b" * size, b"x" * (size + 1)
            wanted = fr.headers(number, block, False, 16384)
            wanted += fr.frame(fr.DATA, fr.END_STREAM, number, body)
            self.assertEqual(self.module.answer(number, block, body), wanted)
            self.assertEqual(fr.whole_answer(number, block, body), wanted)

    def test_arguments(self) -> None:
        """What is no frame is an error."""
        self.assertRaises(TypeError, self.module.split, bytearray(9), 5)
        self.assertRaises(TypeError, self.module.split, b"", None)
        self.assertRaises(TypeError, self.module.answer, 1, b"")
        self.assertRaises(TypeError, self.module.answer, 1, b"", memoryview(b""))
        self.assertRaises(OverflowError, self.module.answer, -1, b"", b"")
        self.assertRaises(ValueError, self.module.answer, 1 << 31, b"", b"")

"""The memory of what comes again: what it keeps, and how little of what does not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.memory import (
    MARKS,
    MEMORY_BYTES,
    NEWS,
    REMEMBERED,
    REMEMBERED_BYTES,
    Memory,
)


class MemoryTests(SynchronousTestCase):
    def test_second_sight(self) -> None:
        """What has come once leaves a mark only; the second time it is kept."""
        memory: Memory[str] = Memory()
        memory.met(b"a", "one")
        self.assertEqual(memory.known, {})
        memory.met(b"a", "two")
        self.assertEqual(memory.known, {b"a": "two"})

    def test_what_never_comes_again(self) -> None:
        """Any number of different ones keep nothing, and what repeats among them is found all the same."""
        memory: Memory[int] = Memory()
        for number in range(20 * MARKS):
            memory.met(b"unique %d" % number, number)
        self.assertLess(len(memory.known), 2)  # two marks of 64 bits that are alike
        self.assertEqual(len(memory._marks), MARKS)
        for number in range(4 * MARKS):
            memory.met(b"other %d" % number, number)
            memory.met(b"again", 0)
        self.assertIn(b"again", memory.known)

    def test_passing(self) -> None:
        """Where nothing comes again, seven of eight need not be told of, until one comes again."""
        memory: Memory[int] = Memory()
        for number in range(NEWS - 1):
            memory.met(b"unique %d" % number, number)
        self.assertEqual(memory.passing, 0)
        memory.met(b"again", 0)
        self.assertEqual(memory.passing, 7)
        memory.passing = 0
        memory.met(b"other", 0)
        self.assertEqual(memory.passing, 7)
        memory.passing = 0
        memory.met(b"again", 0)
        self.assertEqual((memory.passing, memory.news), (0, 0))
        memory.met(b"one more", 0)
        self.assertEqual((memory.passing, memory.news), (0, 1))

    def test_sizes(self) -> None:
        """Who asks for something of another size than all that is kept need not ask."""
        memory: Memory[int] = Memory()
        for raw in (b"a", b"bb", b"a", b"bb", b"ccc"):
            memory.met(raw, 0)
        self.assertEqual(memory.sizes, {1, 2})
        for number in range(REMEMBERED):
            for _ in range(2):
                memory.met(b"%04d" % number, number)
        self.assertEqual(memory.sizes, {4})  # it has begun anew since

    def test_number(self) -> None:
        """So many are kept, then it begins anew; the dictionary stays the same object."""
        memory: Memory[int] = Memory()
        known = memory.known
        for number in range(REMEMBERED + 3):
            for _ in range(2):
                memory.met(b"%d" % number, number)
        self.assertIs(memory.known, known)
        self.assertEqual(len(known), 3)

    def test_bytes(self) -> None:
        """They are bounded by their bytes as well, and large ones are not kept at all."""
        memory: Memory[int] = Memory()
        most = MEMORY_BYTES // REMEMBERED_BYTES
        for number in range(most + 1):
            for _ in range(2):
                memory.met(b"%d" % number + b" " * (REMEMBERED_BYTES - 5), number)
            self.assertLessEqual(sum(map(len, memory.known)), MEMORY_BYTES)
        before = len(memory.known)
        for _ in range(2):
            memory.met(b"x" * (REMEMBERED_BYTES + 1), 0)
        self.assertEqual(len(memory.known), before)

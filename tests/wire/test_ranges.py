"""Tests of `lolly_tx.wire.ranges`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.ranges import (
    MOST_PARTS,
    Multipart,
    content_range,
    read_ranges,
    unsatisfied,
)

NINES = b"9" * 30
SIZE = 10000

# What is asked for of 10,000 bytes, and what is had of it: None = the whole, () = nothing (416).
TABLE: tuple[tuple[str, bytes, tuple[tuple[int, int], ...] | None], ...] = (
    ("first", b"bytes=0-9", ((0, 10),)),
    ("one", b"bytes=0-0", ((0, 1),)),
    ("open", b"bytes=9000-", ((9000, 10000),)),
    ("last", b"bytes=-10", ((9990, 10000),)),
    ("whole", b"bytes=0-", ((0, 10000),)),
    ("past the end", b"bytes=9990-20000", ((9990, 10000),)),
    ("suffix beyond", b"bytes=-20000", ((0, 10000),)),
    ("unit in capitals", b"BYTES=0-9", ((0, 10),)),
    ("leading zeros", b"bytes=000-009", ((0, 10),)),
    ("30 digits", b"bytes=0-" + NINES, ((0, 10000),)),
    ("30 digits from", b"bytes=" + NINES + b"-", ()),
    ("suffix of 30 digits", b"bytes=-" + NINES, ((0, 10000),)),
    ("5000 digits", b"bytes=0-" + b"9" * 5000, ((0, 10000),)),
    ("from the end", b"bytes=10000-", ()),
    ("beyond", b"bytes=10000-10001", ()),
    ("suffix 0", b"bytes=-0", ()),
    ("some beyond", b"bytes=20000-, 0-9", ((0, 10),)),
    ("two", b"bytes=0-9,1000-1009", ((0, 10), (1000, 1010))),
    ("order kept", b"bytes=1000-1009,0-9", ((1000, 1010), (0, 10))),
    ("blanks, empty parts", b"bytes= 0-9 ,, 1000-1009, ", ((0, 10), (1000, 1010))),
    ("overlap", b"bytes=0-99,50-149", ((0, 150),)),
    ("inside", b"bytes=0-99,50-60", ((0, 100),)),
    ("touch", b"bytes=0-9,10-19", ((0, 20),)),
    ("nearly touch", b"bytes=0-9,50-59", ((0, 60),)),
    ("joined in place", b"bytes=5000-5009,0-9,5005-5020", ((5000, 5021), (0, 10))),
    ("the killer", b"bytes=" + b",".join(b"0-%d" % i for i in range(99)), ((0, 99),)),
    ("more specs than read", b"bytes=" + b",".join([b"0-1"] * 102), None),
    ("backwards", b"bytes=9-0", None),
    ("one backwards", b"bytes=0-1,9-0", None),
    ("other unit", b"lines=0-9", None),
    ("no unit", b"0-9", None),
    ("nothing", b"bytes=", None),
    ("commas", b"bytes=,,", None),
    ("dash", b"bytes=-", None),
    ("minus", b"bytes=--5", None),
    ("signed", b"bytes=+0-9", None),
    ("inner blanks", b"bytes=0 - 9", None),
    ("blank before =", b"bytes =0-9", None),
    ("letters", b"bytes=a-b", None),
    ("hex", b"bytes=0x0-0x9", None),
    ("newline", b"bytes=0-9\n", None),
    ("other digits", "bytes=٠-٩".encode(), None),
    ("two fields", b"bytes=0-9, bytes=10-19", None),
)


class ReadRangesTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Each spelling gives the parts it should, or none."""
        for name, value, wanted in TABLE:
            self.assertEqual(read_ranges(value, SIZE), wanted, name)

    def test_nothing_there(self) -> None:
        """Of nothing there are no parts: the whole is sent."""
        for value in (b"bytes=0-", b"bytes=-5", b"bytes=5-"):
            self.assertIsNone(read_ranges(value, 0))

    def test_most(self) -> None:
        """As many parts as are allowed, and one more."""
        specs = [b"%d-%d" % (at * 1000, at * 1000) for at in range(MOST_PARTS + 1)]
        self.assertIsNone(read_ranges(b"bytes=" + b",".join(specs), SIZE))
        found = read_ranges(b"bytes=" + b",".join(specs[1:]), SIZE)
        assert found is not None
        self.assertEqual(len(found), MOST_PARTS)

    @given(
        st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1),
        st.integers(1, 300),
    )
    def test_covers(self, bounds: list[tuple[int, int]], size: int) -> None:
        """Parts never overlap, lie inside, and have every byte asked for that exists."""
        pairs = [(min(pair), max(pair)) for pair in bounds[:50]]
        value = b"bytes=" + b",".join(b"%d-%d" % pair for pair in pairs)
        parts = read_ranges(value, size, most=1000)
        assert parts is not None
        had = [at for start, stop in parts for at in range(start, stop)]
        self.assertEqual(len(had), len(set(had)))
        self.assertTrue(all(0 <= at < size for at in had))
        wanted = {at for a, b in pairs for at in range(a, b + 1) if at < size}
        self.assertLessEqual(wanted, set(had))


class FrameTests(SynchronousTestCase):
    def test_values(self) -> None:
        """Content-Range counts the last byte in."""
        self.assertEqual(content_range((0, 10), 100), b"bytes 0-9/100")
        self.assertEqual(unsatisfied(100), b"bytes */100")

    def test_multipart(self) -> None:
        """The frame around the parts is as long as it says, and each part has its own head."""
        parts = ((0, 10), (50, 60))
        frame = Multipart(parts, 100, b"text/plain", b"xyz")
        body = b"".join(head + b"b" * 10 for head in frame.heads) + frame.tail
        self.assertEqual(len(body), frame.length)
        self.assertEqual(frame.content_type, b"multipart/byteranges; boundary=xyz")
        self.assertEqual(
            body.replace(b"b" * 10, b"BODY"),
            b"\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-9/100"
            b"\r\n\r\nBODY\r\n--xyz\r\nContent-Type: text/plain\r\n"
            b"Content-Range: bytes 50-59/100\r\n\r\nBODY\r\n--xyz--\r\n",
        )

    def test_no_type(self) -> None:
        """Parts of an unknown type say none."""
        frame = Multipart(((0, 1),), 100, b"", b"xyz")
        self.assertNotIn(b"Content-Type", frame.heads[0])

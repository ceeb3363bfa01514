"""Tests of lolly_tx.net.foreignjson: what others say is bounded, and read in pieces."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net import foreignjson
from lolly_tx.net.foreignjson import (
    AT_ONCE,
    LONGEST_NUMBER,
    MOST_VALUES,
    SMALL,
    read_aside,
    read_json,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class ReadTests(SynchronousTestCase):
    @given(VALUES)
    def test_what_it_says(self, value: Any) -> None:
        """It is what was written, also where it is gone through piece by piece."""
        data = json.dumps(value).encode()
        self.assertEqual(read_json(data), value)
        before = foreignjson.AT_ONCE, foreignjson.PIECE
        try:
            foreignjson.AT_ONCE, foreignjson.PIECE = -1, 8
            self.assertEqual(read_json(data), value)
        finally:
            foreignjson.AT_ONCE, foreignjson.PIECE = before

    def test_large(self) -> None:
        """More than is read at once is read as well, with what is in it whatever its size."""
        value = {
            "list": [{"a": [n, "x" * (n % 7)]} for n in range(AT_ONCE // 2)],
            "long": ["y" * 10_000, {"deep": [[["z" * 9_000]]]}],
        }
        self.assertEqual(read_json(json.dumps(value).encode()), value)

    def test_limits(self) -> None:
        """As many values as there may be are read; one more is refused before anything is."""
        for most, read in (
            (MOST_VALUES, read_json),
            (9, lambda data: read_json(data, 9)),
        ):
            data = b"[" + b",".join([b"1"] * most) + b"]"
            self.assertEqual(len(read(data)), most)
            wrong = self.assertRaises(ValueError, read, data[:-1] + b",1]")
            self.assertEqual(str(wrong), f"has more than {most} values")

    def test_what_is_none(self) -> None:
        """What is no JSON is refused, also what Python would read: numbers that are none, and those of a page."""
        nine = b"9" * LONGEST_NUMBER
        self.assertEqual(read_json(nine), int(nine))
        many = b'["' + b'","'.join([b"x"] * (AT_ONCE + 1)) + b'",'
        for data in (
            b"",
            b"{",
            b"[1,]",
            b"NaN",
            b"[Infinity]",
            b"-Infinity",
            nine + b"9",
            b'"\xff"',
            '"x"'.encode("utf-16"),
            b"[" * 60_000,
            b'{"a":' * 12_000,
            many,
            many + b"NaN]",
            many + b"[" * 60_000,
            many + b"1]x",
        ):
            wrong = self.assertRaises(ValueError, read_json, data)
            self.assertIn("is no JSON", str(wrong))
            self.assertLess(len(str(wrong)), 200)

    def test_mark_of_the_encoding(self) -> None:
        """The mark that editors put at the beginning is no part of it."""
        self.assertEqual(read_json(b"\xef\xbb\xbf[1]"), [1])


class AsideTests(SynchronousTestCase):
    def test_where(self) -> None:
        """What is small is read at once, anything larger in a thread."""
        works: list[Any] = []

        def in_thread(work: Any) -> Deferred[Any]:
            works.append(work)
            return succeed(work())

        for size, threads in ((SMALL, 0), (SMALL + 1, 1)):
            done = Deferred.fromCoroutine(read_aside(b"x" * size, len, in_thread))
            self.assertEqual(self.successResultOf(done), size)
            self.assertEqual(len(works), threads)

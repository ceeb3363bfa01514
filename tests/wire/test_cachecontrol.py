"""Tests of `lolly_tx.wire.cachecontrol`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.cachecontrol import (
    LONGEST,
    Directives,
    delta_seconds,
    read_directives,
)

READ: tuple[tuple[bytes, Directives], ...] = (
    (b"max-age=60", {b"max-age": b"60"}),
    (b'max-age="60"', {b"max-age": b"60"}),
    (b"MaX-AgE=60, PUBLIC", {b"max-age": b"60", b"public": None}),
    (b' , no-store ,,\tfoo="a, \\"b" ', {b"no-store": None, b"foo": b'a, \\"b'}),
    (b'ext="max-age=3600", max-age=1', {b"ext": b"max-age=3600", b"max-age": b"1"}),
    (b"max-age=1, max-age=1", {b"max-age": b"1"}),
    (b"max-age=1, max-age=2", {b"max-age": b""}),
    (b"max-age =60", {b"max-age": b"", b"60": b""}),
    (b"max-age= 60, x", {b"max-age": b"", b"60": b"", b"x": None}),
    (b"max-age=", {b"max-age": b""}),
    (b"no-store private", {b"no-store": b"", b"private": b""}),
    (b'"x", private', {b"private": None}),
    (b'a "private", b', {b"a": b"", b"b": None}),
    (b'a="private, no-store', {b"a": b""}),
    (b'a="x\\', {b"a": b""}),
    (b'"', {}),
    (b"=,private", {b"private": None}),
    (b"", {}),
    (b" ,", {}),
)


class DirectiveTests(SynchronousTestCase):
    def test_lists(self) -> None:
        """Each form of a list is read, and what is malformed counts as said, but grants nothing."""
        for text, expected in READ:
            with self.subTest(text=text):
                self.assertEqual(read_directives([text]), expected)

    def test_lines(self) -> None:
        """Several lines are one list; a quote does not reach into the next."""
        self.assertEqual(
            read_directives([b"max-age=5", b'a="b', b"private"]),
            {b"max-age": b"5", b"a": b"", b"private": None},
        )

    @given(st.lists(st.binary(max_size=40), max_size=3))
    def test_anything(self, lines: list[bytes]) -> None:
        """Whatever the bytes, reading ends, and names are in lower case."""
        for name in read_directives(lines):
            self.assertEqual(name, name.lower())

    def test_long(self) -> None:
        """A field as large as a head may be takes no time that grows faster than it does."""
        for text in (b'"' * 30001, b'"\\' * 15000, b"a," * 15000, b"a b;" * 8000):
            read_directives([text])


class SecondsTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Digits only; more than fits is the longest time there is (RFC 9111 section 1.2.2)."""
        for text, seconds in (
            (b"0", 0),
            (b"0060", 60),
            (b"0" * 30 + b"7", 7),
            (b"0" * 30, 0),
            (b"2147483649", LONGEST),
            (b"9" * 40, LONGEST),
            (b"-1", None),
            (b"1.5", None),
            (b"'60'", None),
            (b"", None),
            (None, None),
        ):
            with self.subTest(text=text):
                self.assertEqual(delta_seconds(text), seconds)

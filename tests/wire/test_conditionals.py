"""Tests of `lolly_tx.wire.conditionals`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.conditionals import Preconditions, preconditions
from lolly_tx.wire.dates import http_date
from lolly_tx.wire.fields import RequestBlock

MODIFIED = 1700000000.75
WALL = 1795293660.25
THEN = http_date(MODIFIED)
BEFORE = http_date(MODIFIED - 1)
AFTER = http_date(MODIFIED + 1)
TAG = b'"a"'
WEAK = b'W/"a"'


def block(*lines: bytes) -> RequestBlock:
    """A request's fields."""
    return RequestBlock(b"\r\nHost: x\r\n" + b"".join(b"%b\r\n" % x for x in lines))


def said(*lines: bytes) -> Preconditions:
    """The preconditions in some lines."""
    found = preconditions(block(*lines))
    assert found is not None
    return found


class ReadingTests(SynchronousTestCase):
    def test_none(self) -> None:
        """Most requests have none, nor have names that only look like one."""
        self.assertIsNone(preconditions(block()))
        self.assertIsNone(preconditions(block(b"If-Matches: x", b"X-Range: bytes=0-1")))

    def test_all(self) -> None:
        """Each is read by its name, in any case, without outer spaces; values keep their case."""
        self.assertEqual(
            said(
                b'if-match: "A" ',
                b"IF-NONE-MATCH:\t*",
                b"If-Modified-Since: x",
                b"If-Unmodified-Since: y",
                b"If-Range: z",
                b"Range: bytes=0-1",
            ),
            Preconditions(b'"A"', b"*", b"x", b"y", b"z", b"bytes=0-1"),
        )

    def test_several_lines(self) -> None:
        """Lines of one name are one list; a date that comes twice is none."""
        both = said(b'If-None-Match: "x"', b'If-None-Match: "a"')
        self.assertEqual(both.status(b"GET", TAG, None, WALL), 304)
        twice = said(b"If-Modified-Since: %b" % AFTER, b"If-Modified-Since: " + AFTER)
        self.assertEqual(twice.status(b"GET", TAG, MODIFIED, WALL), 0)


class StatusTests(SynchronousTestCase):
    def check(
        self,
        status: int,
        *lines: bytes,
        etag: bytes = TAG,
        modified: float | None = MODIFIED,
        methods: tuple[bytes, ...] = (b"GET", b"HEAD"),
    ) -> None:
        """What some lines come to."""
        for method in methods:
            found = said(*lines).status(method, etag, modified, WALL)
            self.assertEqual(found, status, (method, lines))

    def test_if_match(self) -> None:
        """Strong comparison, else 412; "*" is whatever exists."""
        self.check(0, b'If-Match: "a"')
        self.check(0, b'If-Match: "x,y", "a"')
        self.check(0, b"If-Match: *")
        self.check(412, b'If-Match: "b"')
        self.check(412, b'If-Match: W/"a"', etag=WEAK)
        self.check(412, b'If-Match: W/"a"')
        self.check(412, b"If-Match: a")
        self.check(412, b'If-Match: "a"', etag=b"")
        self.check(412, b'If-Match: "b"', methods=(b"PUT",))

    def test_tags_hold_commas(self) -> None:
        """A comma inside of a tag ends nothing."""
        self.check(412, b'If-Match: "x,"a",y"', etag=b'"y"')
        self.check(0, b'If-Match: "x,y"', etag=b'"x,y"')

    def test_if_none_match(self) -> None:
        """Weak comparison: 304 for reading, 412 for others."""
        for tag in (TAG, WEAK):
            for etag in (TAG, WEAK):
                self.check(304, b'If-None-Match: "z", ' + tag, etag=etag)
        self.check(304, b"If-None-Match: *")
        self.check(412, b'If-None-Match: "a"', methods=(b"PUT", b"DELETE"))
        self.check(0, b'If-None-Match: "b"')
        self.check(0, b'If-None-Match: "a"', etag=b"")

    def test_if_modified_since(self) -> None:
        """Not later than the date is 304, by seconds, for GET and HEAD only."""
        self.check(304, b"If-Modified-Since: " + THEN)
        self.check(304, b"If-Modified-Since: " + AFTER)
        self.check(0, b"If-Modified-Since: " + BEFORE)
        self.check(0, b"If-Modified-Since: " + THEN, methods=(b"POST",))
        self.check(0, b"If-Modified-Since: yesterday")
        self.check(0, b"If-Modified-Since: " + THEN, modified=None)

    def test_if_unmodified_since(self) -> None:
        """Later than the date is 412; what is no date counts for nothing."""
        self.check(0, b"If-Unmodified-Since: " + THEN)
        self.check(0, b"If-Unmodified-Since: " + AFTER)
        self.check(412, b"If-Unmodified-Since: " + BEFORE)
        self.check(412, b"If-Unmodified-Since: " + BEFORE, methods=(b"PUT",))
        self.check(0, b"If-Unmodified-Since: never")
        self.check(0, b"If-Unmodified-Since: " + BEFORE, modified=None)

    def test_precedence(self) -> None:
        """If-Match over If-Unmodified-Since, If-None-Match over If-Modified-Since (section 13.2.2)."""
        self.check(0, b'If-Match: "a"', b"If-Unmodified-Since: " + BEFORE)
        self.check(412, b'If-Match: "b"', b"If-Unmodified-Since: " + AFTER)
        self.check(0, b'If-None-Match: "b"', b"If-Modified-Since: " + AFTER)
        self.check(304, b'If-None-Match: "a"', b"If-Modified-Since: " + BEFORE)
        self.check(412, b'If-Match: "b"', b'If-None-Match: "a"')
        self.check(304, b'If-Match: "a"', b'If-None-Match: "a"')


class RangeTests(SynchronousTestCase):
    def wanted(self, *lines: bytes, etag: bytes = TAG, method: bytes = b"GET") -> bytes:
        """The range that counts, b"" for none."""
        found = said(b"Range: bytes=0-1", *lines)
        return found.wanted_range(method, etag, MODIFIED, WALL) or b""

    def test_get_only(self) -> None:
        """Range counts for GET only."""
        self.assertEqual(self.wanted(), b"bytes=0-1")
        self.assertEqual(self.wanted(method=b"HEAD"), b"")
        found = said(b'If-Range: "a"')
        self.assertIsNone(found.wanted_range(b"GET", TAG, MODIFIED, WALL))

    def test_if_range_tag(self) -> None:
        """Only the same strong tag lets the range count."""
        self.assertTrue(self.wanted(b'If-Range: "a"'))
        self.assertFalse(self.wanted(b'If-Range: "b"'))
        self.assertFalse(self.wanted(b'If-Range: W/"a"', etag=WEAK))
        self.assertFalse(self.wanted(b'If-Range: "a"', etag=WEAK))
        self.assertFalse(self.wanted(b'If-Range: "a", "b"'))

    def test_if_range_date(self) -> None:
        """Only the same date does, and only once its second is over."""
        self.assertTrue(self.wanted(b"If-Range: " + THEN))
        self.assertFalse(self.wanted(b"If-Range: " + AFTER))
        self.assertFalse(self.wanted(b"If-Range: " + BEFORE))
        self.assertFalse(self.wanted(b"If-Range: soon"))
        found = said(b"Range: bytes=0-1", b"If-Range: " + THEN)
        self.assertIsNone(found.wanted_range(b"GET", TAG, MODIFIED, MODIFIED + 0.1))
        self.assertIsNone(found.wanted_range(b"GET", TAG, None, WALL))

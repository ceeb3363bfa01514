"""Tests of `lolly_tx.wire.cachefields`."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.freshness import Said
from lolly_tx.wire.cachecontrol import LONGEST
from lolly_tx.wire.cachefields import (
    NOTHING_ASKED,
    asked_by,
    cache_status,
    merged,
    said_by,
    selecting,
    stored_pairs,
    tags_of,
    vary_names,
)
from lolly_tx.wire.dates import http_date
from lolly_tx.wire.fields import RequestBlock, ResponseBlock

WALL = 1795293660.0
DATE = b"Date: " + http_date(WALL)


def _request(*lines: bytes) -> RequestBlock:
    return RequestBlock(b"\r\n" + b"".join(line + b"\r\n" for line in lines))


def _answer(*lines: bytes) -> ResponseBlock:
    return ResponseBlock(b"\r\n" + b"".join(line + b"\r\n" for line in lines))


def _said(*lines: bytes, status: int = 200, seconds: float = 0.0) -> Said:
    return said_by(status, _answer(*lines), WALL, seconds)


class AskedTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """A request of every day says nothing to a cache."""
        self.assertIs(asked_by(_request(b"Host: a", b"Cookie: x")), NOTHING_ASKED)

    def test_something(self) -> None:
        """Credentials, two directives, conditions; others are not heard."""
        asked = asked_by(
            _request(
                b"Host: a",
                b"Authorization: Basic x",
                b"Cache-Control: no-cache, max-age=0, no-store",
                b"Cache-Control: only-if-cached",
                b'If-None-Match: "x"',
                b"Range: bytes=0-1",
            )
        )
        self.assertTrue(asked.credentials and asked.no_store and asked.only_stored)
        assert asked.conditions is not None
        self.assertEqual(asked.conditions.none_match, b'"x"')
        self.assertEqual(asked.conditions.range, b"bytes=0-1")
        plain = asked_by(_request(b"Host: a", b"Cache-Control: no-cache"))
        self.assertEqual(plain, NOTHING_ASKED)


class SaidTests(SynchronousTestCase):
    def test_words(self) -> None:
        """Each directive has its meaning."""
        cases: tuple[tuple[bytes, dict[str, Any]], ...] = (
            (b"", {}),
            (b"no-store", {"no_store": True}),
            (b"private", {"private": True}),
            (b'private="X-A"', {"private": True}),
            (b"no-cache", {"no_cache": True, "lifetime": 0.0}),
            (b'no-cache="X-A"', {"no_cache": True, "lifetime": 0.0}),
            (b"public", {"for_all": True}),
            (b"public private;", {"private": True}),
            (b"must-revalidate", {"for_all": True, "revalidate": True}),
            (b"proxy-revalidate", {"for_all": True, "revalidate": True}),
            (
                b"max-age=1, s-maxage=9",
                {"lifetime": 9.0, "for_all": True, "revalidate_unless_said": True},
            ),
            (
                b"s-maxage=x, max-age=1",
                {"lifetime": 0.0, "for_all": True, "revalidate_unless_said": True},
            ),
            (b"must-understand", {"must_understand": True}),
            (
                b"max-age=5, stale-if-error=6, stale-while-revalidate=7",
                {
                    "lifetime": 5.0,
                    "stale_if_error": 6.0,
                    "stale_while_revalidate": 7.0,
                },
            ),
            (b"stale-if-error=x", {"stale_if_error": 0.0}),
            (b"max-age='60'", {"lifetime": 0.0}),
            (b"max-age=99999999999", {"lifetime": float(LONGEST)}),
        )
        for text, expected in cases:
            with self.subTest(text=text):
                said = _said(DATE, b"Cache-Control: " + text)
                self.assertEqual(said, attrs.evolve(Said(), **expected))

    def test_expires(self) -> None:
        """Expires counts where no directive does; what is no date, or there twice, is the past."""
        later = b"Expires: " + http_date(WALL + 60)
        for lines, lifetime in (
            ((DATE, later), 60.0),
            ((later,), 60.0),
            ((b"Date: " + http_date(WALL - 40), later), 100.0),
            ((DATE, b"Expires: 0"), 0.0),
            ((DATE, b"Expires: " + http_date(WALL - 9)), 0.0),
            ((DATE, later, later), 0.0),
            ((DATE, later, b"Cache-Control: max-age=5"), 5.0),
            ((DATE, later, b"Cache-Control: no-cache"), 0.0),
        ):
            with self.subTest(lines=lines):
                self.assertEqual(_said(*lines).lifetime, lifetime)

    def test_targeted(self) -> None:
        """What is said to caches like us counts in place of what is said to all (RFC 9213)."""
        general = (b"Cache-Control: no-store", b"Expires: " + http_date(WALL + 60))
        said = _said(DATE, b"CDN-Cache-Control: max-age=7", *general)
        self.assertEqual((said.lifetime, said.no_store), (7.0, False))
        said = _said(DATE, b"Surrogate-Control: no-store", b"Cache-Control: max-age=7")
        self.assertEqual((said.lifetime, said.no_store), (None, True))
        said = _said(DATE, b"CDN-Cache-Control: ", b"Cache-Control: max-age=7")
        self.assertEqual(said.lifetime, 7.0)
        said = _said(DATE, b"Surrogate-Control: max-age=7;lolly, public", *general)
        self.assertEqual(
            (said.lifetime, said.for_all, said.no_store), (7.0, True, False)
        )
        said = _said(DATE, b"Surrogate-Control: max-age=7;other", *general)
        self.assertEqual(said.lifetime, 0.0)
        said = _said(DATE, b"Surrogate-Control: public", *general)
        self.assertIsNone(said.lifetime)

    def test_age(self) -> None:
        """Age and Date both make an answer old; an Age that cannot be read makes it as old as can be."""
        for lines, age in (
            ((DATE,), 0.0),
            ((), 0.0),
            ((b"Date: " + http_date(WALL - 61),), 60.0),
            ((b"Date: " + http_date(WALL + 61),), 0.0),
            ((DATE, b"Age: 30"), 32.0),
            ((b"Date: " + http_date(WALL - 61), b"Age: 30"), 60.0),
            ((DATE, b"Age: x"), float(LONGEST)),
            ((DATE, b"Age: -1"), float(LONGEST)),
            ((DATE, b"Age: 0, 7200"), float(LONGEST)),
            ((DATE, b"Age: 0", b"Age: 0"), float(LONGEST)),
            ((DATE, b"Age: 7200;a=b"), float(LONGEST)),
        ):
            with self.subTest(lines=lines):
                self.assertEqual(_said(*lines, seconds=2.0).age, age)

    def test_rest(self) -> None:
        """Cookies, Vary and validators."""
        self.assertTrue(_said(b"Set-Cookie: a=b").cookie)
        self.assertTrue(_said(b"Vary: a, *").any_vary)
        self.assertTrue(_said(b'ETag: "x"').validator)
        self.assertTrue(_said(b"Last-Modified: " + http_date(WALL)).validator)
        self.assertFalse(_said(b"Last-Modified: yesterday").validator)
        self.assertFalse(_said(b'ETag: "x"', b'ETag: "y"').validator)


class VaryTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Lists of all lines, in one order; "*" anywhere is none."""
        self.assertEqual(
            vary_names([b"Foo, bar,, foo", b"Baz"]), (b"bar", b"baz", b"foo")
        )
        self.assertEqual(vary_names([]), ())
        for star in (b"*", b"*, *", b", *", b"*, Foo", b"Foo, *"):
            self.assertIsNone(vary_names([star]))
        self.assertIsNone(vary_names([b"", b"*"]))

    def test_equal(self) -> None:
        """What means the same selects the same."""
        for name, one, other in (
            (b"foo", (b"Foo: 1,2",), (b"Foo:  1, 2 ",)),
            (b"foo", (b"Foo: 1, 2",), (b"Foo: 1", b"Foo: 2")),
            (b"foo", (b"Bar: 1",), (b"Foo: ",)),
            (
                b"accept-encoding",
                (b"Accept-Encoding: gzip, BR;q=0.5",),
                (b"Accept-Encoding: br , x-gzip;q=1.0, identity, deflate;q=0",),
            ),
            (
                b"accept-language",
                (b"Accept-Language: en, de;q=1",),
                (b"Accept-Language: De ,eN",),
            ),
        ):
            with self.subTest(one=one, other=other):
                self.assertEqual(
                    selecting(_request(b"Host: a", *one), (name,)),
                    selecting(_request(b"Host: a", *other), (name,)),
                )

    def test_different(self) -> None:
        """What does not mean the same selects another variant."""
        for name, one, other in (
            (b"foo", b"Foo: 1", b"Foo: 2"),
            (b"foo", b'Foo: "1, 2"', b'Foo: "1,2"'),
            (b"cookie", b"Cookie: a=b, c", b"Cookie: a=b,c"),
            (b"accept-encoding", b"Accept-Encoding: gzip", b"Accept-Encoding: gzipx"),
            (
                b"accept-encoding",
                b"Accept-Encoding: gzip;q=0",
                b"Accept-Encoding: gzip",
            ),
            (b"accept-encoding", b"Accept-Encoding: *;q=0", b"Accept-Encoding: x;q=z"),
            (b"accept-encoding", b"Accept-Encoding: identity;q=0", b"Foo: x"),
            (
                b"accept-language",
                b"Accept-Language: en;q=0.1, de",
                b"Accept-Language: en, de;q=0.1",
            ),
            (b"accept-language", b"Accept-Language: en;q=0", b"Accept-Language: en"),
        ):
            with self.subTest(one=one, other=other):
                self.assertNotEqual(
                    selecting(_request(b"Host: a", one), (name,)),
                    selecting(_request(b"Host: a", other), (name,)),
                )


class StoredFieldsTests(SynchronousTestCase):
    def test_stored(self) -> None:
        """Fields of one hop are not stored, those that Connection names neither, nor an Age."""
        block = _answer(
            b"A: 1",
            b"Connection: b, close",
            b"B: 2",
            b"Keep-Alive: x",
            b"Age: 5",
            b"TE: x",
            b"C: 3",
        )
        self.assertEqual(stored_pairs(block), [(b"A", b"1"), (b"C", b"3")])

    def test_merged(self) -> None:
        """A 304 replaces fields, all of a name at once, but none that describe the stored body."""
        stored = [
            (b"A", b"1"),
            (b"a", b"2"),
            (b"B", b"1"),
            (b"ETag", b'"x"'),
            (b"Content-Length", b"5"),
            (b"Content-Encoding", b"gzip"),
            (b"Content-Type", b"text/plain"),
        ]
        update = _answer(
            b"a: 3",
            b'ETag: "y"',
            b"Content-Length: 9",
            b"Content-Encoding: br",
            b"Content-Type: text/html",
            b"D: 4",
        )
        self.assertEqual(
            merged(stored, update),
            [
                (b"B", b"1"),
                (b"ETag", b'"x"'),
                (b"Content-Length", b"5"),
                (b"Content-Encoding", b"gzip"),
                (b"a", b"3"),
                (b"Content-Type", b"text/html"),
                (b"D", b"4"),
            ],
        )

    def test_tags(self) -> None:
        """Tags come in three fields, with commas or blanks between them; there are not too many."""
        block = _answer(b"Cache-Tag: a, b", b"Surrogate-Key: c d", b"xkey: e")
        self.assertEqual(tags_of(block), {b"a", b"b", b"c", b"d", b"e"})
        many = b"xkey: " + b" ".join(b"%d" % number for number in range(1000))
        self.assertEqual(len(tags_of(_answer(many))), 256)

    def test_cache_status(self) -> None:
        """One member of the list, which says who speaks (RFC 9211)."""
        self.assertEqual(
            cache_status(b"hit", b"ttl=5"), b"Cache-Status: lolly; hit; ttl=5\r\n"
        )

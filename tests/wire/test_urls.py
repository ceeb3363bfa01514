"""Tests of what becomes an escape, and of references that lead somewhere else than they seem."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.urls import escaped, own_location, quoted


class UrlTests(SynchronousTestCase):
    def test_quoted(self) -> None:
        """A decoded path becomes one that means the same."""
        self.assertEqual(quoted(b"/a b?c#d%e/\xc3\xa9"), b"/a%20b%3Fc%23d%25e/%C3%A9")
        self.assertEqual(quoted(b"/plain;v=1/(x)"), b"/plain;v=1/(x)")

    def test_escaped(self) -> None:
        """What is no part of a URL is escaped, and escapes stay."""
        self.assertEqual(escaped(b"/a%20b?x=%zz&y=[1]#f"), b"/a%20b?x=%zz&y=[1]#f")
        self.assertEqual(escaped(b'/a"b<c>\\d\r\ne'), b"/a%22b%3Cc%3E%5Cd%0D%0Ae")

    def test_own_location(self) -> None:
        """Nothing that a browser takes for another host is left."""
        for written, is_ in (
            (b"/a/b?c=//d", b"/a/b?c=//d"),
            (b"//evil.example/x", b"/evil.example/x"),
            (b"///evil.example", b"/evil.example"),
            (b"/\\evil.example", b"/%5Cevil.example"),
            (b"\\\\evil.example", b"/%5C%5Cevil.example"),
            (b"/\t/evil.example", b"/%09/evil.example"),
            (b"https:evil.example", b"/https:evil.example"),
            (b"//user@evil.example", b"/user@evil.example"),
            (b"/x\r\nSet-Cookie: a=b", b"/x%0D%0ASet-Cookie:%20a=b"),
            (b"", b"/"),
        ):
            self.assertEqual(own_location(written), is_)

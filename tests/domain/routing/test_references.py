"""Tests of references that lead to a host, and of what of cookies and Refresh is a place."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.routing.references import (
    cookie_attribute,
    reference_of,
    refresh_parts,
    with_cookie_attribute,
)


class ReferenceTests(SynchronousTestCase):
    def test_same(self) -> None:
        """What means the same is the same."""
        expected = (b"http", "a.example", 80, b"/x?y#z")
        for value in (
            b"http://a.example/x?y#z",
            b"HTTP://A.Example:80/x?y#z",
            b"http://a.example.:/x?y#z",
        ):
            self.assertEqual(reference_of(value), expected)
        self.assertEqual(reference_of(b"//a.example/x?y#z", b"http"), expected)
        self.assertEqual(
            reference_of(b"https://[::1]:8443"), (b"https", "[::1]", 8443, b"")
        )

    def test_none(self) -> None:
        """What leads to no host, or to one in disguise, is not taken apart."""
        for value in (
            b"/x",
            b"x",
            b"",
            b"ftp://a.example/",
            b"http:/a.example/",
            b"http:///x",
            b"http://user@a.example/",
            b"http://a.example:80801/",
            b"http://a.example:x/",
            b"http://a.example%2eb/",
            b"http:\\\\a.example/",
            b"http://a.example\\@b/",
            b"//a.example\\x",
        ):
            self.assertIsNone(reference_of(value), value)

    def test_refresh(self) -> None:
        """The URL of a Refresh, with what stands around it."""
        for value, parts in (
            (b"5; url=http://a/", (b"5; url=", b"http://a/", b"")),
            (b"0;URL='http://a/x'", (b"0;URL='", b"http://a/x", b"'")),
            (b"5", None),
            (b"5; http://a/", None),
        ):
            self.assertEqual(refresh_parts(value), parts)

    def test_cookies(self) -> None:
        """Attributes are found whatever their case, and nothing of the value is taken for one."""
        cookie = b"a=Domain=x; Expires=Sat, 28 Nov 2026 10:00:00 GMT; DOMAIN=.App; Path=/a; Secure"
        self.assertEqual(cookie_attribute(cookie, b"domain"), b".App")
        self.assertEqual(cookie_attribute(cookie, b"path"), b"/a")
        self.assertIsNone(cookie_attribute(cookie, b"secure"))
        self.assertIsNone(cookie_attribute(b"a=1", b"domain"))
        self.assertEqual(
            with_cookie_attribute(cookie, b"domain", b"b"),
            b"a=Domain=x; Expires=Sat, 28 Nov 2026 10:00:00 GMT; Domain=b; Path=/a; Secure",
        )
        self.assertEqual(
            with_cookie_attribute(b"a=1; Domain=x; Path=/", b"domain", None),
            b"a=1; Path=/",
        )
        self.assertEqual(with_cookie_attribute(b"a=1", b"domain", b"b"), b"a=1")

"""Tests of `lolly_tx.wire.cookies`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.cookies import cookie_reader
from lolly_tx.wire.http1 import parse_request


class CookieTests(SynchronousTestCase):
    def test_values(self) -> None:
        """All values of the name, in order, and of no longer name."""
        head = parse_request(
            b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1; aa=2;a=3\r\nCookie: ba=4; a=5\r\n\r\n"
        )
        assert head is not None
        self.assertEqual(cookie_reader("a")(head), [b"1", b"3", b"5"])
        self.assertEqual(cookie_reader("c")(head), [])

"""Tests of the Basic scheme."""

from __future__ import annotations

from base64 import b64encode

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.credentials import LONGEST, basic_credentials


def basic(said: bytes, scheme: bytes = b"Basic ") -> bytes:
    """A field's value."""
    return scheme + b64encode(said)


class CredentialTests(SynchronousTestCase):
    def test_read(self) -> None:
        """User and password, divided at the first colon; the scheme in any case."""
        for said, found in (
            (b"user:word", (b"user", b"word")),
            (b"user:wo:rd", (b"user", b"wo:rd")),
            (b":", (b"", b"")),
            ("ü:é".encode(), ("ü".encode(), "é".encode())),
        ):
            self.assertEqual(basic_credentials(basic(said)), found)
        self.assertEqual(basic_credentials(basic(b"a:b", b"bAsIc  ")), (b"a", b"b"))

    def test_none(self) -> None:
        """What is none."""
        for value in (
            b"",
            b"Basic",
            b"Basic !!!",
            b"Basic abc",
            b"Bearer " + b64encode(b"a:b"),
            basic(b"no colon"),
            basic(b"a:b\0c"),
            basic(b"a:b\r\nc"),
            basic(b"a:" + b"x" * LONGEST),
            basic(b"a:b") + b" more",
        ):
            self.assertIsNone(basic_credentials(value), value)

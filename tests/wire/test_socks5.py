"""Tests of SOCKS5 on the wire: what is whole, what is not yet, what never will be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.socks5 import (
    NotServed,
    method,
    read_login,
    read_methods,
    read_request,
    reply,
)


class ReadTests(SynchronousTestCase):
    def whole(self, read: Callable[[bytes], Any], data: bytes) -> Any:
        """What `read` makes of `data`, of which no beginning is enough, and whose end is not passed."""
        for size in range(len(data)):
            self.assertIsNone(read(data[:size]))
        *found, used = read(data + b"rest")
        self.assertEqual(used, len(data))
        return tuple(found)

    def test_methods(self) -> None:
        """As many as are announced; none and all of them are legal."""
        for methods in (b"", b"\x00", bytes(range(255))):
            data = b"\x05%c%b" % (len(methods), methods)
            self.assertEqual(self.whole(read_methods, data), (methods,))
        for data in (b"\x04", b"G", b"\x06\x01\x00"):
            self.assertRaises(BadMessage, read_methods, data)

    def test_login(self) -> None:
        """Octets of any kind, 1 to 255 of each; the version is that of the login."""
        for user, password in ((b"a", b"b"), (b"\x00:\xff" * 85, b":" * 255)):
            data = b"\x01%c%b%c%b" % (len(user), user, len(password), password)
            self.assertEqual(self.whole(read_login, data), (user, password))
        for data in (b"\x05", b"\x01\x00", b"\x01\x01a\x00"):
            self.assertRaises(BadMessage, read_login, data)

    def test_requests(self) -> None:
        """Addresses and names; the length says how far it goes."""
        cases = {
            b"\x01\x7f\x00\x00\x01": "127.0.0.1",
            b"\x04" + b"\x00" * 15 + b"\x01": "[::1]",
            b"\x03\x09H.example": "h.example",
            b"\x03\x09127.0.0.1": "127.0.0.1",
            b"\x03\x03::1": "[::1]",
        }
        for address, host in cases.items():
            data = b"\x05\x01\x00%b\x01\xbb" % address
            self.assertEqual(self.whole(read_request, data), (1, host, 443))

    def test_bad_requests(self) -> None:
        """What breaks the rules is refused as soon as that can be seen."""
        for data in (b"\x04", b"\x05\x01\x01"):
            self.assertRaises(BadMessage, read_request, data)
        cases = {
            b"\x05\x01\x00\x02\x00": 8,
            b"\x05\x02\x00\x01\x01\x01\x01\x01\x00\x50": 7,
            b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00": 7,
            b"\x05\x01\x00\x03\x00\x00\x50": 1,
            b"\x05\x01\x00\x03\x02a\x00\x00\x50": 1,
            b"\x05\x01\x00\x03\x04\xff\xff\xff\xff\x00\x50": 1,
            b"\x05\x01\x00\x03\x08h:80@x/y\x00\x50": 1,
            b"\x05\x01\x00\x03\x04h:80\x00\x51": 1,
        }
        for data, code in cases.items():
            error = self.assertRaises(NotServed, read_request, data)
            self.assertEqual(error.code, code, data)

    def test_answers(self) -> None:
        """An address of either kind, or zeros."""
        self.assertEqual(method(0xFF), b"\x05\xff")
        self.assertEqual(reply(2), b"\x05\x02\x00\x01" + b"\x00" * 6)
        self.assertEqual(
            reply(0, "10.0.0.1", 443), b"\x05\x00\x00\x01\x0a\x00\x00\x01\x01\xbb"
        )
        self.assertEqual(
            reply(0, "::1", 1), b"\x05\x00\x00\x04" + b"\x00" * 15 + b"\x01\x00\x01"
        )
        self.assertEqual(reply(0, "/run/x.sock"), reply(0))

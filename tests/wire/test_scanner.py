"""Tests of lolly_tx.wire.scanner: what the scan of heads takes, and that it reads as the regular expressions do."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.fields import is_special
from lolly_tx.wire.grammar import REQUEST_NAMES
from lolly_tx.wire.scanner import CLASSES, classes
from tests.wire.fuzz_heads import differences
from tests.wire.native import scanner

LIMITS = (32768, 8192, 200)


class TableTests(SynchronousTestCase):
    def test_classes(self) -> None:
        """What each byte may be is the grammar's word: tokens have no colon, values no control byte but the tab."""
        table = classes()
        self.assertEqual(len(table), 256)
        token, name, value, path, query, digit, request, response = (
            1 << n for n in range(len(CLASSES))
        )
        everywhere = token | name | value | path | query
        self.assertEqual(table[ord("a")], everywhere | digit)
        self.assertEqual(table[ord("g")], everywhere)
        for letter in b"Hh":
            self.assertEqual(table[letter], everywhere | request)
        for letter in b"Tt":
            self.assertEqual(table[letter], everywhere | request | response)
        self.assertEqual(table[ord("D")], everywhere | digit | response)
        self.assertEqual(table[ord("_")], everywhere - name)
        self.assertEqual(table[ord("%")], token | name | value | query)
        self.assertEqual(table[ord("\t")], value)
        self.assertEqual(table[0xFF], value | query)
        for byte in b"\r\n\0\x7f":
            self.assertEqual(table[byte], 0)

    def test_names(self) -> None:
        """The special names are those that the regular expressions find."""
        for name in REQUEST_NAMES:
            whole = name + b"x" if name.endswith(b"-") else name
            self.assertTrue(is_special(whole), name)
        self.assertFalse(is_special(b"accept"))


class ScanTests(SynchronousTestCase):
    module: Any

    def setUp(self) -> None:
        self.module = scanner()
        if self.module is None:
            raise SkipTest("needs a C compiler and Python's headers")

    def test_request(self) -> None:
        """A request of a browser is taken, with its special fields in lower case."""
        head = b"GET /a%20b?q=%zz HTTP/1.1\r\nHost: A.test\r\nCookie: a=b; c=d\r\nX-Forwarded-For: \t1.2.3.4\r\n\r\n"
        self.assertEqual(
            self.module.scan_request(head + b"rest", *LIMITS),
            (
                b"GET",
                b"/a%20b?q=%zz",
                1,
                25,
                len(head),
                [(b"host", b"a.test"), (b"x-forwarded-for", b"1.2.3.4")],
            ),
        )

    def test_response(self) -> None:
        """So is a response."""
        head = b"HTTP/1.0 404 Not Found\r\nServer: x\r\nDATE: Sat\r\nContent-Length: 3\r\n\r\n"
        self.assertEqual(
            self.module.scan_response(head + b"abc", *LIMITS),
            (
                404,
                b"Not Found",
                0,
                22,
                len(head),
                [(b"date", b"sat"), (b"content-length", b"3")],
            ),
        )

    def test_not_taken(self) -> None:
        """What is not whole, not right or rare is left to the regular expressions."""
        good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertIsNotNone(self.module.scan_request(good, *LIMITS))
        for data in (
            *(good[:end] for end in range(len(good))),
            good.replace(b"/", b"/%00", 1),
            good.replace(b"/", b"/%4", 1),
            good.replace(b"GET", b"CONNECT"),
            good.replace(b"/ ", b"http://a/ ", 1),
            good.replace(b"1.1", b"1.2"),
            good.replace(b"Host", b"H_st"),
            good.replace(b"a\r\n", b"a\n", 1),
            good.replace(b": a", b" : a"),
            good.replace(b": a", b": \0"),
        ):
            self.assertIsNone(self.module.scan_request(data, *LIMITS), data)

    def test_limits(self) -> None:
        """At a limit it is taken, one past it not."""
        head = b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n"
        scan = self.module.scan_request
        self.assertIsNotNone(scan(head, len(head), 14, 2))
        self.assertIsNone(scan(head, len(head) - 1, 14, 2))
        self.assertIsNone(scan(head, len(head), 13, 2))
        self.assertIsNone(scan(head, len(head), 14, 1))
        many = b"GET / HTTP/1.1\r\n" + b"TE: x\r\n" * 65 + b"\r\n"
        self.assertIsNone(scan(many, *LIMITS))
        self.assertIsNotNone(scan(many.replace(b"TE: x\r\n", b"", 1), *LIMITS))

    def test_one_letter(self) -> None:
        """A value of one letter is lowered in an object of its own: the interpreter has one of each for everybody."""
        head = b"GET / HTTP/1.1\r\nTE: Q\r\n\r\n"
        *_, found = self.module.scan_request(head, *LIMITS)
        self.assertEqual(found, [(b"te", b"q")])
        self.assertEqual(bytes((81,)), b"Q")
        self.assertEqual(bytes((81,)).lower(), b"q")

    def test_beginnings(self) -> None:
        """The beginning of a name is none by itself."""
        head = b"GET / HTTP/1.1\r\nX-Forwarded-: a\r\nX-Forwarded-X: b\r\nProxy-: c\r\n\r\n"
        *_, found = self.module.scan_request(head, *LIMITS)
        self.assertEqual(found, [(b"x-forwarded-x", b"b")])

    def test_wrong_use(self) -> None:
        """Arguments of other types are refused."""
        self.assertRaises(TypeError, self.module.scan_request, "text", *LIMITS)
        self.assertRaises(TypeError, self.module.scan_request, b"GET")
        self.assertRaises(TypeError, self.module.scan_response, b"", 1, 2, None)
        self.assertRaises(ValueError, self.module.configure, b"short", (), ())
        self.assertRaises(ValueError, self.module.configure, classes(), (b"",), ())

    def test_as_the_regular_expressions(self) -> None:
        """Of some thousand heads, right and wrong ones, none is read differently (`make fuzz` has a million)."""
        self.assertEqual(differences(20_000, seed=7), [])

"""Tests of what a route can be for beside a path: hosts, methods, fields, parameters, clients."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.diff import route_name
from lolly_tx.config.kinds.matching import FIELD_VALUES
from tests.config.samples import POOL, WEB, faults, read


def text(*routes: str) -> str:
    """A configuration with routes that have these keys beside their pool."""
    return WEB + POOL + "".join(f"[[route]]\npool = 'app'\n{each}\n" for each in routes)


class MatchingTests(SynchronousTestCase):
    def test_right(self) -> None:
        """What is written is read, one or a list."""
        [route] = read(
            text(
                'host = ["Example.com", "www.Example.*", "~^WWW[0-9]"]\nmethod = "GET"\n'
                'header = { X-Beta = "1", Accept = "~json" }\nquery = { v = "2" }\n'
                'client = ["10.0.0.0/8", "unix"]'
            )
        ).routes
        self.assertEqual(route.hosts, ("example.com", "www.example.*", "~^WWW[0-9]"))
        self.assertEqual(
            route.conditions,
            (
                "method GET",
                "header x-beta=1",
                "header accept=~json",
                "query v=2",
                "client 10.0.0.0/8|unix",
            ),
        )
        self.assertEqual(
            route_name(route),
            "example.com,www.example.*,~^WWW[0-9] / (method GET, header x-beta=1,"
            " header accept=~json, query v=2, client 10.0.0.0/8|unix)",
        )

    def test_secrets(self) -> None:
        """A value that may be a secret is in no name, but two of them are two routes."""
        one, other = read(
            text('header = { X-Token = "abc" }', 'header = { X-Token = "abd" }')
        ).routes
        self.assertNotIn("abc", route_name(one))
        self.assertNotEqual(route_name(one), route_name(other))

    def test_wrong(self) -> None:
        """Each fault is told, with the key."""
        for line, why in (
            ("method = 'get'", "in capitals"),
            ("method = 'CONNECT'", "no route can be for it"),
            ("method = ['GET', 'GET']", "is in the list twice"),
            ("header = 5", "must be a table"),
            ("header = { 'a b' = 'x' }", "without blanks and separators"),
            ("header = { X-A = 'x', x-a = 'y' }", "the same field as X-A"),
            ("header = { X-A = '~(' }", "no valid regular expression"),
            ('header = { X-A = "a\\nb" }', "without control characters"),
            ("header = { X-A = 5 }", "must be text"),
            ("query = { v = '~(?=x)' }", "look-ahead"),
            ("client = '10.0.0.1/8'", "did you mean"),
            ("host = '~('", "no valid regular expression"),
            ("host = '~^(?P<host>.)'", "captures as host, which is a variable"),
            ("host = '10.0.*'", "must be a host name"),
            ("host = '*.*'", "must be a host name"),
            ("path = '~^/(a?){300}'", "too many alternatives to capture"),
        ):
            [fault] = faults(text(line))
            self.assertIn(why, fault)
        self.assertEqual(FIELD_VALUES.show({"A": "b"}), '{ "A" = "b" }')
        self.assertEqual(FIELD_VALUES.show({}), "{}")

    def test_same_door(self) -> None:
        """Routes with the same host and path may differ by conditions, whose order does not matter."""
        read(text("", "method = 'GET'", "method = 'POST'"))
        [fault] = faults(
            text("header = { A = '1', B = '2' }", "header = { B = '2', A = '1' }")
        )
        self.assertIn("same listener, host, path and conditions", fault)

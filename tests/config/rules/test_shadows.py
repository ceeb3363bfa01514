"""Tests of routes that no request can reach: which are named, and which are not for good reasons."""

from __future__ import annotations

from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.rules.shadows import shadowed
from tests.config.kinds.test_matching import text
from tests.config.samples import read


class ShadowTests(SynchronousTestCase):
    def hidden(self, *routes: str) -> list[tuple[str, str]]:
        """The names of those that are hidden, each with the one that hides it."""
        config = read(text(*routes))
        return list(shadowed(config.routes, "web"))

    def test_expressions(self) -> None:
        """An expression that takes all paths of a later one, or of a prefix."""
        for first, second, hides in (
            ("~^/", "/api/", True),
            ("~^/api/.*$", "/api/", True),
            ("~^/api", "/api", True),
            ("~^/api/", "/api", False),
            ("~^/api/", "=/api/x", False),
            ("~\\.php$", "/api/", False),
            ("~^/a", "~^/ab+c", True),
            ("~[a-z]", "~^/x[0-9]$", True),
            ("~^/ab+c", "~^/a", False),
            ("~*^/A", "~^/a", True),
            ("~^/a", "~*^/a", False),
            ("^~/static/", "~^/static/.*\\.js$", True),
            ("^~/static/", "~\\.js$", False),
            ("^~/api", "~^/api", False),
            ("~^/api/", "^~/ap/", False),
            ("^~/api", "~^/api/x", True),
            ("/static/", "~^/static/.*\\.js$", False),
        ):
            found = self.hidden(f"path = '{first}'", f"path = '{second}'")
            expected = [(f"* {second}", f"* {first}")] if hides else []
            self.assertEqual(found, expected, (first, second))

    def test_order(self) -> None:
        """A later expression hides nothing, and below a longer plain prefix expressions are asked."""
        self.assertEqual(self.hidden("path = '~^/a/b'", "path = '~^/a'"), [])
        self.assertEqual(
            self.hidden("path = '^~/a/'", "path = '/a/b/'", "path = '~^/a/b/x'"), []
        )

    def test_conditions(self) -> None:
        """Only a route hides whose conditions hold wherever those of the other do."""
        for first, second, hides in (
            ("method = ['GET', 'POST']", "method = 'GET'", True),
            ("method = 'GET'", "method = ['GET', 'POST']", False),
            ("method = 'GET'", "query = { a = '1' }", False),
            ("client = '10.0.0.0/8'", "client = ['10.1.0.0/16', '10.2.0.1']", True),
            ("client = '10.0.0.0/8'", "client = '2001:db8::/32'", False),
            ("client = ['::/0', 'unix']", "client = ['2001:db8::1', 'unix']", True),
            ("client = '10.0.0.0/8'", "method = 'GET'", False),
            ("header = { A = '1' }", "header = { A = '2' }", False),
            ("query = { a = '1' }", "query = { a = '2' }", False),
        ):
            self.assertEqual(bool(self.hidden(first, second)), hides, (first, second))
        self.assertEqual(
            self.hidden("path = '~^/'\nheader = { A = '1' }", "path = '/x'"), []
        )
        both = "header = { a = '1' }\nmethod = 'GET'\npath = '/x'"
        [(name, _)] = self.hidden("path = '~^/'\nheader = { A = '1' }", both)
        self.assertEqual(name, "* /x (method GET, header a=1)")

    def test_hosts(self) -> None:
        """All hosts of a route have to be hidden."""
        every = "path = '~^/'\nhost = ['a.test', 'b.test']"
        self.assertTrue(self.hidden(every, "path = '/x'\nhost = 'a.test'"))
        self.assertEqual(
            self.hidden(every, "path = '/x'\nhost = ['a.test', 'c.test']"), []
        )
        self.assertEqual(self.hidden(every, "path = '/x'"), [])

    def test_told(self) -> None:
        """`lolly check` names both."""
        config = read(text("path = '~^/'", "path = '/api/'"))
        self.assertIn(
            "warning: route * /api/: no request reaches it: the route * ~^/ comes first",
            [str(one) for one in consequences(config)],
        )

    def test_many(self) -> None:
        """A thousand routes are looked through in no time."""
        routes = [f"path = '~^/s{n}/[0-9]+'" for n in range(500)]
        routes += [f"path = '/p{n}/'" for n in range(500)]
        config = read(text(*routes))
        begun = process_time()
        self.assertEqual(list(shadowed(config.routes, "web")), [])
        self.assertLess(process_time() - begun, 5)

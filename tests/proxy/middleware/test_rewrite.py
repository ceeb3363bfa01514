"""Tests of `type = "rewrite"`: what targets and clients get, what of a path can get where, and what it costs."""

from __future__ import annotations

from time import process_time
from typing import Any

from twisted.logger import globalLogPublisher

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.wire.memory import REMEMBERED, REMEMBERED_BYTES
from tests.proxy.middleware.behind import behind, settings
from tests.proxy.world import OK, WorldTestCase, get
from tests.service.test_build import BuildTestCase


def rules(*each: str) -> str:
    """The table with these rules."""
    listed = ", ".join(f"{{ {one} }}" for one in each)
    return f'type = "rewrite"\nrules = [{listed}]\n'


OLD = "match = '^/old/(.*)$', to = '/new/$1'"


class RewriteTests(WorldTestCase):
    def target_of(self, table: str, path: str, fields: str = "") -> str:
        """The target that a backend gets of a request for `path`."""
        world = behind(self, table)
        world.client().send(get(path, fields))
        line: bytes = world.accept().take().split(b"\r\n")[0]
        return line.split(b" ")[1].decode()

    def answer_to(self, table: str, path: str, fields: str = "") -> bytes:
        """What a client gets without any backend."""
        world = behind(self, table)
        client = world.client()
        client.send(get(path, fields))
        answer: bytes = client.take()
        self.assertEqual(world.refusals[-1][1], int(answer[9:12]))
        return answer

    def test_paths(self) -> None:
        """A path becomes another; the query stays, escapes are made anew, other paths stay byte for byte."""
        for path, target in (
            ("/old/a", "/new/a"),
            ("/old/a?x=1&y", "/new/a?x=1&y"),
            ("/old/", "/new/"),
            ("/old/a%20b%3Fc", "/new/a%20b%3Fc"),
            ("/x/../old/%61", "/new/a"),
            ("/other/%2e%41//b?c", "/other/%2e%41//b?c"),
        ):
            self.assertEqual(self.target_of(rules(OLD), path), target)

    def test_queries(self) -> None:
        """A rule may have a query of its own, or take it away."""
        own = rules("match = '^/s/(.*)$', to = '/find?q=$1&was=$query'")
        self.assertEqual(self.target_of(own, "/s/a&b=c?d=e"), "/find?q=a&b=c&was=d=e")
        gone = rules("match = '^/s$', to = '/find?'")
        self.assertEqual(self.target_of(gone, "/s?d=e"), "/find")

    def test_last_and_break(self) -> None:
        """After "last" the rules are asked again, of the new path; after "break" they are not."""
        for flag, target in (("last", "/c"), ("break", "/b")):
            table = rules(
                "match = '^/b$', to = '/c'",
                f"match = '^/a$', to = '/b', flag = '{flag}'",
            )
            self.assertEqual(self.target_of(table, "/a"), target)

    def test_loop(self) -> None:
        """What has no end gets 500 after ten rounds, and a line in the log."""
        said: Any = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        answer = self.answer_to(rules("match = '^/a', to = '/a/a'"), "/a")
        self.assertTrue(answer.startswith(b"HTTP/1.1 500 "))
        self.assertIn("no end in sight", str(said))
        nine = rules("match = '^/(a{1,9})$', to = '/a$1'")
        self.assertEqual(self.target_of(nine, "/a"), "/" + "a" * 10)

    def test_redirects(self) -> None:
        """Clients are led away, for now or for good, with their query."""
        table = rules(
            OLD + ", flag = 'redirect'",
            "match = '^/moved/(?P<rest>.*)$', to = 'https://b.example/$rest', flag = 'permanent'",
        )
        answer = self.answer_to(table, "/old/a%20b?x=1")
        self.assertTrue(answer.startswith(b"HTTP/1.1 302 "))
        self.assertIn(b"\r\nLocation: /new/a%20b?x=1\r\n", answer)
        answer = self.answer_to(table, "/moved/a")
        self.assertTrue(answer.startswith(b"HTTP/1.1 301 "))
        self.assertIn(b"\r\nLocation: https://b.example/a\r\n", answer)
        host = rules("match = '^/x', to = 'https://$host/y', flag = 'redirect'")
        self.assertIn(b"\r\nLocation: https://x/y\r\n", self.answer_to(host, "/x"))

    def test_hostile(self) -> None:
        """Nothing of a path leads to another host or out of a field, and none takes long."""
        table = rules("match = '^/go/(.*)$', to = '/$1', flag = 'redirect'")
        for path in (
            "/go/%2f%2fevil.example",
            "/go/%5cevil.example",
            "/go//evil.example",
        ):
            self.assertIn(
                b"\r\nLocation: /evil.example\r\n", self.answer_to(table, path)
            )
        answer = self.answer_to(table, "/go/%0d%0aX:1")
        self.assertIn(b"\r\nLocation: /%0D%0AX:1\r\n", answer)
        self.assertEqual(self.target_of(rules(OLD), "/old/%0d%0aX:1"), "/new/%0D%0AX:1")
        begun = process_time()
        slow = rules(
            "match = '^/((a+)+)+$', to = '/b'", "match = '(.*)x(.*)y', to = '/c'"
        )
        self.target_of(slow, "/" + "a" * 3000 + "!")
        self.assertLess(process_time() - begun, 2)

    def test_variables(self) -> None:
        """Values of the request may be in the new path."""
        table = rules("match = '^/me$', to = '/users/$cookie_user/$header_x_v'")
        fields = "Cookie: user=ann\r\nX-V: a/b ?\r\n"
        self.assertEqual(self.target_of(table, "/me", fields), "/users/ann/a/b%20%3F")

    def test_dots_with_parameters(self) -> None:
        """What a rule would make a path of that no route takes is refused."""
        table = rules("match = '^/x', to = '/a/$header_x_p/y'")
        answer = self.answer_to(table, "/x", "X-P: ..;\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        for value in ("..", "%2e%2E", "b/../..", "./.."):
            self.assertEqual(
                self.target_of(table, "/x?q=/../", f"X-P: {value}\r\n"),
                {
                    "%2e%2E": "/a/%252e%252E/y?q=/../",
                }.get(value, "/y?q=/../"),
            )

    def test_again(self) -> None:
        """On a kept connection each request has its own path."""
        world = behind(self, rules(OLD))
        client = world.client()
        client.send(get("/old/a"))
        target = world.accept()
        for path in ("b", "c"):
            self.assertIn(b"GET /new/", target.take())
            target.send(OK)
            self.assertEqual(client.take(), OK)
            client.send(get(f"/old/{path}"))
        self.assertIn(b"GET /new/c HTTP/1.1\r\n", target.take())

    def test_remembered(self) -> None:
        """What became of a head is known again, for so many and no longer ones, and not where more than it matters."""
        world = behind(self, rules(OLD))
        made: Any = world.proxy.table.only
        middleware = made.links[0].request.__self__
        client = world.client()
        client.send(get("/old/first"))
        target = world.accept()
        target.take()
        target.send(OK)
        for n in range(REMEMBERED + 3):
            client.send(get(f"/old/{n}"))
            self.assertIn(b"GET /new/%d " % n, target.take())
            target.send(OK)
        self.assertLessEqual(len(middleware._known), REMEMBERED)
        before = len(middleware._known)
        client.send(get("/old/" + "a" * REMEMBERED_BYTES))
        self.assertIn(b"GET /new/aaa", target.take())
        self.assertEqual(len(middleware._known), before)
        world = behind(self, rules("match = '^/x', to = '/$client'"))
        made = world.proxy.table.only
        self.assertIsNone(made.links[0].request.__self__._known)


class SettingsTests(WorldTestCase):
    def test_wrong(self) -> None:
        """Each fault is told, and an expression that could take for ever is none."""
        for rule, why in (
            ("match = '(', to = '/'", "no valid regular expression"),
            ("match = '(a)\\1', to = '/'", "refers to a group"),
            ("match = '^(?=x)', to = '/'", "look-ahead"),
            ("match = '', to = '/'", "^ is every path"),
            ("match = '(?P<host>x)', to = '/'", "which is a variable already"),
            ("match = 'x', to = '/$nothing'", "no variable is called $nothing"),
            ("match = 'x', to = 'y'", 'must begin with "/"'),
            ("match = 'x', to = 'https://a.example/'", "only a redirect leads"),
            ("match = 'x', to = '/', flag = 'lst'", "last"),
            ("match = 'x'", 'the key "to" is missing'),
        ):
            with self.assertRaises(ConfigErrors) as caught:
                settings(rules(rule))
            self.assertIn(why, str(caught.exception))
        with self.assertRaises(ConfigErrors):
            settings(rules())


LISTENER = """
[listener.web]
endpoint = "tcp:8080"
use = ["ids", "old", "marked"]
[[route]]
path = "/"
respond = { body = "any $uri" }
[[route]]
path = "/new"
use = [{ type = "headers", response = { set = { X-New = "1" } } }]
respond = { body = "new $uri" }
[[route]]
path = "/kept"
use = ["old"]
respond = { body = "kept $uri" }
[middleware.ids]
type = "headers"
response = { add = { X-Ids = "1" } }
[middleware.marked]
type = "headers"
response = { add = { X-Marked = "1" } }
[middleware.old]
type = "rewrite"
rules = [{ match = "^/old/(.*)$", to = "/new/$1" }, { match = "^/gone$", to = "/nowhere" }]
"""


class ListenerTests(BuildTestCase):
    def test_before_routes(self) -> None:
        """In the `use` of a listener it comes before the routes; whatever stands there is passed once."""
        self.started(LISTENER)
        client = self.client()
        client.send(get("/old/a?b"))
        answer = client.take()
        self.assertTrue(answer.endswith(b"\r\n\r\nnew /new/a?b"), answer)
        for name in (b"X-New", b"X-Ids", b"X-Marked"):
            self.assertEqual(answer.count(name + b": 1\r\n"), 1, answer)
        client.send(get("/x"))
        answer = client.take()
        self.assertTrue(answer.endswith(b"any /x"))
        self.assertNotIn(b"X-New", answer)

    def test_no_route_behind(self) -> None:
        """A new path that no route is for gets 404."""
        self.started(LISTENER.replace('path = "/"\n', 'path = "/gone"\n'))
        client = self.client()
        client.send(get("/gone"))
        self.assertTrue(client.take().startswith(b"HTTP/1.1 404 "))

    def test_of_a_route(self) -> None:
        """In that of a route the request stays there."""
        text = LISTENER.replace('use = ["ids", "old", "marked"]', 'use = ["ids"]')
        self.started(text.replace('path = "/kept"', 'path = "/old"'))
        client = self.client()
        client.send(get("/old/a"))
        self.assertTrue(client.take().endswith(b"kept /new/a"))

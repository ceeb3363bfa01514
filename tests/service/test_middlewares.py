"""Tests of middleware in a running service: where it stands, what reloads do with it, what cannot be made."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from zope.interface import implementer

from lolly_tx.config.load import parse
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.service.build import build
from lolly_tx.service.dryrun import Question, dry_run
from lolly_tx.service.middlewares import CannotMake
from lolly_tx.service.registry import Registry
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import ReloadTestCase

BASE = """
[listener.web]
endpoint = "tcp:8080"
use = ["outer"]
[[route]]
pool = "app"
use = ["counted", { type = "headers", request = { set = { X-C = "3" } } }]
[[route]]
path = "/other/"
pool = "app"
[middleware.outer]
type = "headers"
request = { set = { X-A = "1" } }
[middleware.counted]
type = "counting"
word = "one"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""


@attrs.frozen
class CountingSettings:
    """Of a plugin of these tests."""

    word: str = "one"


class Counting(Middleware):
    """Counts requests, and answers those for its own path with how many there were."""

    touches = frozenset((ASKED,))
    stopped: ClassVar[list[str]] = []

    def __init__(self, settings: CountingSettings, deps: Any) -> None:
        self.word = settings.word
        self.deps = deps
        self.seen = 0 if deps.before is None else deps.before.seen

    def request(self, passage: Any) -> Answer | None:
        self.seen += 1
        if passage.head.target != b"/count":
            return None
        return Answer(200, body=b"%b %d" % (self.word.encode(), self.seen))

    def stop(self) -> None:
        self.stopped.append(self.word)


@implementer(IMiddlewareFactory)
class CountingFactory:
    """Makes them, of every word but one."""

    name = "counting"
    settings = CountingSettings
    tables = ("via",)

    def build(self, settings: CountingSettings, deps: Any) -> Counting:
        if settings.word == "broken":
            raise ValueError("no such word")
        return Counting(settings, deps)


class MiddlewareTestCase(ReloadTestCase):
    """Services with that plugin."""

    def setUp(self) -> None:
        super().setUp()
        self.registry = Registry()
        self.registry.add("middleware", CountingFactory())
        Counting.stopped.clear()

    def build(self, text: str = BASE, **named: Any) -> Any:
        clock = self.reactor.seconds
        return build(
            self.reactor,
            self.parsed(text),
            now=clock,
            wall=clock,
            registry=self.registry,
            **named,
        )

    def parsed(self, text: str) -> Any:
        names = self.registry.known_names()
        return parse(text, str(self.folder / "lolly.toml"), {}, names=names)

    def read(self) -> Any:
        return self.parsed(self.text)

    def counted(self, client: Any) -> bytes:
        """What the plugin says."""
        client.send(get("/count"))
        got: bytes = client.take()
        return got.rpartition(b"\r\n\r\n")[2]

    def sent(self, client: Any, path: str = "/") -> bytes:
        """What a target gets."""
        client.send(get(path))
        backend = self.backend()
        sent: bytes = backend.take()
        backend.send(OK.replace(b"Date: d", b"Date: d\r\nConnection: close"))
        client.take()
        return sent


class PlaceTests(MiddlewareTestCase):
    def test_order(self) -> None:
        """A listener's middleware is on all of its routes, that of a route on its own."""
        self.start(BASE)
        client = self.client()
        sent = self.sent(client)
        self.assertIn(b"X-A: 1\r\nX-C: 3\r\n", sent)
        sent = self.sent(client, "/other/")
        self.assertIn(b"X-A: 1\r\n", sent)
        self.assertNotIn(b"X-C", sent)
        self.assertEqual(self.counted(client), b"one 2")

    def test_counted(self) -> None:
        """What middleware has answered is counted among what no target did."""
        self.start(BASE)
        self.counted(self.client())
        proxy = self.service.resources["web"].proxy
        self.assertEqual(proxy.refused_codes, {200: 1})

    def test_twice_named(self) -> None:
        """What a listener has on all of its routes is passed once, though a route names it too."""
        self.start(BASE.replace('use = ["counted",', 'use = ["outer", "counted",'))
        self.assertEqual(self.sent(self.client()).count(b"X-A: 1\r\n"), 1)

    def test_explained(self) -> None:
        """A dry run names the middleware on the way, and the pool behind it."""
        self.start(BASE)
        resources = self.service.resources
        proxies = {name: one.proxy for name, one in resources.items()}
        forwarders: dict[str, Any] = {}
        config = self.service.config
        told = dry_run(Question(host="x"), proxies, forwarders, 0.0, config)
        self.assertEqual(told["use"], ["outer", "counted", "headers"])
        self.assertEqual(told["pool"], "app")

    def test_no_use_no_chain(self) -> None:
        """A route without middleware leads to the very end it leads to without this mechanism."""
        self.start(BASE.replace('use = ["outer"]', ""))
        table = self.service.resources["web"].proxy.table
        end = table.find(b"x", b"/other/")
        self.assertIs(end, self.service.running_pools["app"].end)


class ReloadTests(MiddlewareTestCase):
    def test_what_stays(self) -> None:
        """A reload that does not change it leaves a middleware in place, with all it knows."""
        self.start(BASE)
        client = self.client()
        self.assertEqual(self.counted(client), b"one 1")
        self.reload(BASE.replace('X-A = "1"', 'X-A = "2"'))
        self.assertEqual(self.counted(client), b"one 2")
        self.assertIn(b"X-A: 2\r\n", self.sent(client))
        self.assertEqual(Counting.stopped, [])

    def test_what_changes(self) -> None:
        """Another setting makes another, which may go on from the one before; that one is stopped."""
        self.start(BASE)
        client = self.client()
        self.assertEqual(self.counted(client), b"one 1")
        self.reload(BASE.replace('word = "one"', 'word = "two"'))
        self.assertEqual(self.counted(client), b"two 2")
        self.assertEqual(Counting.stopped, ["one"])
        self.reload('via = "v"\n' + self.text)
        self.assertEqual(self.counted(client), b"two 3")
        self.assertEqual(Counting.stopped, ["one", "two"])

    def test_what_cannot_be_made(self) -> None:
        """Settings of which one cannot be made are refused, by name, and what was in force goes on."""
        self.start(BASE)
        client = self.client()
        self.assertEqual(self.counted(client), b"one 1")
        other = BASE.replace('use = ["outer"]', 'use = ["outer", "new"]')
        other += '[middleware.new]\ntype = "counting"\nword = "two"\n'
        found = self.refused(other.replace('word = "one"', 'word = "broken"'))
        self.assertEqual(found, ["middleware counted: no such word"])
        self.assertEqual(Counting.stopped, ["two"])
        self.assertEqual(self.counted(client), b"one 2")
        with self.assertRaises(CannotMake):
            self.build(BASE.replace('word = "one"', 'word = "broken"'))

    def test_stop(self) -> None:
        """What is in use is stopped with the service, once."""
        self.start(BASE)
        self.service.stopService()
        self.pass_time(40)
        self.assertEqual(Counting.stopped, ["one"])

    def test_pools_by_name(self) -> None:
        """A middleware finds the ends of pools, those of later reloads as well, and no others."""
        self.start(BASE)
        key = ("counted", -1)
        counting: Any = self.service.middlewares._made[key].middleware
        app = self.service.running_pools["app"].end
        self.assertIs(counting.deps.pool("app"), app)
        with self.assertRaises(KeyError):
            counting.deps.pool("more")
        self.reload(
            BASE + '[pool.more]\ntargets = ["http://127.0.0.1:9002"]\n'
            '[[route]]\npath = "/more/"\npool = "more"\n'
        )
        more = self.service.running_pools["more"].end
        self.assertIs(counting.deps.pool("more"), more)

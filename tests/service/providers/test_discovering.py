"""Tests of targets that others say a pool has: what is believed, and how it gets into force."""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

import attrs
from twisted.internet.defer import Deferred, execute
from zope.interface import implementer

from lolly_tx._version import build
from lolly_tx.config import found as reading
from lolly_tx.config import parse
from lolly_tx.domain.interfaces import IDiscovery, IDiscoveryFactory
from lolly_tx.service.providers.discovering import GATHER_SECONDS, Discoveries
from lolly_tx.service.providers.foundstate import as_values, load, of_values
from lolly_tx.service.registry import Registry
from lolly_tx.service.statefolder import StateFolder
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import TWO, A, B, ReloadTestCase

ONE = "http://127.0.0.1:9001"
NEXT = "http://127.0.0.1:9002"
LISTED = 'targets = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]\n'
TEXT = TWO.replace(LISTED, "targets = []\n") + (
    '[pool.app.discover]\ntype = "told"\nleast = 1\nsettle = "2s"\n'
)


@attrs.frozen
class Settings:
    """`name`: who is asked."""

    name: str = "x"


@implementer(IDiscovery)
class Told:
    """Says what the test says."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.found: Any = None
        self.failed: Any = None
        self.stopped = False

    def start(self, found: Any, failed: Any) -> None:
        """See IDiscovery."""
        self.found, self.failed = found, failed

    def stop(self) -> None:
        """See IDiscovery."""
        self.stopped = True


@implementer(IDiscoveryFactory)
class ToldFactory:
    """Makes these; `made`: all of them."""

    name = "told"
    settings = Settings

    def __init__(self) -> None:
        self.made: list[Told] = []

    def build(self, settings: Settings, deps: Any) -> Told:
        """See IPluginFactory."""
        self.made.append(Told(settings))
        return self.made[-1]


class DiscoveringTestCase(ReloadTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.factory = ToldFactory()
        self.registry = Registry()
        self.registry.add("discovery", self.factory)
        self.state = StateFolder(str(self.folder / "state"))
        self.start(TWO)
        self.reload(TEXT)
        self.discoveries = Discoveries(self.reloader, self.registry, self.state)
        self.patch(self.discoveries, "_in_thread", lambda work: execute(work))
        self.service.discoveries = self.discoveries
        self.discoveries.start()

    def parsed(self, text: str) -> Any:
        """With the type of the test."""
        path = str(self.folder / "lolly.toml")
        return parse(text, path, {}, names=self.registry.known_names())

    def read(self) -> Any:
        return self.parsed(self.text)

    def said(self, *entries: Any) -> None:
        """An answer, and the time it takes to get into force."""
        self.factory.made[-1].found(list(entries))
        self.wait(GATHER_SECONDS + 0.1)

    def wait(self, seconds: float) -> None:
        """So much time, and the turns that follow."""
        self.pass_time(seconds)
        for _ in range(20):
            self.reactor.advance(0)

    @property
    def nodes(self) -> dict[str, Any]:
        return dict(self.service.pools["app"].nodes)

    def shown(self) -> Any:
        return self.discoveries.shown("app")


class KeptTests(DiscoveringTestCase):
    def test_documents(self) -> None:
        """What is kept comes back as it was, however it is nested."""
        for document in (
            {"file": "/a", "pools": {"p": [{"id": "a", "n": [1, {"x": None}]}, {}]}},
            {"empty": {}, "list": [], "text": '\u00e4"', "flag": True},
            [1, [2, [3, [4]]]],
            "text",
        ):
            self.state.keep("x.json", document)
            self.assertEqual(self.state.kept("x.json"), document)


class DiscoveringTests(DiscoveringTestCase):
    def test_targets_come(self) -> None:
        """What is found is in force as one change, after a moment; those that stay are the same objects."""
        self.assertEqual(self.shown()["state"], "asking")
        number = self.service.generation.number
        self.factory.made[0].found([ONE])
        self.said(ONE, NEXT)
        self.assertEqual(sorted(self.nodes), [A, B])
        self.assertEqual(self.service.generation.number, number + 1)
        before = self.nodes[A]
        self.said(ONE, {"url": NEXT, "weight": 4})
        self.assertIs(self.nodes[A], before)
        self.assertEqual(self.nodes[B].target.weight, 4)
        self.assertEqual(self.shown()["state"], "current")

    def test_costs_nothing(self) -> None:
        """A request makes the same calls, whether its target was found or is listed."""
        self.said(ONE)
        found = self.calls()
        self.reload(TWO.replace(', "http://127.0.0.1:9002"', ""))
        self.assertEqual(self.calls(), found)
        if build() != "compiled":  # whose calls among itself nobody is told of
            self.assertGreater(len(found), 20)

    def calls(self) -> list[str]:
        """The functions of ours that a request on kept connections calls, in their order."""
        client, made = self.client(), []
        client.send(get("/"))
        backend = self.backend()

        def note(frame: Any, event: str, what: Any) -> None:
            if event == "call" and "lolly_tx" in frame.f_code.co_filename:
                made.append(frame.f_code.co_qualname)

        for _ in range(4):
            backend.send(OK)
            self.assertEqual(client.take(), OK)
            made.clear()
            sys.setprofile(note)
            client.send(get("/"))
            sys.setprofile(None)
        sys.setprofile(note)
        backend.send(OK)
        sys.setprofile(None)
        backend.lose()
        return made

    def test_the_same_again(self) -> None:
        """An answer without news changes nothing."""
        self.said(ONE)
        number = self.service.generation.number
        self.said(ONE)
        self.assertEqual(self.service.generation.number, number)

    def test_the_same_object(self) -> None:
        """An answer that is the one of before is not read again, and its age is new; one changed in place is read."""
        entries: list[Any] = [{"url": ONE}]
        self.said_whole(entries)
        self.wait(3.0)
        with mock.patch.object(reading, "read_found") as read:
            self.said_whole(entries)
            self.assertFalse(read.called)
        self.assertLess(self.shown()["age_seconds"], 1.0)
        entries[0]["weight"] = 4
        self.said_whole(entries)
        self.assertEqual(self.nodes[A].target.weight, 4)
        entries.append(NEXT)
        self.said_whole(entries)
        self.assertEqual(sorted(self.nodes), [A, B])

    def said_whole(self, entries: list[Any]) -> None:
        """The same object again."""
        self.factory.made[-1].found(entries)
        self.wait(GATHER_SECONDS + 0.1)

    def test_read_in_a_thread(self) -> None:
        """Answers are read elsewhere, one by one, and of those that come meanwhile the latest; none waits for ever."""
        works: list[tuple[Any, Deferred[Any]]] = []

        def later(work: Any) -> Deferred[Any]:
            works.append((work, Deferred()))
            return works[-1][1]

        self.patch(self.discoveries, "_in_thread", later)
        self.patch(self.reloader, "_in_thread", later)
        found = self.factory.made[0].found
        for entries in ([ONE], ["http://127.0.0.1:9009"], [ONE, NEXT]):
            found(entries)
        self.assertEqual(self.shown()["state"], "asking")
        self.assertEqual(len(works), 1)
        seen = []
        while works:
            work, done = works.pop(0)
            done.callback(work())
            self.wait(GATHER_SECONDS + 0.1)
            if sorted(self.nodes) not in seen:
                seen.append(sorted(self.nodes))
        self.assertEqual(seen, [[], [A], [A, B]])

    def test_unreadable(self) -> None:
        """An answer that breaks its reading is one that is not believed, and no error that nobody handles."""
        self.said(ONE)
        with mock.patch.object(reading, "read_found", side_effect=RecursionError):
            self.said(ONE, NEXT)
        self.assertEqual(len(self.flushLoggedErrors(RecursionError)), 1)
        self.assertEqual(self.shown()["state"], "stale")
        self.assertIn("cannot be read: RecursionError", self.shown()["error"])
        self.assertEqual(sorted(self.nodes), [A])

    def test_as_many_as_there_is_room_for(self) -> None:
        """A registry that names others again and again does not fill the pool with those that are leaving."""
        self.patch(reading, "MOST_FOUND", 3)
        self.said(ONE, NEXT)
        self.said("http://127.0.0.1:9003", "http://127.0.0.1:9004")
        self.assertEqual(len(self.nodes), 3)
        self.assertEqual(len(self.shown()["vanished"]), 1)

    def test_one_that_vanished(self) -> None:
        """It gets nothing new at once, and leaves after `settle`."""
        self.said(ONE, NEXT)
        self.said(ONE)
        self.assertEqual(self.nodes[B].enabled, "down")
        self.assertEqual(self.shown()["vanished"], [B])
        self.said(ONE)
        self.wait(2.0)
        self.assertEqual(sorted(self.nodes), [A])
        self.assertEqual(self.shown()["vanished"], [])

    def test_one_that_comes_back(self) -> None:
        """Within `settle` it is what it was."""
        self.said(ONE, NEXT)
        before = self.nodes[B]
        self.said(ONE)
        self.said(ONE, NEXT)
        self.wait(5.0)
        self.assertIs(self.nodes[B], before)
        self.assertEqual(before.enabled, "up")

    def test_too_few(self) -> None:
        """An answer with fewer targets than `least` is not believed, nor one of which none can be used."""
        self.said(ONE, NEXT)
        for entries in ((), ("nonsense", 7)):
            self.said(*entries)
            self.wait(5.0)
            self.assertEqual(sorted(self.nodes), [A, B])
            self.assertEqual(self.shown()["state"], "stale")
        self.assertIn("least = 1", self.shown()["error"])
        self.assertEqual(self.shown()["failures"], 2)
        self.assertEqual(len(self.shown()["skipped"]), 2)
        self.said(ONE)
        self.assertEqual(
            (self.shown()["state"], self.shown()["error"]), ("current", "")
        )

    def test_no_answer(self) -> None:
        """What was found stays, with its age and the reason."""
        self.said(ONE)
        self.wait(9.0)
        self.factory.made[0].failed("no route to host")
        self.wait(100.0)
        self.assertEqual(sorted(self.nodes), [A])
        shown = self.shown()
        self.assertEqual(
            (shown["state"], shown["error"]), ("stale", "no route to host")
        )
        self.assertGreater(shown["age_seconds"], 100)

    def test_reload(self) -> None:
        """Who is asked as before goes on with all that was found; another question ends the one before."""
        self.said(ONE)
        before = self.nodes[A]
        self.reload(TEXT + "\n# other\n[timeouts]\nhead = 3\n")
        self.assertEqual(len(self.factory.made), 1)
        self.assertIs(self.nodes[A], before)
        self.reload(TEXT + 'name = "y"\n')
        first, second = self.factory.made
        self.assertTrue(first.stopped and not second.stopped)
        self.assertIs(self.nodes[A], before)
        first.found([NEXT])
        self.wait(5.0)
        self.assertEqual(sorted(self.nodes), [A])
        self.reload(TWO)
        self.assertTrue(second.stopped)
        self.assertIsNone(self.shown())
        self.assertEqual(sorted(self.nodes), [A, B])

    def test_kept_for_the_next_start(self) -> None:
        """The folder has what was found, without what is leaving, for this file only."""
        self.said(ONE, NEXT)
        self.said(ONE)
        file = self.service.config.file
        self.assertEqual([one.id for one in load(self.state, file)["app"]], [A])
        self.assertEqual(load(self.state, "/other"), {})
        found = self.discoveries.found
        self.assertEqual([one.id for one in of_values(as_values(found))["app"]], [A])
        self.assertEqual(of_values({"app": [{"id": 1}]}), {})
        self.assertEqual(of_values(None), {})
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_stop(self) -> None:
        """After the end nothing is asked, and nothing that is said matters."""
        self.factory.made[0].found([ONE])
        self.service.stopService()
        self.assertTrue(self.factory.made[0].stopped)
        self.factory.made[0].found([ONE, NEXT])
        self.factory.made[0].failed("x")
        self.wait(50)
        self.assertEqual(self.nodes, {})

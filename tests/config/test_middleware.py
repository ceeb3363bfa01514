"""Tests of [middleware] tables and of `use`: what is read, every error at once, what follows, what differs."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import Names
from lolly_tx.config.diff import difference
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.kinds.plain import TEXT
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.middleware.facts import middleware_consequences
from lolly_tx.config.middleware.headers import Headers
from lolly_tx.config.middleware.using import Middleware, resolved
from lolly_tx.config.shown import flat, shown
from tests.config.samples import POOL, WEB, FakeFiles, faults, read

IDS = '[middleware.ids]\ntype = "headers"\nrequest = { set = { X-Id = "1" } }\n'
ROUTE = '[[route]]\npool = "app"\nuse = ["ids", { type = "headers" }]\n'
WHOLE = WEB + ROUTE + POOL + IDS


@attrs.frozen
class Telling:
    """Settings of a plugin that have something to say."""

    word: str = attrs.field(default="a", metadata=about(TEXT, "A word."))

    def rules(self, config: object, place: Place) -> None:
        if self.word == "wrong":
            place.at("word").wrong("is wrong together with the rest")

    def facts(self) -> list[str]:
        return [f"says {self.word}"]

    def doubts(self) -> list[str]:
        return ["says little"]


NAMES = Names(
    middleware=frozenset(("headers", "telling")),
    settings={("middleware", "telling"): Telling},
)


class ReadTests(SynchronousTestCase):
    def test_named_and_on_the_spot(self) -> None:
        """A table has its name, its type and the settings of that; one in a list has no name."""
        config = read(WHOLE)
        ids = config.middlewares["ids"]
        self.assertEqual((ids.name, ids.type, ids.title), ("ids", "headers", "ids"))
        self.assertEqual(ids.settings.request.set, {"X-Id": "1"})
        name, spot = config.routes[0].use
        assert isinstance(spot, Middleware)
        self.assertEqual(name, "ids")
        self.assertEqual((spot.name, spot.title), ("", "headers"))
        self.assertEqual(spot.settings, Headers())
        self.assertEqual(
            resolved(config.routes[0].use, config.middlewares), (ids, spot)
        )

    def test_one_name(self) -> None:
        """One name alone stands for a list; listeners have one too."""
        config = read(WEB + 'use = "ids"\n[[route]]\npool = "app"\n' + POOL + IDS)
        self.assertEqual(config.listeners["web"].use, ("ids",))
        self.assertEqual(config.routes[0].use, ())

    def test_faults(self) -> None:
        """Every error is told at once, with line, key, value and the nearest right name."""
        text = (
            WEB
            + '[[route]]\npool = "app"\nuse = ["idz", "ids", "ids", 7, { typ = "a" }]\n'
            + POOL
            + IDS
            + '[middleware.odd]\ntype = "header"\n'
            + '[middleware."a b"]\ntype = "headers"\n'
            + '[middleware.more]\ntype = "headers"\nrequests = 1\n'
        )
        found = "\n".join(faults(text))
        for part in (
            'route[0].use[0]: no middleware has this name; did you mean "ids"? (got "idz")',
            "route[0].use[2]: is in the list twice",
            "route[0].use[3]: must be text in quotes",
            'route[0].use[4]: the key "type" is missing',
            'middleware.odd.type: there is no middleware of this type; did you mean "headers"?',
            'middleware."a b": a name is letters',
            'middleware.more.requests: unknown key; did you mean "request"?',
        ):
            self.assertIn(part, found)
        self.assertEqual(len(faults(text)), 7)

    def test_wrong_shapes(self) -> None:
        """What is no table, no list or no name is refused where it stands."""
        for text, part in (
            (
                "middleware = 1\n" + WEB + POOL + "[[route]]\npool='app'\n",
                "named tables",
            ),
            (WHOLE + "[middleware]\nx = 1\n", ""),
            (WHOLE.replace('["ids", { type = "headers" }]', "1"), "list of names"),
            (WHOLE.replace('"ids", {', '"", {'), "must be the name"),
            (WHOLE.replace('{ type = "headers" }', "{ type = 1 }"), "text in quotes"),
        ):
            found = "\n".join(faults(text))
            self.assertTrue(found, text)
            self.assertIn(part, found)

    def test_included(self) -> None:
        """Files that are included may have middleware; a name that is there twice is refused."""
        text = 'include = "more.toml"\n' + WEB + ROUTE + POOL
        files = {"/etc/lolly/more.toml": IDS}
        self.assertIn("ids", read(text, None, **files).middlewares)
        found = faults(
            'include = "more.toml"\n' + WHOLE, files=FakeFiles({"/more.toml": IDS})
        )
        self.assertEqual(len(found), 1)
        self.assertIn("middleware.ids: is defined already in", found[0])


class PluginTests(SynchronousTestCase):
    TEXT = WHOLE + '[middleware.tell]\ntype = "telling"\nword = "b"\n'

    def test_settings_and_rules(self) -> None:
        """Settings of a plugin are read by its class, which may have a say about the whole."""
        self.assertEqual(faults(self.TEXT, names=NAMES), [])
        text = self.TEXT.replace('word = "b"', 'word = "wrong"')
        [found] = faults(text, names=NAMES)
        self.assertIn("middleware.tell.word: is wrong together with the rest", found)
        spot = WHOLE.replace('"headers" }', '"telling", word = "wrong" }', 1)
        [found] = faults(spot, names=NAMES)
        self.assertIn("route[0].use[1].word: is wrong together", found)

    def test_unknown_class(self) -> None:
        """Where plugins are not known the table stays as it is."""
        config = read(WHOLE)
        self.assertEqual(config.middlewares["ids"].type, "headers")
        any_type = Names(middleware=None)
        self.assertEqual(faults(self.TEXT, names=any_type), [])


class ConsequenceTests(SynchronousTestCase):
    def test_chain_and_unused(self) -> None:
        """What requests pass is told for each list, and a table that nobody uses."""
        config = read(WHOLE + '[middleware.idle]\ntype = "headers"\n')
        said = [str(one) for one in consequences(config)]
        self.assertIn("route * /: requests pass ids (headers), headers", said)
        self.assertIn(
            "warning: middleware idle: no listener, no route and no stream uses it",
            said,
        )

    def test_gate_behind_a_cache(self) -> None:
        """Who is to be let in has to be asked ahead of a cache, whether route or listener has that."""
        office = '[middleware.office]\ntype = "access"\nallow = ["10.0.0.0/8"]\n'
        pages = '[middleware.pages]\ntype = "cache"\ncache = "c"\n[cache.c]\n'
        for of_listener, of_route, doubted in (
            ("", '"pages", "office"', True),
            ('"pages"', '"office"', True),
            ("", '"office", "pages"', False),
            ('"office"', '"pages"', False),
        ):
            text = (
                f"{WEB}use = [{of_listener}]\n"
                f'[[route]]\npool = "app"\nuse = [{of_route}]\n{POOL}{office}{pages}'
            )
            found = [
                one.text
                for one in consequences(read(text))
                if "the cache has" in one.text
            ]
            self.assertEqual(len(found), int(doubted), text)

    def test_what_settings_say(self) -> None:
        """Facts and doubts of settings are told with whom they are about."""
        tell = Middleware("tell", "telling", Telling("b"))
        spot = Middleware("", "telling", Telling())
        config = read(WHOLE)
        route = attrs.evolve(config.routes[0], use=("tell", spot))
        config = attrs.evolve(config, middlewares={"tell": tell}, routes=(route,))
        self.assertEqual(
            list(middleware_consequences(config, lambda _: "r")),
            [
                ("route r", "requests pass tell (telling), telling", False),
                ("middleware tell", "says b", False),
                ("middleware tell", "says little", True),
                ("route r: telling", "says a", False),
                ("route r: telling", "says little", True),
            ],
        )


class ShownTests(SynchronousTestCase):
    def test_shown(self) -> None:
        """A middleware is shown as its table stands in a file."""
        ids = read(WHOLE).middlewares["ids"]
        keys = dict(flat(shown(ids)))
        self.assertEqual(keys["type"], '"headers"')
        self.assertEqual(keys["request.set.X-Id"], '"1"')

    def test_difference(self) -> None:
        """A change of a middleware is one of that object, by its keys."""
        new = WHOLE.replace('X-Id = "1"', 'X-Id = "2"')
        [change] = difference(read(WHOLE), read(new)).changes
        self.assertEqual(
            str(change), 'changed middleware ids: request.set.X-Id: "1" -> "2"'
        )
        more = WHOLE + '[middleware.new]\ntype = "headers"\n'
        [change] = difference(read(WHOLE), read(more)).changes
        self.assertEqual(str(change), "added middleware new")
        [change] = difference(read(WHOLE), read(WHOLE.replace('"ids", {', "{"))).changes
        self.assertEqual((change.kind, change.name), ("route", "* /"))

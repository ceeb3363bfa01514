"""Tests of what is said to be different between two configurations."""

from __future__ import annotations

import json

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.diff import difference, with_restart_left
from lolly_tx.config.facts.plan import planned
from lolly_tx.config.shown import HIDDEN, shown
from tests.config.samples import POOL, ROUTE, WEB, WHOLE, read


def said(before: str, after: str) -> list[str]:
    """The changes, as lines."""
    return [str(one) for one in difference(read(before), read(after)).changes]


class DifferenceTests(SynchronousTestCase):
    def test_the_same(self) -> None:
        """The same text, in another order and with defaults written out, is no change."""
        self.assertEqual(said(WHOLE, WHOLE), [])
        self.assertEqual(
            said(WHOLE, POOL + 'balance = "round_robin"\n' + WEB + ROUTE), []
        )

    def test_targets(self) -> None:
        """A target is known by its pool and its id, not by its place in the list."""
        after = WHOLE.replace(
            '["http://10.0.0.1:80", "http://10.0.0.2:80"]',
            '["http://10.0.0.3:80", { url = "http://10.0.0.1:80", weight = 5 }]',
        )
        self.assertEqual(
            said(WHOLE, after),
            [
                "removed target app/http-10-0-0-2-80",
                "added target app/http-10-0-0-3-80",
                "changed target app/http-10-0-0-1-80: weight: 1 -> 5",
            ],
        )

    def test_pools(self) -> None:
        """Pools come and go with their targets; a changed one names its keys."""
        more = '[pool.other]\ntargets = ["http://10.0.0.9:80"]\n'
        self.assertEqual(
            said(WHOLE, WHOLE + more),
            ["added pool other", "added target other/http-10-0-0-9-80"],
        )
        self.assertEqual(said(WHOLE + more, WHOLE), ["removed pool other"])
        changed = WHOLE + '[pool.app.health]\npath = "/up"\ninterval = "3s"\n'
        self.assertEqual(
            said(WHOLE, changed),
            [
                'changed pool app: health.path: none -> "/up",'
                ' health.interval: none -> "3s"'
            ],
        )
        self.assertEqual(
            said(changed, WHOLE),
            [
                'changed pool app: health.path: "/up" -> none,'
                ' health.interval: "3s" -> none'
            ],
        )

    def test_tables_of_defaults(self) -> None:
        """A table that comes or goes with nothing but defaults in it is told as one key."""
        checked = WHOLE + "[pool.app.health]\n"
        self.assertEqual(said(WHOLE, checked), ["changed pool app: health: none -> {}"])
        self.assertEqual(said(checked, WHOLE), ["changed pool app: health: {} -> none"])
        logged = "[access_log]\n" + WHOLE
        self.assertEqual(
            said(WHOLE, logged), ["changed setting access_log: none -> {}"]
        )
        self.assertEqual(
            said(WHOLE, "[access_log]\nformat = 'json'\n" + WHOLE),
            ['changed setting access_log.format: none -> "json"'],
        )
        slower = checked + 'interval = "3s"\n'
        [line] = said(checked, slower)
        self.assertRegex(
            line, r'^changed pool app: health.interval: "[0-9]+s" -> "3s"$'
        )
        self.assertEqual(
            said(slower, checked)[0].count("->"), 1, "back to a default is told"
        )

    def test_listeners_and_routes(self) -> None:
        """A listener is known by its name, a route by what it matches."""
        after = WHOLE.replace("tcp:8080", "tcp:8081").replace(
            'pool = "app"\n', 'pool = "app"\npath = "/a"\n', 1
        )
        self.assertEqual(
            said(WHOLE, after),
            [
                'changed listener web: endpoint: "tcp:8080" -> "tcp:8081"',
                "removed route * /",
                "added route * /a",
            ],
        )

    def test_order_of_routes(self) -> None:
        """Regular expressions are tried as written, so another order is a change."""
        one, two = (ROUTE + f'path = "~^/{word}"\n' for word in "ab")
        [line] = said(WEB + one + two + POOL, WEB + two + one + POOL)
        self.assertIn("changed setting route: order", line)

    def test_settings(self) -> None:
        """What belongs to no object is told by its whole key."""
        after = WHOLE + "[limits]\nconnections = 5\n[timeouts]\nhead = '3s'\n"
        self.assertEqual(
            said(WHOLE, after),
            [
                "changed setting limits.connections: 10000 -> 5",
                'changed setting timeouts.head: "10s" -> "3s"',
            ],
        )

    def test_needs_a_restart(self) -> None:
        """What only a restart changes is told apart, by name, and left as it is."""
        old, new = read(WHOLE), read(WHOLE + '[log]\nlevel = "warn"\n')
        found = difference(old, new)
        self.assertEqual(found.changes, ())
        self.assertEqual(
            list(map(str, found.restart)),
            ['changed setting log.level: "info" -> "warn"'],
        )
        self.assertEqual(with_restart_left(old, new), old)

    def test_secrets(self) -> None:
        """A secret that changed is told, but neither the old one nor the new."""
        text = WHOLE + '[admin]\nendpoint = "tcp:1:interface=127.0.0.1"\ntoken = "%s"\n'
        first, second = "a" * 16 + "X", "b" * 16 + "Y"
        [line] = said(text % first, text % second)
        self.assertEqual(line, "changed setting admin: as it was -> another secret")
        told = json.dumps(shown(read(text % first)))
        self.assertNotIn(first, told)
        self.assertIn(HIDDEN, told)

    def test_shown(self) -> None:
        """The settings in force as JSON-able values, with passwords in URLs and in header fields hidden."""
        text = WHOLE.replace("http://10.0.0.1:80", "http://10.0.0.1:80").replace(
            "[pool.app]\n",
            '[pool.app.health]\nheaders = { Authorization = "Basic Zm9v", X-A = "b" }\n[pool.app]\n',
        )
        told = shown(read(text))
        self.assertEqual(told["timeouts"]["head"], "10s")
        self.assertEqual(
            told["pool"]["app"]["health"]["headers"],
            {"Authorization": HIDDEN, "X-A": "b"},
        )
        self.assertEqual(told["pool"]["app"]["targets"][0]["id"], "http-10-0-0-1-80")
        json.dumps(told)

    def test_settings_of_plugins(self) -> None:
        """Settings of a plugin's own class are shown by its fields, and what looks like a secret is hidden."""

        @attrs.frozen
        class Own:
            path: str = "x"
            api_key: str = "sesame"
            hidden: str = attrs.field(default="sesame", repr=False)
            words: tuple[str, ...] = ()

        self.assertEqual(
            shown({"mine": Own(), "token": "sesame", "url": "http://u:p@h"}),
            {
                "mine": {"path": "x", "api_key": HIDDEN, "hidden": HIDDEN, "words": []},
                "token": HIDDEN,
                "url": f"http://{HIDDEN}@h",
            },
        )

    def test_plan(self) -> None:
        """A plan has the changes and the consequences of both, as JSON-able values."""
        old = read(WHOLE)
        told = planned(old, read(WHOLE + "[pool.app.health]\n"))
        self.assertEqual([one["name"] for one in told["changes"]], ["app"])
        self.assertEqual(told["restart"], [])
        after = told["consequences"]["after"]
        self.assertNotEqual(after, told["consequences"]["before"])
        json.dumps(told)
        self.assertEqual(planned(old, old)["changes"], [])

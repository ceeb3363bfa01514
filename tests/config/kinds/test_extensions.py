"""Settings of plugins in a configuration."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import Names
from lolly_tx.config.kinds.extensions import PluginTables, settings_from
from lolly_tx.config.kinds.plain import Duration
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.texts.reading import BUILT_IN_BALANCERS
from tests.config.samples import WHOLE, faults, read


@attrs.frozen
class Settings:
    """What some plugin wants to know."""

    path: str
    strict: bool = False
    count: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    factor: float = 1.0
    names: tuple[str, ...] = ()
    odd: object = None
    wait: float = attrs.field(default=1.0, metadata=about(Duration(0.0), "How long."))
    cache: dict[str, str] = attrs.field(init=False, factory=dict)


NAMES = Names(
    balance=BUILT_IN_BALANCERS | {"acme"},
    check=frozenset({"http", "acme"}),
    accrual=frozenset({"acme"}),
    sink=frozenset({"acme"}),
    settings={(k, "acme"): Settings for k in ("balance", "check", "accrual", "sink")},
)
WRONG = "{ path = 3, count = 0, pth = 1 }"


def told(text: str) -> list[str]:
    return faults(WHOLE + text, names=NAMES)


class PluginSettingsTests(SynchronousTestCase):
    def test_right(self) -> None:
        """Every kind of plugin takes its settings from its own place."""
        table = '{ path = "/x", strict = true, factor = 2, names = ["a"], wait = "2s" }'
        text = (
            f'balance = "acme"\nbalance_settings = {table}\n'
            f'health = {{ type = "acme", settings = {table} }}\n'
            f"passive.policies.acme = {table}\n[events]\nacme = {table}\n"
        )
        self.assertEqual(told(text), [])

    def test_wrong_values(self) -> None:
        """A wrong value and an unknown key are told with line, path and the nearest right one."""
        self.assertEqual(
            told(f'balance = "acme"\nbalance_settings = {WRONG}\n'),
            [
                "8: pool.app.balance_settings.path: must be text in quotes, not a number"
                " (got 3)",
                '8: pool.app.balance_settings.pth: unknown key; did you mean "path"?'
                " (got 1)",
            ],
        )

    def test_places(self) -> None:
        """Settings of checks, policies and sinks are validated as well."""
        for text, path in (
            (f'health = {{ type = "acme", settings = {WRONG} }}\n', "health.settings"),
            (
                f'checks = [{{ name = "a", type = "acme", settings = {WRONG} }}]\n',
                "checks[0].settings",
            ),
            (f"passive.policies.acme = {WRONG}\n", "passive.policies.acme"),
        ):
            found = told(text)
            self.assertEqual(len(found), 2, found)
            self.assertIn(f"pool.app.{path}.path: ", found[0])
        self.assertIn("events.acme.path: ", told(f"[events]\nacme = {WRONG}\n")[0])

    def test_validators(self) -> None:
        """What the class itself refuses is told with the place of the table."""
        [found] = told('[events]\nacme = { path = "x", count = 0 }\n')
        self.assertIn("events.acme: 'count' must be >= 1", found)

    def test_missing(self) -> None:
        """A key without a default has to be there, even when the whole table is missing."""
        [found] = told('balance = "acme"\n')
        self.assertIn('the key "path" is missing', found)

    def test_names(self) -> None:
        """Unknown policies and sinks are told with the nearest known."""
        [found] = told("passive.policies.acne = {}\n")
        self.assertIn('no plugin has this name; did you mean "acme"?', found)
        self.assertEqual(len(told("[events]\nacne = {}\nacme = 3\n")), 2)

    def test_no_table(self) -> None:
        """Something that is no table is told as such."""
        [found] = faults("events = 3\n" + WHOLE, names=NAMES)
        self.assertIn("must be a table of tables, not a number", found)

    def test_without_meaning(self) -> None:
        """Settings for a balancer that is built in are refused."""
        [found] = told("balance_settings = { a = 1 }\n")
        self.assertIn('has no meaning with balance = "round_robin"', found)

    def test_no_kind(self) -> None:
        """A plugin that declares a setting with a word in place of a kind is told what is one."""
        word: Any = "duration"
        with self.assertRaisesRegex(TypeError, "'duration' is no kind of setting"):
            about(word, "How long.")

    def test_balancer_refused(self) -> None:
        """Of a name that nobody knows it is told once: what goes with it is not held against another balancer."""
        for beside in (
            "balance_settings = { a = 1 }",
            'hash_key = "uri"',
            "consistent_hash = { bounded_load = 1.25 }",
            'sticky = { key = ["0123456789abcdef0123456789abcdef"] }',
            "least_time = {}",
        ):
            [found] = told(f'balance = "acne"\n{beside}\n')
            self.assertIn('has this name; did you mean "acme"?', found)

    def test_check_refused(self) -> None:
        """The same of the type of a check."""
        for beside in ("settings = { a = 1 }", 'steps = [{ send = "x" }]'):
            [found] = told(f'health = {{ type = "acne", {beside} }}\n')
            self.assertIn("no check has this type", found)

    def test_unknown_classes(self) -> None:
        """Where the plugins are not known, any settings go."""
        text = 'balance = "x"\nbalance_settings = { a = 1 }\nhash_key = "uri"\n'
        self.assertEqual(faults(WHOLE + text, names=Names(balance=None)), [])
        config = read(WHOLE + '[events]\nother = { a = "x" }\n')
        self.assertEqual(config.events["other"], {"a": "x"})
        self.assertEqual(PluginTables("sink").show({}), "{}")


class SettingsFromTests(SynchronousTestCase):
    def test_made(self) -> None:
        """A program gets the same settings from a table."""
        made = settings_from(Settings, {"path": "/x", "odd": [1], "wait": "1m"})
        self.assertEqual(
            (made.path, made.count, made.odd, made.wait), ("/x", 3, [1], 60.0)
        )

    def test_refused(self) -> None:
        """And the same refusals, with the key."""
        for raw, message in (
            ({}, 'the key "path" is missing'),
            ({"path": 3}, "path: must be text in quotes, not a number"),
            ({"path": "x", "count": 0}, "'count' must be >= 1: 0"),
            ({"path": "x", "names": ["a", 3]}, "names.1: must be text"),
        ):
            with self.assertRaises(Rejected) as caught:
                settings_from(Settings, raw)
            self.assertIn(message, caught.exception.message)


class AdminTests(SynchronousTestCase):
    ADMIN = WHOLE + '[admin]\nendpoint = "tcp:8081:interface=127.0.0.1"\n'

    def test_token(self) -> None:
        """The token comes from the environment and is in no representation."""
        environ = {"TOKEN": "a-token-of-16-letters"}
        config = read(
            self.ADMIN + 'token = "${TOKEN}"\nhosts = ["proxy.lan"]\n', environ
        )
        assert config.admin is not None
        self.assertEqual(config.admin.token, environ["TOKEN"])
        self.assertEqual(config.admin.hosts, ("proxy.lan",))
        self.assertNotIn(environ["TOKEN"], repr(config))

    def test_bad_token(self) -> None:
        """A short token, one that cannot stand in a field, or a misspelt key is refused unseen."""
        for line in (
            'token = "tooshort"',
            'token = "tooshort but with blanks"',
            'tokn = "tooshort-but-hidden"',
            'token = ["tooshort"]',
        ):
            [found] = faults(self.ADMIN + line + "\n")
            self.assertNotIn("tooshort", found)

    def test_trace_header(self) -> None:
        """A header that asks for traces needs the token it carries."""
        explain = '[explain]\nheader = "X-Trace"\n'
        [found] = faults(self.ADMIN + explain)
        self.assertIn("explain.header: needs admin.token", found)
        # One that is wrong is a problem already.
        self.assertEqual(len(faults(self.ADMIN + 'token = "x"\n' + explain)), 1)
        token = 'token = "0123456789abcdef"\n'
        self.assertEqual(faults(self.ADMIN + token + explain), [])

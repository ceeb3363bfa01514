"""Tests of the settings of access logs."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import parse
from lolly_tx.config.accesslogs import AccessLog
from lolly_tx.config.diff import difference
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.kinds.problems import ConfigErrors, Rejected
from lolly_tx.config.kinds.variables import PREFIXES, VARIABLES, parts_of
from lolly_tx.config.model import Config

TEXT = """
{top}
[listener.web]
endpoint = "tcp:8080"
{listener}
[[route]]
pool = "p"
{route}
[pool.p]
targets = ["http://127.0.0.1:9001"]
"""


def read(top: str = "", listener: str = "", route: str = "") -> Config:
    return parse(TEXT.format(top=top, listener=listener, route=route), "/t.toml")


class PartsTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """A text is taken apart into plain text and variables."""
        for text, parts in (
            ("", (("", ""),)),
            ("a", (("a", ""),)),
            ("$status", (("", "status"), ("", ""))),
            ("a$${b}$$", (("a${b}$", ""),)),
            ("${uri}x $pool.", (("", "uri"), ("x ", "pool"), (".", ""))),
            ("$header_X_Name", (("", "header_x_name"), ("", ""))),
            ("$HEADER_a", (("", "header_a"), ("", ""))),
            ("$cookie_Ab$arg_Cd", (("", "cookie_Ab"), ("", "arg_Cd"), ("", ""))),
        ):
            self.assertEqual(parts_of(text), parts, text)

    def test_wrong(self) -> None:
        """Names that nobody knows are refused with the nearest one; a dollar alone is, too."""
        for text, message in (
            ("$statsu", 'no variable is called $statsu; did you mean "status"?'),
            ("$header_", "no variable is called $header_"),
            ("5 $", "has a $ without a name; a dollar itself is written $$"),
            ("${a b}", "has a $ without a name"),
        ):
            error = self.assertRaises(Rejected, parts_of, text)
            self.assertIn(message, error.message)


class SettingsTests(SynchronousTestCase):
    def wrong(self, *texts: str) -> str:
        return str(self.assertRaises(ConfigErrors, read, *texts))

    def test_formats(self) -> None:
        """Two words, or a text with variables."""
        for text in ("combined", "json", "$client $method $uri $status $$"):
            log = read(f'access_log = {{ format = "{text}" }}').access_log
            assert log is not None
            self.assertEqual(log.format, text)

    def test_wrong_formats(self) -> None:
        """A word misspelt is told from a text, and a variable that is unknown is named."""
        for text, message in (
            (
                "jsn",
                'with variables such as "$client $method $uri $status"; did you mean "json"?',
            ),
            ("plain", 'must be "combined", "json", or a text with variables'),
            ("$client $nonsense", "no variable is called $nonsense"),
            ("$client é", "must be printable ASCII, in one line"),
            ("$client \\n", "must be printable ASCII, in one line"),
        ):
            said = self.wrong(f'access_log = {{ format = "{text}" }}')
            self.assertIn(message, said)
            self.assertIn("access_log.format", said)

    def test_fields(self) -> None:
        """Members of JSON objects are variables under names of one's own."""
        top = 'access_log = { format = "json", fields = { r = "$route", a = "$header_Accept" } }'
        log = read(top).access_log
        assert log is not None
        self.assertEqual(dict(log.fields), {"r": "route", "a": "header_accept"})

    def test_wrong_fields(self) -> None:
        """Taken names, texts that are no variable, and fields without JSON are refused."""
        for fields, message in (
            ('{ status = "$status" }', "is there already; take another name"),
            ('{ "a b" = "$status" }', "a name is letters, digits, and _ . -"),
            ('{ a = "x$status" }', "must be one variable such as"),
            ('{ a = "$nonsense" }', "no variable is called $nonsense"),
            ("3", "must be a table of variables, not a number"),
        ):
            said = self.wrong(f'access_log = {{ format = "json", fields = {fields} }}')
            self.assertIn(message, said)
        said = self.wrong('access_log = { fields = { r = "$route" } }')
        self.assertIn('are of format = "json"', said)
        said = self.wrong("", 'access_log = { fields = { r = "$route" } }')
        self.assertIn("listener.web.access_log.fields", said)
        said = self.wrong("", "", 'access_log = { fields = { r = "$route" } }')
        self.assertIn("route[0].access_log.fields", said)

    def test_samples(self) -> None:
        """What a sample leaves out is said, and so is a text that hides that it is one."""
        top = 'access_log = { sample = 0.1, format = "FORMAT" }'
        for format, doubt in (("json", False), ("$uri", True), ("$uri $sample", False)):
            found = consequences(read(top.replace("FORMAT", format)))
            told = [one for one in found if one.about == "access_log"]
            self.assertEqual([one.warning for one in told], [False, True][: 1 + doubt])
            self.assertIn(
                "0.1 of the answers below 400 after one attempt, less than 1s",
                told[0].text,
            )
        found = consequences(read("", "access_log = { sample = 0, slow = 0 }"))
        [text] = [one.text for one in found if "access_log" in one.about]
        self.assertTrue(
            text.startswith("0 of the answers below 400 after one attempt have")
        )
        self.assertIn("must be between 0", self.wrong("access_log = { sample = 1.5 }"))

    def test_mask(self) -> None:
        """Names that are hidden, too."""
        log = read('access_log = { mask = ["token", "X-Customer", "a[b]"] }').access_log
        assert log is not None
        self.assertEqual(log.mask, ("token", "X-Customer", "a[b]"))
        for name in ("a b", "a=b", "", "é", "a" * 129):
            said = self.wrong(f'access_log = {{ mask = ["{name}"] }}')
            self.assertIn("access_log.mask[0]", said)

    def test_syslog(self) -> None:
        """A syslog daemon in place of a file, by a UNIX socket or UDP."""
        for path in (
            "syslog:unix:/dev/log",
            "syslog:udp:192.0.2.9:514",
            "syslog:udp:[2001:db8::1]:514",
            "syslog:udp:logs.example:1514",
        ):
            log = read(f'access_log = {{ path = "{path}" }}').access_log
            assert log is not None
            self.assertEqual((log.path, log.in_file), (path, False))
        log = read('access_log = { path = "syslog:unix:run/log" }').access_log
        assert log is not None
        self.assertEqual(log.path, "syslog:unix:/run/log")
        for path, message in (
            ("syslog:", 'must be as "syslog:unix:/dev/log"'),
            ("syslog:tcp:h:514", 'must be as "syslog:unix:/dev/log"'),
            ("syslog:unix:", 'must be as "syslog:unix:/dev/log"'),
            ("syslog:udp:h", 'did you mean "syslog:udp:h:514"?'),
            ("syslog:udp:h:0", "needs a port between 1 and 65535"),
            ("syslog:udp:a b:514", 'must be as "syslog:unix:/dev/log"'),
        ):
            said = self.wrong(f'access_log = {{ path = "{path}" }}')
            self.assertIn(message, said)

    def test_of_listener_and_route(self) -> None:
        """A listener and a route may have a log of their own, or none."""
        config = read("", 'access_log = { path = "/w.log" }', "access_log = false")
        self.assertEqual(config.listeners["web"].access_log, AccessLog(path="/w.log"))
        self.assertIs(config.routes[0].access_log, False)
        self.assertIn("not a boolean", self.wrong("", "access_log = true"))

    def test_difference(self) -> None:
        """A route that is written no more is a change of the route."""
        [change] = difference(read(), read(route="access_log = false")).changes
        self.assertEqual((change.kind, change.action), ("route", "changed"))

    def test_names(self) -> None:
        """A log knows which variables its lines have."""
        self.assertTrue(AccessLog(format="$route").names("route"))
        self.assertFalse(AccessLog(format="$status").names("route"))
        self.assertFalse(AccessLog().names("route"))
        self.assertTrue(AccessLog(format="json", fields={"r": "route"}).names("route"))
        self.assertTrue(AccessLog(format="json").names("status"))


class PageTests(SynchronousTestCase):
    def test_variables(self) -> None:
        """The page about logs has a row for each variable, with what the program says of it."""
        page = (Path(__file__).parents[2] / "docs" / "logging.md").read_text()
        for name, doc in VARIABLES.items():
            self.assertIn(f"| `${name}` | {doc} |\n", page)
        for name, doc in PREFIXES.items():
            self.assertIn(f"| `${name}NAME` | {doc} |\n", page)

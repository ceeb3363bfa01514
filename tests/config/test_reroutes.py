"""Tests of the settings of middleware that changes where requests and clients go: rewrite, location, mirror, fault."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.middleware.fault import FOREVER
from lolly_tx.config.shown import flat, shown
from tests.config.samples import WHOLE, faults, read


def table(type: str, keys: str) -> str:
    """A configuration with such a middleware."""
    return f'{WHOLE}[middleware.m]\ntype = "{type}"\n{keys}\n'


class RewriteTests(SynchronousTestCase):
    def test_right(self) -> None:
        """Rules are read in order, each with its flag; what they capture has a name."""
        config = read(
            table(
                "rewrite",
                "rules = [{ match = '^/(?P<id>x)$', to = '/$id' },"
                " { match = '(?i)^/y', to = 'https://$host/', flag = 'permanent' }]",
            )
        )
        steps = config.middlewares["m"].settings.steps
        self.assertEqual([step.flag for step in steps], ["last", "permanent"])
        self.assertEqual(steps[0].to, "/$id")

    def test_wrong(self) -> None:
        """Each fault has its sentence."""
        for rules, why in (
            ("[]", "must have a rule at least"),
            ("[{ match = '', to = '/' }]", "^ is every path"),
            ("[{ match = '*', to = '/' }]", "no valid regular expression"),
            ("[{ match = 'x', to = 'https://a.example/' }]", "only a redirect leads"),
            ("[{ match = '(a)\\1', to = '/' }]", "refers to a group"),
        ):
            self.assertIn(why, faults(table("rewrite", f"rules = {rules}"))[0])


class LocationTests(SynchronousTestCase):
    def test_right(self) -> None:
        """What is written is shown as it was."""
        config = read(
            table(
                "location",
                "rules = [{ from = 'http://a:80/x', to = '/' }, { from = '/y', to = '/z' },"
                " { from = '~^x', to = '$host' }]\n"
                "cookie_domain = ''\ncookie_path = { '/app/' = '/' }",
            )
        )
        kept = dict(flat(shown(config.middlewares["m"].settings)))
        self.assertEqual(len(config.middlewares["m"].settings.steps), 3)
        self.assertTrue(
            any("/app/" in key or "/app/" in value for key, value in kept.items())
        )

    def test_wrong(self) -> None:
        """Each fault has its sentence."""
        for keys, why in (
            ("rules = [{ from = 'x', to = '/' }]", "must be a URL such as"),
            ("rules = [{ from = '//a@b/', to = '/' }]", "must be a URL such as"),
            ("rules = [{ from = 'a b', to = '/' }]", "ASCII without blanks"),
            ("rules = [{ from = '~(', to = '/' }]", "no valid regular expression"),
            ("cookie_domain = 5", "must be text or a table"),
            ("cookie_domain = 'a b'", "must be a domain"),
            ("cookie_path = { 'a' = '/' }", "must be for a path"),
        ):
            self.assertIn(why, faults(table("location", keys))[0])


class MirrorTests(SynchronousTestCase):
    def test_told(self) -> None:
        """The pool has to be there; what it may take is told, and who uses the pool."""
        self.assertIn(
            "no pool has this name", faults(table("mirror", "pool = 'ap'"))[0]
        )
        config = read(
            table("mirror", "pool = 'copies'").replace(
                'pool = "app"', 'pool = "app"\nuse = ["m"]'
            )
            + '[pool.copies]\ntargets = ["http://10.0.0.9:80"]\n'
        )
        said = [str(one) for one in consequences(config)]
        self.assertIn(
            "middleware m: pool copies gets copies of 100 % of the requests, at most 100 at once"
            " (6.25 MiB of bodies)",
            said,
        )
        self.assertFalse([one for one in said if "no route leads to it" in one])


class FaultTests(SynchronousTestCase):
    def test_moments(self) -> None:
        """A moment is a text or a date of TOML, with its time zone."""
        for written in ("'2026-11-28T18:00:00Z'", "2026-11-28T19:00:00+01:00"):
            config = read(table("fault", f"status = 503\nuntil = {written}"))
            self.assertEqual(config.middlewares["m"].settings.until, 1795888800.0)
        config = read(table("fault", "status = 503\nuntil = ''"))
        self.assertEqual(config.middlewares["m"].settings.until, FOREVER)

    def test_wrong(self) -> None:
        """Each fault has its sentence."""
        for keys, why in (
            ("", "does nothing"),
            ("status = 100", "from 200 to 599"),
            ("status = 503\nuntil = '2026-11-28T18:00:00'", "needs a time zone"),
            ("status = 503\nuntil = 'soon'", "must be a moment"),
        ):
            self.assertIn(why, faults(table("fault", keys))[0])

    def test_told(self) -> None:
        """What happens to how many, and that it has no end."""
        keys = "delay = '2s'\ndelay_percent = 10\nstatus = 500\nabort_percent = 5"
        said = [str(one) for one in consequences(read(table("fault", keys)))]
        for line in (
            "middleware m: holds 10 % of the requests for 2s",
            "middleware m: answers 5 % of the requests with 500",
        ):
            self.assertIn(line, said)
        self.assertTrue([one for one in said if "has no end: set until" in one])
        quiet = read(table("fault", keys + "\nheader = 'X-F'"))
        self.assertFalse([one for one in consequences(quiet) if "no end" in str(one)])

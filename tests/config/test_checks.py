"""The settings of active checks, of several checks together, and of agents."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import Names
from lolly_tx.config.checks import Check, Health, Step, TargetAgent
from lolly_tx.domain.checks.cadence import Cadence
from lolly_tx.domain.checks.health import Thresholds
from tests.config.samples import WHOLE, faults, pool_fault, read


def health(lines: str) -> Health:
    """The health table of a pool with these lines."""
    settings = read(WHOLE + "[pool.app.health]\n" + lines).pools["app"].health
    assert settings is not None
    return settings


class HealthTests(SynchronousTestCase):
    def test_steps(self) -> None:
        """Steps are text with its line ends, bytes, or regular expressions."""
        got = health(
            'type = "script"\n'
            'steps = [{ send = "PING\\r\\n", expect = "+PONG" },'
            ' { send_hex = "05 01", expect_regex = "^x", connect = true },'
            ' { expect_hex = "ff", port = 7000 }]\n'
        )
        self.assertEqual(
            got.steps,
            (
                Step(send="PING\r\n", expect="+PONG"),
                Step(send_hex="05 01", expect_regex="^x", connect=True),
                Step(expect_hex="ff", port=7000),
            ),
        )

    def test_cadence(self) -> None:
        """Intervals that are not set are that of `interval`."""
        self.assertEqual(health("").cadence, Cadence(10.0, 10.0, 10.0, 10.0))
        got = health(
            "interval_suspect = '1s'\ninterval_down = 2\ninterval_idle = '1m'\n"
            "defer = 3\nrise = 2\nfall = 3\n"
        )
        self.assertEqual(got.cadence, Cadence(10.0, 1.0, 2.0, 60.0, 3))
        self.assertEqual(got.thresholds, Thresholds(2, 3))
        self.assertTrue(got.observes)
        self.assertFalse(health("").observes)
        self.assertTrue(health("observe = true").observes)

    def test_plugins(self) -> None:
        """A plugin's type may be named where it is known, with settings of its own."""
        text = WHOLE + "health = { type = 'load', settings = { most = 2 } }\n"
        self.assertIn('did you mean "tcp"', pool_fault("health.type = 'tpc'\n"))
        self.assertIn("no check has this type", faults(text)[0])
        self.assertEqual(
            faults(text, names=Names(check=frozenset({"http", "load"}))), []
        )
        self.assertIn("must be a table", pool_fault("health = { settings = 3 }\n"))

    def test_values(self) -> None:
        """Values that cannot be meant are told."""
        for line, part in (
            ("send_hex = 'abc', expect = 'x'", "pairs of hexadecimal digits"),
            ("send = 'x', expect_regex = '('", "no valid regular expression"),
            ("send = 3, expect = 'x'", "must be text"),
            (f"send = '{'x' * 65537}', expect = 'x'", "64 KiB"),
            (f"send_hex = '{'00' * 65537}', expect = 'x'", "64 KiB"),
        ):
            found = pool_fault(
                f"health = {{ type = 'script', steps = [{{{line}}}] }}\n"
            )
            self.assertIn(part, found)


class RulesTests(SynchronousTestCase):
    def test_without_meaning(self) -> None:
        """Settings a type does not look at are errors."""
        for kind in ("tcp", "tls"):
            for line in ("path = '/x'", "drain_on_404 = true", "match.body = 'x'"):
                found = pool_fault(f"health = {{ type = '{kind}', {line} }}\n")
                self.assertIn(f'has no meaning with type = "{kind}"', found)
        for line in ("steps = [{ send = 'x' }]", "settings = { x = 1 }"):
            self.assertIn("no meaning", pool_fault(f"health = {{ {line} }}\n"))

    def test_steps(self) -> None:
        """Steps that say nothing, or two things at once, are errors."""
        for kind, steps, part in (
            ("script", "", "are missing"),
            ("script", "{}", "does nothing"),
            ("script", "{ send = 'a', send_hex = '00' }", "cannot stand beside send"),
            (
                "script",
                "{ expect = 'a', expect_regex = 'b' }",
                "cannot stand beside expect",
            ),
            ("udp", "{ expect = 'a', port = 3 }", "no meaning with type"),
            ("udp", "{ expect = 'a', connect = true }", "no meaning with type"),
            ("udp", "{ send = 'a' }", "expect nothing"),
        ):
            found = pool_fault(f"health = {{ type = '{kind}', steps = [{steps}] }}\n")
            self.assertIn(part, found)

    def test_endpoint_strings(self) -> None:
        """What needs a host and a port is refused for targets that are endpoint strings."""
        text = WHOLE.replace('"http://10.0.0.1:80"', "{ endpoint = 'unix:/x' }")
        for line, part in (
            ("health = { type = 'udp', steps = [{ expect = 'x' }] }", "cannot probe"),
            (
                "health = { type = 'script', steps = [{ expect = 'x', port = 9 }] }",
                "no meaning for targets",
            ),
            ("agent.port = 9", "is needed for targets"),
        ):
            found = faults(text + line + "\n")
            self.assertEqual(len(found), 1, found)
            self.assertIn(part, found[0])
        self.assertEqual(faults(text + "agent = { port = 9, host = 'boss' }\n"), [])

    def test_intervals(self) -> None:
        """An interval below 10 ms is too short, by whatever name."""
        for key in ("interval_suspect", "interval_down", "interval_idle"):
            self.assertIn("must be 10ms or more", pool_fault(f"health.{key} = '1ms'\n"))


class SeveralTests(SynchronousTestCase):
    A = "[[pool.app.checks]]\nname = 'a'\n"
    B = "[[pool.app.checks]]\nname = 'b'\ntype = 'tcp'\nadvisory = true\n"

    def test_read(self) -> None:
        """Several checks have names, and all settings a single one has."""
        pool = read(WHOLE + "quorum = 1\n" + self.A + self.B).pools["app"]
        self.assertEqual(
            pool.checks,
            (Check(name="a"), Check(name="b", type="tcp", advisory=True)),
        )
        self.assertEqual(pool.quorum, 1)

    def test_rules(self) -> None:
        """Checks that contradict each other are errors."""
        for text, part in (
            ("health = {}\n" + self.A, "cannot stand beside health"),
            ("quorum = 1\n", "has no meaning without checks"),
            ("quorum = 2\n" + self.A + self.B, "is more than the 1 checks"),
            (self.B, "are all advisory"),
            (self.A + self.A, "is the name of another check"),
            (self.A + "method = 'HEAD'\nmatch.body = 'x'\n", "HEAD has no body"),
            (self.A.replace("'a'", "'a b'"), "must be letters, digits"),
            (self.A.replace("name = 'a'", ""), '"name" is missing'),
            (self.A + "type = 'script'\n", "are missing"),
        ):
            self.assertIn(part, pool_fault(text))

    def test_alike(self) -> None:
        """Checks are alike when all but their name and their vote is equal."""
        self.assertEqual(Check(name="a", advisory=True).alike, Health().alike)
        self.assertEqual(Health(headers={}).alike, Health().alike)
        self.assertNotEqual(Health(rise=2).alike, Health().alike)

    def test_agent(self) -> None:
        """An agent has a port, and is asked every two seconds."""
        agent = (
            read(WHOLE + "agent = { port = 8099, send = 'x\\n' }\n").pools["app"].agent
        )
        self.assertEqual(agent, TargetAgent(8099, send="x\\n"))
        self.assertIn('"port" is missing', pool_fault("agent = {}\n"))

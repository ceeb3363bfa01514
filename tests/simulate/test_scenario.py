"""Scenario files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.simulate.latency import Constant, Exponential, Lognormal, Uniform
from lolly_tx.simulate.scenario import (
    Scenario,
    chosen,
    find,
    load_scenario,
    parse_scenario,
)
from tests.simulate.texts import CALM, DEAD, ROUTE, THREE, config

TWO_POOLS = (
    ROUTE
    + """
[pool.site]
targets = ["http://10.0.0.1:80"]
[pool.api]
targets = ["http://10.0.0.9:80"]
"""
)


class ParseTests(SynchronousTestCase):
    def scenario(self, text: str, config_text: str = THREE) -> Scenario:
        return parse_scenario(text, "s.toml", config(config_text))[0]

    def problems(self, text: str, config_text: str = THREE, pool: str = "") -> str:
        error = self.assertRaises(
            ConfigErrors, parse_scenario, text, "s.toml", config(config_text), pool
        )
        return str(error)

    def test_defaults(self):
        """Only the duration has to be given."""
        scenario = self.scenario('duration = "1h"')
        self.assertEqual(scenario.duration, 3600)
        self.assertEqual(scenario.load.rate, 10)
        self.assertEqual((scenario.targets, scenario.faults), ((), ()))
        self.assertEqual(scenario.file, "s.toml")

    def test_latencies(self):
        """A latency is a duration or one of three distributions."""
        for written, read in (
            ('"20ms"', Constant(0.02)),
            ("0.5", Constant(0.5)),
            ('{ median = "20ms", p99 = "1s" }', Lognormal(0.02, 1.0)),
            ('{ low = "1ms", high = "3ms" }', Uniform(0.001, 0.003)),
            ('{ mean = "5ms" }', Exponential(0.005)),
        ):
            scenario = self.scenario(CALM + f"[[target]]\nlatency = {written}\n")
            self.assertEqual(scenario.targets[0].latency, read)

    def test_wrong_latencies(self):
        """A distribution that cannot be meant is named with its line."""
        for written, message in (
            ("true", "must be a duration"),
            ("{ median = 1 }", "must have median and p99, low and high, or mean"),
            ("{ median = 1, p99 = 0.5 }", "latency.p99: must not be below median"),
            ("{ low = 2, high = 1 }", "latency.high: must not be below low"),
            ("{ mediam = 1, p99 = 2 }", 'unknown key; did you mean "median"?'),
            ("{ mean = 'x' }", "latency.mean: must be a duration"),
        ):
            text = CALM + f"[[target]]\nlatency = {written}\n"
            self.assertIn(message, self.problems(text))
            self.assertIn("s.toml:6: target[0].latency", self.problems(text))

    def test_every_problem_at_once(self):
        """All errors come with file, line, key, value and the nearest right word."""
        text = (
            "duratoin = 5\n[load]\nrate = -1\n[[fault]]\nkind = 'refused'\nat = 1\n"
            "on = 4\n[[operator]]\nat = 1\nword = 'up'\non = '10.0.0.22:80'\n"
        )
        self.assertEqual(
            self.problems(text).splitlines(),
            [
                's.toml: the key "duration" is missing',
                's.toml:1: duratoin: unknown key; did you mean "duration"? (got 5)',
                "s.toml:3: load.rate: must be between 0 and 1e+06 (got -1)",
                "s.toml:5: fault[0].kind: is none of the choices;"
                ' did you mean "refuse"? (got "refused")',
                "s.toml:7: fault[0].on: there is no target 4: the pool has 3 (got 4)",
                "s.toml:11: operator[0].on: no target is called '10.0.0.22:80';"
                ' did you mean "http://10.0.0.2:80"? (got "10.0.0.22:80")',
            ],
        )

    def test_wrong_on(self):
        """`on` names targets."""
        for written, message in (
            ("true", 'must be a target\'s position, id or address, or "all"'),
            ("[]", "names no target"),
        ):
            text = CALM + f"[[fault]]\nkind='hang'\nat=1\non = {written}\n"
            self.assertIn(message, self.problems(text))

    def test_no_toml(self):
        """A file that is no TOML is refused with the line."""
        self.assertIn("s.toml:1: is no valid TOML", self.problems("duration = ="))

    def test_tables_of_the_wrong_type(self):
        """Tables that are none are named."""
        text = 'duration = 1\nload = 5\nfault = { on = 1 }\noperator = ["x"]\n'
        found = self.problems(text)
        self.assertIn("load: must be a table", found)
        self.assertIn("fault: must be a list", found)
        self.assertIn("operator[0]: must be a table", found)

    def test_pool(self):
        """With several pools the scenario or the command line names one."""
        pick = parse_scenario('duration=1\npool="api"', "s", config(TWO_POOLS))[1]
        self.assertEqual(pick.name, "api")
        given = parse_scenario("duration=1", "s", config(TWO_POOLS), "site")[1]
        self.assertEqual(given.name, "site")
        self.assertIn(
            "has more than one pool: name it, here or with --pool; known: api, site",
            self.problems("duration=1", TWO_POOLS),
        )
        wrong = self.problems('duration=1\npool="apii"', TWO_POOLS)
        self.assertIn('no such pool; did you mean "api"?', wrong)
        self.assertIn("pool", self.problems("duration=1\npool=5", TWO_POOLS))

    def test_find(self):
        """Targets go by position, id, URL or host and port."""
        targets = parse_scenario(CALM, "s", config(THREE))[1].targets
        for name in (2, "http-10-0-0-2-80", "http://10.0.0.2:80", "10.0.0.2:80"):
            self.assertIs(find(name, targets), targets[1])
        self.assertIsNone(find(0, targets))
        self.assertIsNone(find("x", targets))
        self.assertEqual(chosen((), targets), targets)
        self.assertEqual(chosen((3, 1), targets), (targets[2], targets[0]))

    def test_all(self):
        """`on = "all"` is the same as leaving it out."""
        text = CALM + "[[fault]]\nkind='hang'\nat=1\non = 'all'\n"
        self.assertEqual(self.scenario(text).faults[0].on, ())


class LoadTests(SynchronousTestCase):
    def test_files(self):
        """A scenario is read from a file; one that cannot be read is named."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = Path(folder, "s.toml")
        path.write_text(DEAD)
        scenario, settings = load_scenario(str(path), config(THREE))
        self.assertEqual((scenario.faults[0].lasts, settings.name), (60, "site"))
        for content, reason in ((b"\xff", "is not UTF-8"), (None, "No such file")):
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
            error = self.assertRaises(
                ConfigErrors, load_scenario, str(path), config(THREE)
            )
            self.assertIn(f"{path}: cannot be read: {reason}", str(error))

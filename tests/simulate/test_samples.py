"""The scenarios that ship in etc/scenarios, each run for a part of its time."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import load
from lolly_tx.config.model import Config
from lolly_tx.simulate.findings import Values, findings
from lolly_tx.simulate.report import report
from lolly_tx.simulate.scenario import load_scenario
from lolly_tx.simulate.world import simulate

FOLDER = Path(__file__).resolve().parents[2] / "etc" / "scenarios"


def config(name: str) -> Config:
    return load(str(FOLDER / "config" / f"{name}.toml"), {})


def played(name: str, with_config: str = "plain", minutes: float = 3) -> Values:
    loaded = config(with_config)
    scenario, settings = load_scenario(str(FOLDER / f"{name}.toml"), loaded)
    duration = min(scenario.duration, minutes * 60)
    scenario = attrs.evolve(scenario, duration=duration)
    return findings(simulate(loaded, settings, scenario))


class SampleTests(SynchronousTestCase):
    def test_all(self):
        """Each says what it shows, runs, and makes a report."""
        names = sorted(path.stem for path in FOLDER.glob("*.toml"))
        self.assertGreater(len(names), 10)
        for name in names:
            kind = name.partition("-")[0]
            kind = kind if kind in ("stream", "datagrams") else "plain"
            found = played(name, kind, minutes=0.5)
            self.assertTrue(found["shows"], name)
            self.assertTrue(report(found))

    def test_dead(self):
        """A dead backend is out within a second, and no client notices."""
        found = played("dead-backend")
        self.assertEqual(found["totals"]["errors"], 0)
        self.assertLess(found["faults"][0]["out_after"], 1)

    def test_no_network(self):
        """When the proxy has no network all targets are back the moment it has one, and are held to be well."""
        found = played("no-network")
        for fault in found["faults"]:
            self.assertEqual(fault["back_after"], 0)
        words = [e["new"] for e in found["timeline"] if e["fact"] == "local_fault"]
        self.assertEqual(words, ["on", "off"])

    def test_dead_database(self):
        """A database that dies cuts its sessions, and nobody who comes then is refused."""
        found = played("stream-dead-database", "stream", 6)
        self.assertEqual(found["totals"]["errors"], 0)
        self.assertGreater(found["sessions"]["ended"]["target_reset"], 20)
        self.assertLess(found["faults"][0]["out_after"], 5)

    def test_dead_resolver(self):
        """What is refused costs each client one question at most, and what is silent all until checks see it."""
        found = played("datagrams-dead-resolver", "datagrams", 3.2)
        refused, silent = found["faults"]
        self.assertLess(refused["out_after"], 1)
        self.assertLessEqual(silent["out_after"], silent["out_bound"])
        self.assertLess(found["totals"]["error_share"], 0.02)
        lost = found["lost"]
        self.assertGreater(lost["no answer"], lost["refused by the target's machine"])

    def test_flapping(self):
        """With 503 in `retry.on` no client sees one of a flapping target's 503s."""
        self.assertGreater(played("flapping")["totals"]["errors"], 100)
        self.assertEqual(played("flapping", "tuned", 5)["totals"]["errors"], 0)

    def test_half_500(self):
        """Outlier detection ejects who answers 500 to half, and then nobody sees one."""
        found = played("half-500", "outlier", 5)
        (fault,) = found["faults"]
        self.assertIn("outlier", fault["out_by"])
        self.assertLess(fault["out_after"], 10)
        without = played("half-500", "plain", 5)
        self.assertLess(found["totals"]["errors"], without["totals"]["errors"] / 10)

    def test_total_outage(self):
        """After a total outage all targets are back within the computed time."""
        for fault in played("total-outage", minutes=5)["faults"]:
            self.assertLessEqual(fault["back_after"], fault["back_bound"] + 0.1)

    def test_rolling_deploy(self):
        """Who drains a target before its restart loses no request."""
        found = played("rolling-deploy-drained", minutes=3)
        self.assertEqual(found["totals"]["errors"], 0)

    def test_retry_storm(self):
        """Under overload the budget keeps further attempts within their share."""
        found = played("retry-storm", minutes=2.3)
        self.assertLess(found["totals"]["amplification"], 1.25)

    def test_healthy(self):
        """Half an hour with 1 % of errors on all targets ejects nobody."""
        for name in ("outlier", "tuned"):
            totals = played("healthy-day-20", name, 30)["totals"]
            self.assertEqual(totals["false_ejections"] + totals["false_downs"], 0)

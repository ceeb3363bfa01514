"""Whole simulations: what happens to requests, targets and times."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.probetimes import (
    detection_seconds,
    recovery_seconds,
    refusal_seconds,
)
from lolly_tx.simulate.findings import findings
from lolly_tx.simulate.report import report
from tests.simulate.texts import CALM, CHECKED, DEAD, THREE, UNPASSIVE, run

DEAD_TEXT = """
import sys
from tests.simulate.texts import CHECKED, DEAD, run
from lolly_tx.simulate.findings import findings
import json
sys.stdout.write(json.dumps(findings(run(CHECKED, DEAD, 7))))
"""


class CalmTests(SynchronousTestCase):
    def test_shares(self):
        """Healthy targets of equal weight take equal shares, and nobody sees an error."""
        done = run(CHECKED, CALM)
        found = findings(done)
        self.assertEqual(found["totals"]["errors"], 0)
        self.assertEqual(found["totals"]["amplification"], 1.0)
        for target in found["targets"]:
            self.assertApproximates(target["share"], 1 / 3, 0.001)
        self.assertEqual(done.world.pool.in_flight, 0)
        self.assertEqual(len(done.world.under_way), 0)

    def test_weights(self):
        """Weights are kept to."""
        text = THREE.replace(
            '"http://10.0.0.1:80"', '{ url = "http://10.0.0.1:80", weight = 2 }'
        )
        shares = [t["share"] for t in findings(run(text, CALM))["targets"]]
        self.assertApproximates(shares[0], 0.5, 0.01)

    def test_hash(self):
        """Each client keeps to one target when they are hashed by address."""
        text = THREE + 'balance = "ip_hash"\n'
        done = run(text, CALM.replace("rate = 20", "rate = 20\nclients = 1"))
        taken = [t["attempts"] > 0 for t in findings(done)["targets"]]
        self.assertEqual(sum(taken), 1)

    def test_probes(self):
        """The production checker probes each target each interval."""
        done = run(CHECKED, CALM)
        self.assertApproximates(done.world.kinds.made[0].probes, 3 * 7, 3)

    def test_no_requests(self):
        """Without any load there is a report all the same."""
        text = 'duration = "1m"\n[load]\nrate = 0\n'
        found = findings(run(CHECKED, text))
        self.assertEqual(found["totals"]["requests"], 0)
        self.assertIn("Nothing changed.", report(found))


class RepeatTests(SynchronousTestCase):
    def test_seed(self):
        """The same seed gives the same run, another seed another one."""
        first, again, other = (findings(run(CHECKED, DEAD, s)) for s in (1, 1, 2))
        self.assertEqual(first, again)
        self.assertNotEqual(first["totals"], other["totals"])

    def test_processes(self):
        """Hashing, which differs from process to process, makes no difference."""
        outputs = {
            subprocess.run(
                [sys.executable, "-c", DEAD_TEXT],
                env={**os.environ, "PYTHONHASHSEED": seed},
                cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
                stdout=subprocess.PIPE,
                timeout=60,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        self.assertEqual(len(outputs), 1)


class DetectionTests(SynchronousTestCase):
    """With the passive record off, only checks take targets out."""

    def fault(
        self, config_text: str, kind: str, at: float, **more: str
    ) -> dict[str, Any]:
        scenario = (
            'duration = "4m"\n[load]\nrate = 1\n'
            '[[target]]\nlatency = "1ms"\n'
            f'[[fault]]\non = 2\nkind = "{kind}"\nat = {at}\nfor = "2m"\n'
        ) + "".join(f"{key} = {value}\n" for key, value in more.items())
        done = run(config_text, scenario)
        self.health = done.world.settings.health
        found: dict[str, Any] = findings(done)["faults"][0]
        return found

    def test_refusal(self):
        """A target that refuses is out within the computed time, which is nearly reached."""
        worst = max(
            self.fault(UNPASSIVE, "refuse", 30 + tenth)["out_after"]
            for tenth in range(11)
        )
        bound = refusal_seconds(self.health)
        self.assertLessEqual(worst, bound)
        self.assertGreater(worst, bound - 2)

    def test_hanging(self):
        """A target that hangs takes a timeout longer."""
        found = [self.fault(UNPASSIVE, "hang", 30 + second) for second in range(11)]
        worst = max(one["out_after"] for one in found)
        bound = detection_seconds(self.health, 3)
        self.assertEqual(found[0]["out_bound"], bound)
        self.assertLessEqual(worst, bound)
        self.assertGreater(worst, bound - 2)

    def test_thresholds(self):
        """The bounds hold with rise, fall and an interval for suspects as well."""
        text = UNPASSIVE.replace(
            "[pool.site.health]",
            '[pool.site.health]\nrise = 2\nfall = 3\ninterval_suspect = "1s"',
        )
        found = [self.fault(text, "status", 30 + second) for second in range(11)]
        health = self.health
        self.assertLessEqual(
            max(one["out_after"] for one in found), refusal_seconds(health) + 0.01
        )
        self.assertLessEqual(
            max(one["back_after"] for one in found), recovery_seconds(health) + 0.01
        )
        self.assertGreater(max(one["out_after"] for one in found), 10)

    def test_recovery(self):
        """A target that is well again is back within the computed time."""
        found = [self.fault(UNPASSIVE, "refuse", 30 + second) for second in range(11)]
        worst = max(one["back_after"] for one in found)
        self.assertLessEqual(worst, recovery_seconds(self.health) + 0.01)
        self.assertGreater(worst, recovery_seconds(self.health) - 2)

    def test_unseen(self):
        """What probes do not see, or what is no failure, has no computed bound."""
        for kind, more in (
            ("refuse", {"probes": "false"}),
            ("refuse", {"share": "0.5"}),
            ("slow", {}),
            ("status", {"status": "204"}),
        ):
            self.assertIsNone(self.fault(UNPASSIVE, kind, 30, **more)["out_bound"])
        self.assertIsNone(self.fault(THREE, "refuse", 30)["out_bound"])


class RecheckTests(SynchronousTestCase):
    """A lone target without checks that is restarted: the production rechecker brings it back."""

    ONE = THREE.replace(', "http://10.0.0.2:80", "http://10.0.0.3:80"', "")
    RESTART = CALM + '[[fault]]\nkind = "{}"\nat = "10s"\nfor = "5s"\n'

    def errors(self, more="", kind="refuse"):
        done = run(self.ONE + more, self.RESTART.format(kind), 1)
        return findings(done)["totals"]["errors"], done

    def test_about_a_second(self):
        """The outage is the target's own, and little more than a second."""
        for kind in ("refuse", "unreachable"):
            errors, done = self.errors(kind=kind)
            self.assertLess(errors, 20 * (5 + 2.5))
            self.assertGreater(errors, 20 * 4)
            (node,) = done.world.pool.nodes.values()
            self.assertGreaterEqual(node.stats.rechecks, 2)
            self.assertEqual(node.ejection, "up")

    def test_off(self):
        """Without it the outage lasts until a client's request is the trial."""
        errors, _ = self.errors('[pool.site.passive]\nrecheck = "0s"\n')
        self.assertGreater(errors, 20 * 30)

    def test_not_for_what_connects(self):
        """A target that accepts and then fails is not asked by a connect."""
        _, done = self.errors(kind="reset")
        (node,) = done.world.pool.nodes.values()
        self.assertEqual(node.stats.rechecks, 0)


class JourneyTests(SynchronousTestCase):
    def totals(self, config_text: str, scenario: str) -> dict[str, Any]:
        done = run(config_text, scenario)
        self.assertEqual(done.world.pool.in_flight, 0)
        self.assertEqual(len(done.world.under_way), 0)
        totals: dict[str, Any] = findings(done)["totals"]
        return totals

    def test_failover(self):
        """What a dead target refuses goes to another one: no client sees it."""
        totals = self.totals(CHECKED, DEAD)
        self.assertEqual(totals["errors"], 0)
        self.assertEqual(totals["retries"], 3)

    def test_posts(self):
        """A request that may not be repeated is lost with its connection."""
        text = DEAD.replace('"refuse"', '"reset"')
        self.assertEqual(self.totals(CHECKED, text)["errors"], 0)
        text = text.replace("rate = 20", "rate = 20\nposts = 1.0")
        self.assertEqual(
            self.totals(CHECKED, text)["own_answers"], {"connection_terminated": 3}
        )

    def test_connect_timeout(self):
        """Connects that time out are tried elsewhere, by any method."""
        text = DEAD.replace('"refuse"', '"unreachable"')
        text = text.replace("rate = 20", "rate = 1\nposts = 1.0")
        totals = self.totals(CHECKED, text)
        self.assertEqual((totals["errors"], totals["retries"] > 0), (0, True))

    def test_read_timeout(self):
        """One that answers too late is given up at the read timeout."""
        text = (
            CHECKED + '[pool.site.timeout]\nread = "2s"\n[pool.site.retry]\ntries=1\n'
        )
        scenario = DEAD.replace('"refuse"', '"slow"\nfactor = 1000')
        scenario = scenario.replace("rate = 20", "rate = 2")
        totals = self.totals(text, scenario)
        self.assertIn("connection_read_timeout", totals["own_answers"])

    def test_statuses(self):
        """A status in `retry.on` is held back while another target is asked."""
        scenario = DEAD.replace('"refuse"', '"status"\nstatus = 503\nprobes = false')
        text = THREE + "[pool.site.passive]\nmax_fails = 0\n"
        scenario = scenario.replace("rate = 20", "rate = 5")
        self.assertGreater(self.totals(text, scenario)["errors"], 50)
        text += '[pool.site.retry]\non = ["503"]\n'
        self.assertEqual(self.totals(text, scenario)["errors"], 0)

    def test_no_better(self):
        """When nobody has a better answer, the client gets the held one."""
        scenario = CALM + "[[fault]]\nkind = 'status'\nstatus = 502\nat = 0\n"
        text = THREE + '[pool.site.retry]\non = ["502"]\ntries = 3\n'
        totals = self.totals(text + "[pool.site.passive]\nmax_fails = 0\n", scenario)
        self.assertEqual(list(totals["statuses"]), ["502"])
        self.assertEqual(totals["own_answers"], {})
        self.assertGreater(totals["retries_refused"], 100)

    def test_budget(self):
        """Further attempts never exceed the budget."""
        scenario = CALM.replace("20", "100")
        scenario += "[[fault]]\nkind = 'status'\nstatus = 502\nat = 0\n"
        text = THREE + '[pool.site.retry]\non = ["502"]\ntries = 3\n'
        totals = self.totals(text + "[pool.site.passive]\nmax_fails = 0\n", scenario)
        limit = 0.2 * totals["requests"] + 3 * (60 + 10)
        self.assertLessEqual(totals["retries"], limit)
        self.assertLess(totals["amplification"], 1.26)
        self.assertLess(totals["amplification"], totals["amplification_bound"])

    def test_patience(self):
        """Clients that hang up are counted apart, and hold it against nobody."""
        scenario = DEAD.replace('"refuse"', '"hang"\nprobes = false')
        scenario = scenario.replace("rate = 20", 'rate = 20\npatience = "2s"')
        done = run(THREE, scenario)
        self.assertGreater(done.recording.statuses[499], 300)
        self.assertEqual(done.recording.errors, 0)
        self.assertEqual(done.recording.outages, {})
        self.assertEqual(done.world.pool.in_flight, 0)

    def test_all_down(self):
        """When nobody is there, requests are refused at once."""
        scenario = DEAD.replace("on = 2\n", "")
        totals = self.totals(CHECKED, scenario)
        self.assertIn("destination_unavailable", totals["own_answers"])

    def test_operator(self):
        """A drained target gets nothing until it is enabled again."""
        words = (
            "[[operator]]\non = 1\nat = 0\nword = 'drain'\n"
            "[[operator]]\non = 1\nat = 30\nword = 'up'\n"
        )
        found = findings(run(THREE, CALM + words))
        self.assertApproximates(found["targets"][0]["share"], 1 / 6, 0.01)
        facts = [(row["at"], row["fact"], row["new"]) for row in found["timeline"]]
        self.assertEqual(facts, [(0.0, "enabled", "drain"), (30.0, "enabled", "up")])

    def test_overload(self):
        """A target without room makes requests wait, and they take longer."""
        scenario = CALM + "[[target]]\nlatency = '100ms'\ncapacity = 1\n"
        free = self.totals(THREE, scenario.replace("capacity = 1", "capacity = 9"))
        busy = self.totals(THREE, scenario)
        self.assertGreater(busy["latency"]["p99"], 2 * free["latency"]["p99"])

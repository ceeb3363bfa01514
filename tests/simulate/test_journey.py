"""The ways of a simulated request through the production decisions."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lolly_tx.config import parse
from lolly_tx.domain.balancers.first import First
from lolly_tx.domain.interfaces import IPluginFactory
from lolly_tx.service.registry import Registry
from lolly_tx.simulate.findings import findings
from lolly_tx.simulate.recording import percentile
from lolly_tx.simulate.scenario import parse_scenario
from lolly_tx.simulate.world import Run, simulate
from tests.simulate.texts import CALM, ROUTE, THREE, run

UNBLAMED = "[pool.site.passive]\nmax_fails = 0\n"


@attrs.frozen
class NoSettings:
    pass


ONE = ROUTE + '\n[pool.site]\ntargets = ["http://10.0.0.1:80"]\n'

FIXED = CALM + '[[target]]\nlatency = "100ms"\n'


@implementer(IPlugin, IPluginFactory)
class AlwaysFirst:
    name = "always_first"
    settings = NoSettings

    def build(self, settings: Any, deps: Any) -> First:
        return First()


def fault(kind: str, on: str = "2", **more: str) -> str:
    text = f'[[fault]]\non = {on}\nkind = "{kind}"\nat = 0\n'
    return text + "".join(f"{key} = {value}\n" for key, value in more.items())


class Case(SynchronousTestCase):
    def played(self, config_text: str, scenario: str) -> Run:
        done = run(config_text, scenario)
        # Whatever happens, every lease comes back and every request ends.
        self.assertEqual(done.world.pool.in_flight, 0)
        self.assertEqual(len(done.world.under_way), 0)
        return done

    def totals(self, config_text: str, scenario: str) -> dict[str, Any]:
        totals: dict[str, Any] = findings(self.played(config_text, scenario))["totals"]
        return totals


class TimeoutTests(Case):
    def test_try(self):
        """A try that takes too long is given up and made elsewhere, in time."""
        text = THREE + '[pool.site.timeout]\ntry = "1s"\n'
        totals = self.totals(text, FIXED + fault("hang"))
        self.assertEqual(totals["errors"], 0)
        self.assertEqual(totals["retries"] > 0, True)

    def test_total(self):
        """All tries together end at the total timeout."""
        text = THREE + '[pool.site.timeout]\ntotal = "2s"\n'
        scenario = FIXED.replace("rate = 20", "rate = 1") + fault("hang", '"all"')
        done = self.played(text, scenario)
        self.assertEqual(set(done.recording.statuses), {504})
        self.assertEqual(done.recording.retries, 0)
        # What took the targets out is that they let the total timeout pass.
        self.assertTrue(done.recording.outages)

    def test_total_after_tries(self):
        """A target is not blamed when the total ends before its own try would have."""
        text = ONE + '[pool.site.timeout]\ntry = "5s"\ntotal = "2s"\n'
        scenario = FIXED.replace("rate = 20", "rate = 1") + fault("hang", "1")
        done = self.played(text, scenario)
        self.assertEqual(set(done.recording.statuses), {504})
        self.assertEqual(done.recording.outages, {})

    def test_abandoned(self):
        """What waits at a target that its checks take down has its answer elsewhere."""
        text = THREE + '[pool.site.health]\ninterval = "1s"\ntimeout = "1s"\n'
        scenario = FIXED + fault("hang").replace("at = 0", "at = 5")
        slowest = []
        for abandon in ("true", "false"):
            more = f"[pool.site.passive]\nabandon = {abandon}\n"
            done = self.played(text + more, scenario)
            slowest.append(percentile(done.recording.latency, 1.0))
        self.assertLess(slowest[0], 3.0)
        self.assertGreater(slowest[1], 29.0)

    def test_backoff(self):
        """The second and later retries wait; the total timeout may end the wait."""
        text = (
            THREE
            + '[pool.site.retry]\ntries = 3\nbackoff = "10s"\non = ["503"]\n'
            + '[pool.site.passive]\nmax_fails = 0\n[pool.site.timeout]\ntotal = "1s"\n'
        )
        scenario = FIXED.replace("rate = 20", "rate = 1")
        scenario += fault("status", '"all"')
        done = self.played(text, scenario)
        self.assertGreater(done.recording.retries, 50)
        self.assertIn(503, done.recording.statuses)

    def test_backoff_passes(self):
        """A wait that ends in time is followed by the attempt."""
        text = (
            THREE
            + '[pool.site.retry]\ntries = 3\nbackoff = "1s"\non = ["503"]\n'
            + "[pool.site.passive]\nmax_fails = 0\n"
        )
        scenario = FIXED.replace("rate = 20", "rate = 1")
        scenario += fault("status", "[1, 2]")
        self.assertEqual(self.totals(text, scenario)["errors"], 0)


class HedgeTests(Case):
    text = THREE + "[pool.site.hedge]\npercentile = 0.9\n"

    def test_faster(self):
        """A second attempt at another target beats a slow first one."""
        scenario = FIXED.replace("1m", "5m") + fault("slow", share="0.1", factor="50")
        plain = self.totals(THREE, scenario)
        hedged = self.totals(self.text, scenario)
        self.assertGreater(hedged["hedges"], 50)
        self.assertGreater(plain["latency"]["p99"], 4.5)
        self.assertLess(hedged["latency"]["p99"], 1)

    def test_fails(self):
        """A hedge that fails leaves the first attempt alone, and the other way round."""
        scenario = CALM.replace("1m", "5m")
        for one, other in (("slow", "refuse"), ("hang", "reset"), ("reset", "slow")):
            faults = fault(one, "1", share="0.2", factor="50")
            faults += fault(other, "[2, 3]", share="0.2", factor="40")
            text = self.text + "[pool.site.passive]\nmax_fails = 0\n"
            text += '[pool.site.timeout]\nread = "2s"\n'
            self.assertGreater(self.totals(text, scenario + faults)["hedges"], 10)

    def test_posts(self):
        """What may not be repeated is not hedged."""
        scenario = FIXED.replace("rate = 20", "rate = 20\nposts = 1.0")
        scenario += fault("slow", share="0.1", factor="50")
        self.assertEqual(self.totals(self.text, scenario)["hedges"], 0)

    def test_no_budget(self):
        """Hedges draw on the budget, and need another target."""
        scenario = FIXED + fault("slow", share="0.2", factor="50")
        text = self.text + "[pool.site.retry]\nbudget = 0.0\nbudget_floor = 0.1\n"
        self.assertLess(self.totals(text, scenario)["hedges"], 10)
        lonely = ONE + "[pool.site.hedge]\npercentile = 0.9\n"
        scenario = FIXED + fault("slow", "1", share="0.2", factor="50")
        self.assertEqual(self.totals(lonely, scenario)["hedges"], 0)


class RoomTests(Case):
    def config(self, queue: str) -> str:
        target = '{ url = "http://10.0.0.1:80", max_conns = 1 }'
        return ONE.replace('"http://10.0.0.1:80"', target) + queue

    burst = (
        'duration = "10s"\n[load]\nrate = 0\n[[load.burst]]\nat = 1\nrequests = 10\n'
        '[[target]]\nlatency = "100ms"\n'
    )

    def test_full(self):
        """Without a waiting room, whoever finds all targets full gets 503."""
        totals = self.totals(self.config(""), self.burst)
        self.assertEqual(totals["own_answers"], {"connection_limit_reached": 9})

    def test_waiting(self):
        """With one they have their turn one after the other."""
        totals = self.totals(
            self.config('[pool.site.queue]\nsize = 100\ntimeout = "5s"\n'), self.burst
        )
        self.assertEqual(totals["errors"], 0)
        self.assertApproximates(totals["latency"]["p999"], 1.0, 0.02)

    def test_too_many(self):
        """The room has a size."""
        totals = self.totals(
            self.config('[pool.site.queue]\nsize = 4\ntimeout = "5s"\n'), self.burst
        )
        self.assertEqual(totals["statuses"], {"200": 5, "503": 5})

    def test_too_long(self):
        """And a time after which one is turned away."""
        totals = self.totals(
            self.config('[pool.site.queue]\nsize = 50\ntimeout = "350ms"\n'), self.burst
        )
        self.assertEqual(totals["statuses"], {"200": 4, "503": 6})

    def test_leaving(self):
        """Those whose client or time is gone leave the room."""
        queue = '[pool.site.queue]\nsize = 50\ntimeout = "5s"\n'
        scenario = self.burst.replace("rate = 0", "rate = 0\npatience = 0.35")
        totals = self.totals(self.config(queue), scenario)
        self.assertEqual(totals["statuses"], {"200": 3, "499": 7})
        text = self.config(queue + '[pool.site.timeout]\ntotal = "350ms"\n' + UNBLAMED)
        self.assertEqual(
            self.totals(text, self.burst)["statuses"], {"200": 3, "504": 7}
        )

    def test_all_down_while_waiting(self):
        """Those who wait for a target that dies are told so."""
        text = self.config('[pool.site.queue]\nsize = 50\ntimeout = "5s"\n')
        text += "[pool.site.passive]\nmax_fails = 1\n"
        scenario = self.burst + fault("refuse", "1").replace("at = 0", "at = 1.25")
        totals = self.totals(text, scenario)
        self.assertEqual(totals["statuses"]["200"], 2)
        self.assertGreater(totals["own_answers"]["destination_unavailable"], 5)


class MoreTests(Case):
    def test_retry_after(self):
        """A 503 with Retry-After keeps requests for its path away for the time it names, if the pool says so."""
        # Each client asks for a path of its own.
        scenario = FIXED.replace("rate = 20", "rate = 20\nclients = 1")
        scenario += fault("status", retry_after="20", **{"for": "1"})
        said = []
        for text in (THREE, THREE + '[pool.site.passive]\nretry_after = ["503"]\n'):
            totals = findings(self.played(text, scenario))["totals"]
            said.append(totals["statuses"].get("503", 0))
        self.assertGreater(said[0], said[1])
        self.assertGreater(said[1], 0)

    def test_sticky(self):
        """Clients with a cookie stay with their target."""
        text = THREE + 'balance = "sticky"\n[pool.site.sticky]\n'
        text += 'key = "${SECRET}"\n'
        text = text.replace("${SECRET}", "0123456789abcdef0123")
        scenario = FIXED.replace("rate = 20", "rate = 20\nclients = 1")
        attempts = [
            t["attempts"] for t in findings(self.played(text, scenario))["targets"]
        ]
        # The first few come before the first answer has brought a cookie.
        self.assertLess(sum(sorted(attempts)[:2]), 10)
        self.assertGreater(max(attempts), 1000)

    def test_uri_hash(self):
        """Clients are hashed by their URIs, too."""
        text = THREE + 'balance = "consistent_hash"\nhash_key = "uri"\n'
        scenario = FIXED.replace("rate = 20", "rate = 20\nclients = 1")
        attempts = [
            t["attempts"] for t in findings(self.played(text, scenario))["targets"]
        ]
        self.assertEqual(sorted(attempts)[:2], [0, 0])

    def test_plugin(self):
        """A balancer that a plugin brings is used like any other."""
        registry = Registry()
        registry.add("balance", AlwaysFirst())
        text = THREE + 'balance = "always_first"\n'
        loaded = parse(text, "t.toml", names=registry.known_names())
        scenario, settings = parse_scenario(FIXED, "s.toml", loaded)
        found = findings(simulate(loaded, settings, scenario, 0, registry))
        self.assertEqual(found["targets"][0]["share"], 1.0)

    def test_checks_by_quorum(self):
        """Several checks decide together."""
        text = THREE + "".join(
            f'[[pool.site.checks]]\nname = "c{n}"\ntype = "{kind}"\n'
            for n, kind in enumerate(("http", "tcp"))
        )
        scenario = FIXED.replace("rate = 20", "rate = 1")
        done = self.played(text, scenario + fault("status", status="500"))
        found = findings(done)
        self.assertEqual(len(done.world.kinds.made), 2)
        self.assertIn("health", {row["fact"] for row in found["timeline"]})

"""Simulated sessions: the clients of a stream, and the targets that they meet."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.simulate.compare import comparison
from lolly_tx.simulate.findings import Values, findings
from lolly_tx.simulate.latency import Constant
from lolly_tx.simulate.report import report
from lolly_tx.simulate.scenario import TargetModel, parse_scenario
from lolly_tx.simulate.sessiontargets import SessionTarget
from lolly_tx.simulate.staying import Staying
from lolly_tx.simulate.targets import ModelledTarget
from lolly_tx.simulate.world import Run
from tests.simulate.texts import CALM, THREE, config, run

STREAM = """
[stream.pg]
endpoint = "tcp:5432"
pool = "pg"
idle_timeout = "30s"
[pool.pg]
targets = ["tcp://10.0.0.1:1", "tcp://10.0.0.2:1", "tcp://10.0.0.3:1"]
"""
CHECKED = STREAM + '[pool.pg.health]\ntype = "tcp"\ninterval = "5s"\n'

EVEN = """
duration = "2m"
[load]
rate = 10
arrivals = "constant"
[session]
lasts = "5s"
sent = "1k"
received = "10k"
[[target]]
latency = "1ms"
"""


def fault(kind: str, on: str = "2", **more: Any) -> str:
    """Something wrong from the thirtieth second on."""
    text = f'[[fault]]\non = {on}\nkind = "{kind}"\nat = 30\n'
    return text + "".join(f"{key} = {value}\n" for key, value in more.items())


class SessionTests(SynchronousTestCase):
    def played(self, config_text: str, scenario: str) -> Run:
        """A run after which every lease is out whose session is open, and no other."""
        done = run(config_text, scenario)
        open_now = sum(one.open for one in done.world.session_targets.values())
        self.assertEqual(done.world.pool.in_flight, open_now)
        self.assertEqual(len(done.world.under_way), 0)
        return done

    def found(self, config_text: str, scenario: str) -> Values:
        """What it says."""
        return findings(self.played(config_text, scenario))

    def test_calm(self) -> None:
        """Sessions last as long as they are said to, move what they are said to move, and fall to all alike."""
        found = self.found(STREAM, EVEN)
        sessions = found["sessions"]
        self.assertEqual(sessions["up"], found["totals"]["requests"])
        self.assertEqual(set(sessions["ended"]), {"client"})
        ended = sessions["ended"]["client"]
        self.assertEqual(sessions["sent"], ended * 1024)
        self.assertEqual(sessions["received"], ended * 10240)
        self.assertApproximates(sessions["open"], 50, 2)
        for peak in sessions["most_open"].values():
            self.assertApproximates(peak, 17, 1)

    def test_requests(self) -> None:
        """A pool that routes lead to has requests, as ever."""
        self.assertNotIn("sessions", findings(run(THREE, CALM)))

    def test_least_conn(self) -> None:
        """Those that are open count: a target with longer sessions gets fewer."""
        text = STREAM + 'balance = "least_conn"\n'
        slow = fault("slow", at=0, factor=4).replace("at = 30\n", "")
        shares = [one["share"] for one in self.found(text, EVEN + slow)["targets"]]
        self.assertLess(shares[1], 0.2)

    def test_refused(self) -> None:
        """A target that dies cuts what it has; who comes then is connected to another one, and it is taken out."""
        done = self.played(CHECKED, EVEN + fault("refuse", **{"for": '"30s"'}))
        found = findings(done)
        self.assertEqual(found["totals"]["errors"], 0)
        self.assertEqual(found["totals"]["retries"], 3)
        self.assertApproximates(found["sessions"]["ended"]["target_reset"], 17, 1)
        [told] = found["faults"]
        self.assertIn("3 of 3 failures", told["out_by"])
        self.assertLessEqual(told["back_after"], told["back_bound"])
        # What was cut has moved a part of its bytes.
        whole = sum(found["sessions"]["ended"].values()) * 10240
        self.assertLess(found["sessions"]["received"], whole)

    def test_all_refuse(self) -> None:
        """With nobody left clients are cut, each as soon as that is known."""
        found = self.found(STREAM, EVEN + fault("refuse", on='"all"'))
        self.assertGreater(found["totals"]["errors"], 800)
        self.assertIn("502", found["totals"]["statuses"])

    def test_unreachable(self) -> None:
        """A connect that is not answered is over after timeout.connect, and is made elsewhere."""
        text = STREAM + "timeout.connect = 0.5\n"
        found = self.found(text, EVEN + fault("unreachable"))
        self.assertEqual(found["totals"]["errors"], 0)
        self.assertGreater(found["totals"]["latency"]["p999"], 0.4)
        late = self.found(text, EVEN.replace('"1ms"', '"1s"'))
        self.assertEqual(set(late["totals"]["statuses"]) - {"503"}, {"504"})

    def test_silent(self) -> None:
        """One that accepts and says nothing keeps its clients until they are idle for too long: no failure of its."""
        done = self.played(STREAM, EVEN + fault("hang"))
        found = findings(done)
        self.assertGreater(found["sessions"]["ended"]["idle"], 100)
        self.assertEqual(found["targets"][1]["failures"], 0)

    def test_reset(self) -> None:
        """One that closes at once is no failure either, and its sessions bring nothing."""
        found = self.found(STREAM, EVEN + fault("reset"))
        self.assertGreater(found["sessions"]["ended"]["target_reset"], 250)
        self.assertEqual(found["targets"][1]["failures"], 0)

    def test_max_conns(self) -> None:
        """Targets take as many as they may; the rest waits in the queue, or is cut."""
        targets = "".join(
            f'{{ url = "tcp://10.0.0.{n}:1", max_conns = 10 }},' for n in (1, 2, 3)
        )
        text = STREAM.replace(STREAM.partition("targets = ")[2], f"[{targets}]\n")
        found = self.found(text, EVEN)
        self.assertEqual(set(found["sessions"]["most_open"].values()), {10})
        self.assertGreater(
            found["totals"]["own_answers"]["connection_limit_reached"], 300
        )
        queued = self.found(text + 'queue = { size = 100, timeout = "10s" }\n', EVEN)
        self.assertGreater(queued["totals"]["latency"]["p50"], 1.0)
        self.assertGreater(queued["sessions"]["up"], found["sessions"]["up"] - 5)

    def test_patience(self) -> None:
        """Clients that wait too long for a target go, and leave nothing behind."""
        scenario = EVEN.replace('"1ms"', '"2s"').replace(
            "rate = 10", 'rate = 10\npatience = "1s"'
        )
        found = self.found(STREAM, scenario)
        self.assertEqual(set(found["totals"]["statuses"]), {"499"})
        self.assertEqual(found["sessions"]["up"], 0)

    def test_checks(self) -> None:
        """Checks that take a target down send those that still wait for it to another one."""
        scenario = EVEN.replace('"1ms"', '"3s"') + fault("refuse", probes="true")
        found = self.found(CHECKED, scenario)
        self.assertEqual(found["totals"]["errors"], 0)

    def test_drain(self) -> None:
        """A target that drains gets nobody new and keeps those that it has."""
        word = '[[operator]]\non = 2\nat = 30\nword = "drain"\n'
        done = self.played(STREAM, EVEN + word)
        found = findings(done)
        self.assertEqual(set(found["sessions"]["ended"]), {"client"})
        self.assertEqual(found["totals"]["errors"], 0)
        node_id = list(done.world.session_targets)[1]
        self.assertEqual(done.world.session_targets[node_id].open, 0)

    def test_hashed(self) -> None:
        """Hashing goes by the address of the client."""
        text = STREAM + 'balance = "ip_hash"\n'
        found = self.found(text, EVEN.replace("rate = 10", "rate = 10\nclients = 1"))
        self.assertEqual(sorted(one["share"] for one in found["targets"]), [0, 0, 1])

    def test_seed(self) -> None:
        """The same seed is the same run."""
        text = EVEN.replace('"5s"', '{ median = "2s", p99 = "60s" }')
        text = text.replace('"10k"', '{ mean = "10k" }')
        first, again = (findings(run(STREAM, text, 7)) for _ in range(2))
        other = findings(run(STREAM, text, 8))
        self.assertEqual(first, again)
        self.assertNotEqual(first["sessions"], other["sessions"])

    def test_report(self) -> None:
        """The report speaks of sessions, and says what became of those that were up."""
        text = report(self.found(CHECKED, EVEN + fault("refuse")))
        self.assertRegex(text, r"sessions +1\d\d\d \(")
        self.assertNotIn("request", text)
        self.assertRegex(text, r"ended +\d+ client, \d+ target_reset; \d+ were open")
        self.assertRegex(text, r"megabytes +\d+\.\d from clients, \d+\.\d to them")
        self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_comparison(self) -> None:
        """Two configurations are set side by side as those of requests are."""
        one = self.found(STREAM, EVEN + fault("refuse"))
        other = self.found(CHECKED, EVEN + fault("refuse"))
        self.assertIn("sessions cut", comparison(one, other))


class TargetTests(SynchronousTestCase):
    def made(self, most: int = 0) -> SessionTarget:
        """One that nothing is wrong with."""
        model = ModelledTarget(
            TargetModel(latency=Constant(0.5)), [], Random(1), Random(2)
        )
        return SessionTarget(model, Staying(lasts=Constant(3.0)), most, 9.0, Random(3))

    def test_capacity(self) -> None:
        """Beyond its capacity a target refuses those who come; probes it answers, and it tells nobody to wait."""
        target = self.made(most=1)
        self.assertEqual(target.answer(0.0), (0.5, 200, ""))
        stay = target.begin(0.5, "")
        self.assertEqual((stay.seconds, stay.why), (3.0, "client"))
        self.assertEqual(target.answer(1.0)[2], "refused")
        self.assertEqual(target.answer(1.0, probe=True)[2], "")
        target.end(stay)
        self.assertEqual(target.answer(4.0)[2], "")
        self.assertEqual((target.open, target.peak, target.sent), (0, 1, 1024))
        self.assertEqual((target.connect_fault(0.0), target.retry_after(0.0)), ("", 0))


class ScenarioTests(SynchronousTestCase):
    def problems(self, text: str, config_text: str = STREAM) -> str:
        """What is wrong with it."""
        error = self.assertRaises(
            ConfigErrors, parse_scenario, text, "s.toml", config(config_text)
        )
        return str(error)

    def test_stream(self) -> None:
        """A stream may be named, and names its pool where it has one."""
        two = STREAM + '[pool.other]\ntargets = ["tcp://10.0.0.9:1"]\n'
        text = EVEN.replace("[load]", 'stream = "pg"\n[load]', 1)
        _, settings = parse_scenario(text, "s.toml", config(two))
        self.assertEqual(settings.name, "pg")
        self.assertIn("no such stream", self.problems(text.replace("pg", "pq")))
        wrong = text.replace('stream = "pg"', 'stream = "pg"\npool = "other"')
        self.assertIn("does not lead to pool other", self.problems(wrong, two))

    def test_no_stream(self) -> None:
        """What is of sessions alone has no place where requests come."""
        self.assertIn("no stream leads to pool site", self.problems(EVEN, THREE))

    def test_of_requests(self) -> None:
        """What is of requests alone has none where sessions come, each with the reason."""
        text = EVEN.replace("rate = 10", "rate = 10\nposts = 0.5")
        text += 'errors = 0.1\nqueue = 5\nwhen_full = "503"\n' + fault("status")
        found = self.problems(text)
        for said in (
            "load.posts: is of requests",
            "errors: is of requests",
            "queue: is of requests",
            "when_full: is of requests",
            '"status" is of requests',
        ):
            self.assertIn(said, found)
        self.assertEqual(found.count("of requests"), 5)

    def test_values(self) -> None:
        """Sizes and times are read as elsewhere."""
        text = EVEN.replace('"10k"', '{ median = "10k", p99 = "1M" }')
        scenario, _ = parse_scenario(text, "s.toml", config(STREAM))
        self.assertEqual(scenario.session.sent, Constant(1024))
        self.assertIn("size", self.problems(EVEN.replace('"10k"', '"much"')))
        self.assertIn(
            "must not be below",
            self.problems(EVEN.replace('"10k"', '{ median = "2k", p99 = "1k" }')),
        )

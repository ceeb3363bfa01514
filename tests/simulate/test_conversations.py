"""Simulated clients of streams of datagrams, and what becomes of what they send."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.simulate.compare import comparison, differences
from lolly_tx.simulate.findings import Values, findings
from lolly_tx.simulate.report import report
from lolly_tx.simulate.scenario import parse_scenario
from lolly_tx.simulate.world import Run
from tests.simulate.texts import config, run

STREAM = """
[stream.dns]
endpoint = "udp:53"
pool = "dns"
session_timeout = "10s"
[pool.dns]
targets = ["udp://10.0.0.1:53", "udp://10.0.0.2:53", "udp://10.0.0.3:53"]
"""
CHECKED = (
    STREAM
    + '[pool.dns.health]\ntype = "udp"\ninterval = "5s"\ntimeout = "1s"\n'
    + 'steps = [{ send = "a", expect = "b" }]\n'
)

EVEN = """
duration = "2m"
[load]
rate = 5
arrivals = "constant"
[session]
lasts = "4.5s"
every = "1s"
sent = "500"
received = "5000"
[[target]]
latency = "1ms"
"""


def fault(kind: str, on: str = "2", **more: Any) -> str:
    """Something wrong from the thirtieth second on."""
    text = f'[[fault]]\non = {on}\nkind = "{kind}"\nat = 30\n'
    return text + "".join(f"{key} = {value}\n" for key, value in more.items())


class ConversationTests(SynchronousTestCase):
    def played(self, config_text: str, scenario: str) -> Run:
        """A run after which every lease is out whose session is open, and no other."""
        done = run(config_text, scenario)
        talk = done.world.talk
        assert talk is not None
        self.assertEqual(done.world.pool.in_flight, talk.open)
        self.assertEqual(len(talk.acceptor.doors), talk.open)
        self.assertEqual(talk.acceptor.census.open, talk.open)
        return done

    def found(self, config_text: str, scenario: str) -> Values:
        """What it says."""
        return findings(self.played(config_text, scenario))

    def test_calm(self) -> None:
        """Each client sends as often as it is said to, by one session that ends when it has been silent for long."""
        found = self.found(STREAM, EVEN)
        sessions, totals = found["sessions"], found["totals"]
        # Five datagrams in 4.5 s; those of the last clients come too late to count.
        self.assertApproximates(totals["requests"], 599 * 5, 60)
        self.assertEqual((totals["errors"], found["lost"]), (0, {}))
        self.assertEqual(sessions["up"], 599)
        self.assertEqual(set(sessions["ended"]), {"idle"})
        # From its first datagram to ten seconds after its last one.
        self.assertApproximates(sessions["open"], 5 * 14, 4)
        ended = sessions["ended"]["idle"]
        self.assertEqual(sessions["sent"], ended * 5 * 500)
        self.assertEqual(sessions["received"], ended * 5 * 5000)
        self.assertEqual([one["attempts"] for one in found["targets"]], [200, 200, 199])
        self.assertApproximates(totals["latency"]["p50"], 0.001, 0.0001)

    def test_balanced_once(self) -> None:
        """A client stays with its target as long as it sends; another balancer picks by its address."""
        one = EVEN.replace("rate = 5", "rate = 0.5\nclients = 1")
        found = self.found(STREAM + 'balance = "ip_hash"\n', one)
        self.assertEqual(sorted(one["share"] for one in found["targets"]), [0, 0, 1])
        long = one.replace('"4.5s"', '"1h"').replace("rate = 0.5", "rate = 0.01")
        found = self.found(STREAM, long)
        self.assertEqual(found["sessions"]["up"], 1)
        self.assertGreater(found["totals"]["requests"], 15)

    def test_idle(self) -> None:
        """Clients that are silent for longer than the timeout have a new session for each datagram."""
        rare = EVEN.replace('every = "1s"', 'every = "11s"')
        rare = rare.replace('"4.5s"', '"34s"').replace("rate = 5", "rate = 0.1")
        found = self.found(STREAM, rare)
        self.assertEqual(found["sessions"]["up"], found["totals"]["requests"])
        self.assertEqual(found["totals"]["errors"], 0)

    def test_cap(self) -> None:
        """At the cap who comes gets nothing, who is there loses nothing, and nobody makes room."""
        text = STREAM.replace("pool =", "sessions = 20\npool =", 1)
        found = self.found(text, EVEN)
        sessions = found["sessions"]
        self.assertEqual(sessions["open"], 20)
        self.assertEqual(set(sessions["ended"]), {"idle"})
        lost = found["lost"]["no session left"]
        self.assertEqual(lost, sessions["turned_away"])
        self.assertEqual(found["totals"]["errors"], lost)
        self.assertEqual(
            found["totals"]["own_answers"], {"connection_limit_reached": lost}
        )
        self.assertGreater(lost, 500)
        few = "[limits]\nconnections_per_listener = 20\n" + STREAM
        self.assertEqual(self.found(few, EVEN)["sessions"], sessions)

    def test_refused(self) -> None:
        """A target whose machine refuses loses one datagram of each client it had, and is out after three."""
        found = self.found(CHECKED, EVEN + fault("refuse", **{"for": '"30s"'}))
        lost = found["lost"]["refused by the target's machine"]
        self.assertLessEqual(found["totals"]["errors"], lost + 1)  # and who had asked
        self.assertEqual(found["totals"]["statuses"]["502"], lost)
        self.assertEqual(found["sessions"]["ended"]["target_refused"], lost)
        # It had a third of those who send, 5 a second for 4.5 s; the others are silent by now.
        self.assertLessEqual(lost, 9)
        [told] = found["faults"]
        self.assertIn("3 of 3 failures", told["out_by"])
        self.assertLess(told["out_after"], 1.5)
        self.assertLessEqual(told["back_after"], told["back_bound"])

    def test_restarted(self) -> None:
        """Clients of a target that was away have new sessions as soon as they send again."""
        long = EVEN.replace('"4.5s"', '"1h"').replace("rate = 5", "rate = 0.2")
        found = self.found(STREAM, long + fault("refuse", **{"for": '"3s"'}))
        sessions = found["sessions"]
        refused = sessions["ended"]["target_refused"]
        self.assertEqual(sessions["up"], 23 + refused)
        self.assertEqual(sessions["open"], 23)

    def test_silent(self) -> None:
        """What gets no answer is noticed by checks only; its clients leave it within a second or so then."""
        for kind in ("hang", "unreachable"):
            unseen = self.found(STREAM, EVEN + fault(kind))
            self.assertEqual(unseen["targets"][1]["failures"], 0)
            self.assertGreater(unseen["lost"]["no answer"], 700)
            self.assertFalse(unseen["faults"][0]["noticed"])
            found = self.found(CHECKED, EVEN + fault(kind))
            self.assertLess(found["lost"]["no answer"], 80)
            self.assertGreater(found["sessions"]["ended"]["target_left"], 3)

    def test_all_refuse(self) -> None:
        """With nobody left every datagram is lost, and the last target is never given up."""
        found = self.found(STREAM, EVEN + fault("refuse", on='"all"'))
        self.assertGreater(found["totals"]["errors"], 2000)
        # One of each client may be lost with the process that was asked.
        self.assertLess(found["lost"].get("no answer", 0), 20)
        down = [f'{{ url = "udp://10.0.0.{n}:53", down = true }}' for n in (1, 2)]
        nobody = STREAM.partition("targets = ")[0] + f"targets = [{', '.join(down)}]"
        found = self.found(nobody, EVEN)
        self.assertEqual(found["sessions"]["up"], 0)
        self.assertEqual(found["lost"], {"no target": found["totals"]["requests"]})

    def test_dies_with_the_question(self) -> None:
        """A target that dies before it has answered has lost the question; nobody is told."""
        slow = EVEN.replace('"1ms"', '"2s"')
        found = self.found(STREAM, slow + fault("refuse", **{"for": '"3s"'}))
        self.assertGreater(found["lost"]["no answer"], 5)

    def test_one_way(self) -> None:
        """Where nothing is answered only a refusal shows, and a trial that nobody refuses is a good one."""
        text = EVEN.replace('every = "1s"', 'every = "1s"\nanswered = 0.0')
        found = self.found(STREAM, text)
        self.assertEqual(found["totals"]["errors"], 0)
        self.assertEqual(found["sessions"]["received"], 0)
        self.assertEqual(found["targets"][0]["latency_mean"], 0)
        brief = STREAM + 'passive = { fail_timeout = "10s" }\n'
        found = self.found(brief, text + fault("refuse", **{"for": '"5s"'}))
        self.assertGreater(found["faults"][0]["back_after"], 0)

    def test_patience(self) -> None:
        """An answer that comes when its client has given up is none, nor is one to a session that is over."""
        late = EVEN.replace("rate = 5", 'rate = 5\npatience = "1s"')
        late = late.replace('"1ms"', '"2s"')
        self.assertEqual(set(self.found(STREAM, late)["lost"]), {"answered too late"})
        slow = EVEN.replace('"1ms"', '"15s"')
        lost = self.found(STREAM, slow)["lost"]
        self.assertEqual(set(lost), {"answered when its session was over"})

    def test_drain(self) -> None:
        """A target that drains keeps those that it has, and gets nobody new."""
        word = '[[operator]]\non = 2\nat = 30\nword = "drain"\n'
        found = self.found(STREAM, EVEN + word)
        self.assertEqual(set(found["sessions"]["ended"]), {"idle"})
        self.assertEqual(found["totals"]["errors"], 0)
        self.assertLess(found["targets"][1]["attempts"], 60)

    def test_seed(self) -> None:
        """The same seed is the same run."""
        text = EVEN.replace('"4.5s"', '{ median = "2s", p99 = "60s" }')
        text = text.replace('every = "1s"', 'every = { mean = "1s" }')
        loaded = [findings(run(STREAM, text, seed)) for seed in (7, 7, 8)]
        self.assertEqual(loaded[0], loaded[1])
        self.assertNotEqual(loaded[0]["sessions"], loaded[2]["sessions"])

    def test_report(self) -> None:
        """The report speaks of datagrams, and says why some were lost."""
        text = report(self.found(CHECKED, EVEN + fault("refuse")))
        self.assertRegex(text, r"datagrams +\d+ \(")
        self.assertRegex(text, r"datagrams lost .*\d+ refused by the target's machine")
        self.assertRegex(text, r"ended +\d+ idle, .*\d+ target_refused; \d+ were open")
        self.assertNotIn("amplification", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertRegex(report(self.found(STREAM, EVEN)), r"datagrams lost +none")

    def test_comparison(self) -> None:
        """Two configurations are set side by side, without what datagrams have none of."""
        one, other = (
            self.found(text, EVEN + fault("hang")) for text in (STREAM, CHECKED)
        )
        said = differences(one, other)
        self.assertEqual(said["sessions cut"]["one"], 0)
        self.assertGreater(said["sessions cut"]["other"], 0)
        self.assertNotIn("retries", said)
        self.assertIn("errors clients saw", comparison(one, other))


class ScenarioTests(SynchronousTestCase):
    def problems(self, text: str, config_text: str = STREAM) -> str:
        """What is wrong with it."""
        error = self.assertRaises(
            ConfigErrors, parse_scenario, text, "s.toml", config(config_text)
        )
        return str(error)

    def test_of_others(self) -> None:
        """What is of requests or connections has no place here, each with the reason."""
        text = EVEN.replace("rate = 5", "rate = 5\nposts = 0.5")
        text += 'errors = 0.1\nqueue = 5\nwhen_full = "503"\ncapacity = 3\n'
        found = self.problems(text + fault("status") + fault("reset"))
        for said in (
            "load.posts: is of requests",
            "errors: is of requests; a target of datagrams",
            "queue: is of requests; say by `latency`",
            "when_full: is of requests",
            "capacity: is of requests and connections",
            '"status" is of requests',
            '"reset" is of connections',
        ):
            self.assertIn(said, found)

    def test_of_connections(self) -> None:
        """A stream of connections sends no datagrams."""
        text = STREAM.replace("udp:", "tcp:").replace('session_timeout = "10s"\n', "")
        found = self.problems(EVEN + "", text)
        self.assertIn("session.every: is of datagrams, and stream dns", found)

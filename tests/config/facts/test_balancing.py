"""What `lolly check` computes of ejecting, retrying, waiting and limits."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.balancing import (
    amplification,
    answer_seconds,
    false_ejections,
    judges_traffic,
    room,
)
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.model import PoolSettings
from tests.config.samples import WEB, WHOLE, read

ROUTE = '[[route]]\npool = "app"\n'


def pool(text: str) -> PoolSettings:
    return read(WHOLE + text).pools["app"]


def lines(text: str) -> list[str]:
    return [str(one) for one in consequences(read(text))]


class FigureTests(SynchronousTestCase):
    def test_amplification(self) -> None:
        """Tries and a hedge, but never more than there are targets."""
        self.assertEqual(amplification(pool("retry.tries = 1\n")), 1)
        self.assertEqual(amplification(pool("retry.tries = 1\nhedge = {}\n")), 2)
        self.assertEqual(amplification(pool("retry.tries = 9\n")), 2)
        self.assertEqual(amplification(pool("retry.on = []\n")), 1)

    def test_answer(self) -> None:
        """Attempts as long as their limits, waits included, the whole at most `total`."""
        self.assertEqual(answer_seconds(pool("")), 70.0)
        self.assertEqual(answer_seconds(pool("timeout.try = 2\n")), 4.0)
        self.assertEqual(answer_seconds(pool("timeout.total = 3\n")), 3.0)
        self.assertEqual(answer_seconds(pool("queue.timeout = 9\n")), 79.0)
        self.assertEqual(answer_seconds(pool("timeout.read = 0\n")), math.inf)
        found = " ".join(lines(WHOLE + "timeout.read = 0\n"))
        self.assertIn("within unlimited time", found)
        self.assertIn("timeout.read (unlimited time)", found)
        three = WHOLE.replace('.2:80"', '.2:80", "http://10.0.0.3:80"')
        text = "retry = { tries = 3, backoff = 1 }\ntimeout.try = 2\n"
        self.assertEqual(answer_seconds(read(three + text).pools["app"]), 7.0)

    def test_false_ejections(self) -> None:
        """One test of each target in each comparison."""
        self.assertEqual(false_ejections(pool("")), 0.0)
        self.assertAlmostEqual(false_ejections(pool("outlier = {}\n")), 0.001728)

    def test_room(self) -> None:
        """The smallest of all limits; none when one target has none."""
        self.assertEqual(room(pool("")), 0)
        self.assertEqual(room(pool("max_conns = 7\n")), 7)
        self.assertEqual(room(pool("adaptive = { ceiling = 50 }\n")), 50)
        limited = f"{WEB}{ROUTE}[pool.app]\ntargets = [" + ", ".join(
            f'{{ url = "http://{name}", max_conns = 4 }}' for name in "ab"
        )
        self.assertEqual(room(read(limited + "]\n").pools["app"]), 8)
        self.assertEqual(room(read(limited + "]\nmax_conns = 5\n").pools["app"]), 5)

    def test_judging(self) -> None:
        """Whether traffic can take a target out at all."""
        self.assertTrue(judges_traffic(pool("")))
        off = "passive.max_fails = 0\n"
        self.assertFalse(judges_traffic(pool(off)))
        self.assertTrue(judges_traffic(pool(off + "outlier = {}\n")))


class LineTests(SynchronousTestCase):
    def says(self, text: str, part: str, warning: bool = False) -> None:
        found = [one for one in lines(WHOLE + text) if part in one]
        self.assertEqual(len(found), 1, (part, lines(WHOLE + text)))
        self.assertEqual(found[0].startswith("warning: "), warning)

    def test_facts(self) -> None:
        """Each policy that is on has a line."""
        for text, part in (
            ("passive.gateway_errors = 5\n", "or after 5 failures or 502, 503, 504"),
            (
                "passive.rate = {}\n",
                "or when 50 % of at least 20 exchanges in 10s failed",
            ),
            (
                'passive.recheck = "2s"\n',
                "asked every 2s, and is back 2.5s after it takes them again",
            ),
            ("passive.latency = {}\n", "in 10s were slow"),
            (
                "outlier = {}\n",
                "compared every 1s; healthy targets are ejected at most",
            ),
            ("hedge = {}\n", "hedges: what takes longer than 95 %"),
            ("admission = {}\n", "up to 80 % of the requests are refused while less"),
            ("max_conns = 7\n", "limit: at most 7 exchanges at once"),
            ("max_conns = 7\nqueue = {}\n", "queue: 1000 more wait up to 5s"),
            ("passive.keep_last = false\n", "while others serve"),
        ):
            self.says(text, part)
        off = "passive = { max_fails = 0, ejection_max = 0 }\noutlier = {}\n"
        self.assertNotIn("passive record", "\n".join(lines(WHOLE + off)))
        for text in ("passive.recheck = 0\n", "health = {}\n"):
            self.assertNotIn("is asked every", "\n".join(lines(WHOLE + text)))
        flat = "passive = { ejection_max = 0, keep_last = false }\n"
        self.says(flat, "for 1m, then one trial")
        self.assertNotIn("the last one", "\n".join(lines(WHOLE + flat)))

    def test_doubts(self) -> None:
        """What contradicts itself or can never happen is pointed out."""
        for text, part in (
            (
                "retry = { budget = 0, budget_floor = 0 }\n",
                "nothing is ever tried again",
            ),
            ("timeout = { try = 5, total = 5 }\n", "never ends an attempt"),
            ('timeout.try = 5\nretry.on = ["connect"]\n', "leads to no other attempt"),
            ("queue = {}\n", "only used during trials"),
            ('max_conns = 3\nqueue.priority_header = "P"\n', "is never believed"),
            ("max_conns = 3\nqueue = {}\ntimeout.total = 4\n", "is never reached"),
            ("max_conns = 20000\n", "limits.connections is 10000"),
            ("passive.ejection_max = 5\n", "no growth"),
            ("panic_draws = 2\n", "panic_draws has no meaning"),
            ("slow_start_floor = 0.5\n", "have no meaning without slow_start"),
        ):
            self.says(text, part, warning=True)
        for text in (
            "passive.ejection_max = 90\n",
            "retry = { budget = 0, budget_floor = 0, tries = 1 }\n",
            "max_conns = 3\nqueue = {}\n",
            'all_down = "least_bad"\npanic_draws = 2\n',
        ):
            self.assertNotIn("warning", "\n".join(lines(WHOLE + text)), text)

    def test_alone(self) -> None:
        """One target has no peers and nowhere to hedge to."""
        text = (
            WHOLE.replace(', "http://10.0.0.2:80"', "") + "outlier = {}\nhedge = {}\n"
        )
        found = "\n".join(lines(text))
        self.assertIn("nobody to compare with", found)
        self.assertIn("nowhere to go", found)

    def test_targets_take_less(self) -> None:
        """A limit of the pool above that of its targets is pointed out."""
        text = (
            f"{WEB}{ROUTE}[pool.app]\nmax_conns = 9\n"
            'targets = [{ url = "http://a", max_conns = 4 }]\n'
        )
        self.assertIn("the targets take 4 in all", "\n".join(lines(text)))

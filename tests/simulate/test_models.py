"""The modelled targets, their faults and their latencies."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.simulate.faults import NEVER, Windows
from lolly_tx.simulate.latency import Constant, Exponential, Lognormal, Uniform
from lolly_tx.simulate.scenario import Fault, TargetModel
from lolly_tx.simulate.targets import REFUSAL_SECONDS, ModelledTarget


def target(faults: Sequence[Fault] = (), **model: Any) -> ModelledTarget:
    model.setdefault("latency", Constant(1.0))
    windows = [Windows(fault, 1000.0) for fault in faults]
    return ModelledTarget(TargetModel(**model), windows, Random(1), Random(2))


class LatencyTests(SynchronousTestCase):
    def samples(self, latency: Any) -> list[float]:
        random = Random(5)
        return sorted(latency.draw(random) for _ in range(20000))

    def test_constant(self):
        """A constant is always the same."""
        self.assertEqual(set(self.samples(Constant(0.1))), {0.1})

    def test_uniform(self):
        """A uniform one fills its range evenly."""
        found = self.samples(Uniform(1.0, 3.0))
        self.assertGreaterEqual(found[0], 1.0)
        self.assertLessEqual(found[-1], 3.0)
        self.assertApproximates(found[10000], 2.0, 0.05)

    def test_exponential(self):
        """An exponential one has its mean."""
        found = self.samples(Exponential(0.5))
        self.assertApproximates(sum(found) / len(found), 0.5, 0.02)

    def test_lognormal(self):
        """A lognormal one has its median and its 99th percentile."""
        found = self.samples(Lognormal(0.02, 0.1))
        self.assertApproximates(found[10000], 0.02, 0.001)
        self.assertApproximates(found[19800], 0.1, 0.01)


class WindowsTests(SynchronousTestCase):
    def test_once(self):
        """A fault is there from its beginning until before its end."""
        windows = Windows(Fault(kind="hang", at=10, lasts=5), 100)
        self.assertEqual(
            [windows.strikes(t) for t in (9.9, 10, 14.9, 15)],
            [False, True, True, False],
        )
        self.assertEqual((windows.next_start(3), windows.next_start(10)), (10, NEVER))
        self.assertEqual(list(windows.all(100)), [(10, 15)])
        self.assertEqual(list(windows.all(12)), [(10, 12)])
        self.assertEqual(list(windows.all(10)), [])

    def test_to_the_end(self):
        """Without a length it lasts to the end."""
        windows = Windows(Fault(kind="hang", at=10), 100)
        self.assertTrue(windows.strikes(99))
        self.assertEqual(list(windows.all(100)), [(10, 100)])

    def test_repeated(self):
        """A repeated fault comes each time anew until its last one."""
        fault = Fault(kind="hang", at=10, lasts=1, every=4, until=20)
        windows = Windows(fault, 100)
        self.assertEqual(list(windows.all(100)), [(10, 11), (14, 15), (18, 19)])
        self.assertTrue(windows.strikes(14.5))
        self.assertFalse(windows.strikes(15.5))
        self.assertFalse(windows.strikes(22.5))
        self.assertEqual((windows.next_start(14), windows.next_start(18)), (18, NEVER))

    def test_words(self):
        """Each kind of fault can be told in words."""
        for fault, words in (
            (Fault(kind="refuse", at=0), "refuses connections"),
            (Fault(kind="status", at=0, status=500), "answers 500"),
            (
                Fault(kind="slow", at=0, factor=2.5, share=0.5),
                "is 2.5 times as slow (50% of the requests)",
            ),
            (
                Fault(kind="hang", at=0, probes=False),
                "accepts and never answers, but not for probes",
            ),
        ):
            self.assertEqual(str(Windows(fault, 1)), words)


class TargetTests(SynchronousTestCase):
    def test_well(self):
        """A target without faults answers 200 after its latency."""
        self.assertEqual(target().answer(5.0), (1.0, 200, ""))

    def test_kinds(self):
        """Each kind of fault has its own answer, for traffic and probes alike."""
        for fault, answer in (
            (Fault(kind="refuse", at=0), (REFUSAL_SECONDS, 0, "refused")),
            (Fault(kind="unreachable", at=0), (NEVER, 0, "unreachable")),
            (Fault(kind="hang", at=0), (NEVER, 0, "silent")),
            (Fault(kind="reset", at=0), (1.0, 0, "reset")),
            (Fault(kind="status", at=0, status=418), (1.0, 418, "")),
            (Fault(kind="slow", at=0, factor=3), (3.0, 200, "")),
        ):
            one = target([fault])
            self.assertEqual(one.answer(0.0), answer)
            self.assertEqual(one.answer(0.0, probe=True), answer)

    def test_not_for_probes(self):
        """A fault may spare the probes."""
        one = target([Fault(kind="hang", at=0, probes=False)])
        self.assertEqual(one.answer(0.0, probe=True), (1.0, 200, ""))

    def test_share(self):
        """A fault may strike a share of the requests."""
        one = target([Fault(kind="status", at=0, status=500, share=0.25)])
        bad = sum(one.answer(1.0)[1] == 500 for _ in range(4000))
        self.assertApproximates(bad, 1000, 100)

    def test_errors(self):
        """A target may fail a few requests at all times."""
        one = target(errors=0.1)
        bad = sum(one.answer(1.0)[1] == 500 for _ in range(4000))
        self.assertApproximates(bad, 400, 80)

    def test_errors_of_probes(self):
        """Probes may be spared these errors."""
        self.assertEqual(target(errors=1.0).answer(0.0, probe=True)[1], 500)
        spared = target(errors=1.0, probes=False)
        self.assertEqual(spared.answer(0.0, probe=True)[1], 200)

    def test_cut(self):
        """A process that dies cuts what it was working on."""
        one = target([Fault(kind="refuse", at=10, lasts=5)])
        self.assertEqual(one.answer(9.5), (0.5, 0, "reset"))
        self.assertEqual(one.answer(8.5), (1.0, 200, ""))
        self.assertEqual(one.answer(12)[2], "refused")
        self.assertEqual(one.answer(15), (1.0, 200, ""))

    def test_queue(self):
        """Beyond its capacity requests wait their turn, first come, first served."""
        one = target(capacity=2)
        self.assertEqual([one.answer(0.0)[0] for _ in range(5)], [1, 1, 2, 2, 3])
        self.assertEqual(one.answer(2.5)[0], 1.0)
        self.assertEqual(one.answered, 6)

    def test_full_queue(self):
        """Beyond its queue it refuses, or says 503."""
        for word, answer in (
            ("refuse", (REFUSAL_SECONDS, 0, "refused")),
            ("503", (REFUSAL_SECONDS, 503, "")),
        ):
            one = target(capacity=1, queue=1, when_full=word)
            self.assertEqual([one.answer(0.0)[0] for _ in range(2)], [1, 2])
            self.assertEqual(one.answer(0.0), answer)
            self.assertEqual(one.answer(1.0)[0], 2.0)

    def test_restart_empties_the_queue(self):
        """A process that died has forgotten who waited."""
        one = target([Fault(kind="refuse", at=10, lasts=1)], capacity=1)
        for _ in range(100):
            one.answer(0.0)
        one.answer(10.0)
        self.assertEqual(one.answer(11.0)[0], 1.0)

    def test_retry_after(self):
        """A status may come with Retry-After while its fault is there."""
        fault = Fault(kind="status", at=5, lasts=5, retry_after=7)
        one = target([Fault(kind="hang", at=0), fault])
        self.assertEqual((one.retry_after(6), one.retry_after(11)), (7, 0))

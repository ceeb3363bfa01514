"""Tests of exemplars: which exchanges are kept of a histogram, and how OpenMetrics has them."""

from __future__ import annotations

from typing import Any

from prometheus_client.openmetrics import parser as openmetrics
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.histogram import BOUNDS, Exemplar
from lolly_tx.proxy.counters import Counters
from lolly_tx.service.metrics.exposition import Metrics
from lolly_tx.service.records.exemplars import ExemplarNews, take_exemplars
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import TWO, ReloadTestCase

ONE = TWO.replace(', "http://127.0.0.1:9002"', "")
TRACED = f"trusted_proxies = ['192.0.2.0/24']\n{ONE}[trace]\nsample = 1.0\n"
NAME = "lolly_request_duration_seconds"


def parent(number: int, kept: bool = True) -> str:
    """A traceparent field of trace `number`."""
    return f"traceparent: 00-{number:032x}-00000000000000aa-0{int(kept)}\r\n"


class ExemplarsTestCase(ReloadTestCase):
    text_of = TRACED

    def setUp(self) -> None:
        super().setUp()
        self.start(self.text_of)
        self.line = self.client()

    def exchange(self, seconds: float, more: str = "") -> None:
        """One that takes so long."""
        self.line.send(get("/", more))
        if not hasattr(self, "target"):
            self.target = self.backend(self.reactor.tcpClients[-1][1])
        self.reactor.advance(seconds)
        self.target.send(OK)

    def told(self, openly: bool) -> str:
        metrics = Metrics(self.service, self.reactor.seconds)
        return "".join(metrics.slices(openly))

    def exemplars(self) -> dict[str, tuple[str, float]]:
        """What a parser that is not ours finds: by bucket the trace and the seconds."""
        found = {}
        for family in openmetrics.text_string_to_metric_families(self.told(True)):
            for one in family.samples:
                if one.exemplar is not None:
                    self.assertEqual(one.name, f"{NAME}_bucket")
                    self.assertEqual(one.labels["pool"], "app")
                    exemplar: Any = one.exemplar
                    trace = exemplar.labels["trace_id"].lstrip("0")
                    found[one.labels["le"]] = trace, exemplar.value
        return found


class ExemplarsTests(ExemplarsTestCase):
    def test_latest_of_each_bucket(self) -> None:
        """Each bucket has the latest traced exchange that took so long, with its trace and how long it took."""
        for number, seconds in ((1, 0.02), (2, 0.3), (3, 0.02), (4, 20.0)):
            self.exchange(seconds, parent(number))
        found = {k: (trace, round(v, 6)) for k, (trace, v) in self.exemplars().items()}
        self.assertEqual(
            found, {"0.025": ("3", 0.02), "0.5": ("2", 0.3), "+Inf": ("4", 20.0)}
        )

    def test_only_openmetrics(self) -> None:
        """Prometheus text, which has no place for them, is as before."""
        self.exchange(0.02, parent(1))
        self.assertNotIn("trace_id", self.told(False))
        self.assertIn('trace_id="', self.told(True))

    def test_what_is_not_kept(self) -> None:
        """A trace that is not kept would be looked for in vain."""
        self.exchange(0.02, parent(1, kept=False))
        self.assertEqual(self.exemplars(), {})

    def test_own_traces(self) -> None:
        """A trace that begins here is as good."""
        self.exchange(0.02)
        [(trace, seconds)] = self.exemplars().values()
        self.assertEqual(seconds, 0.02)
        self.assertGreater(len(trace), 20)

    def test_bounded(self) -> None:
        """However many there are, one of each bucket is kept."""
        for number in range(1, 60):
            self.exchange(0.0003 * number * number, parent(number))
        kept = self.service.counters["app"].exemplars
        self.assertLessEqual(len(kept), len(BOUNDS) + 1)
        self.assertEqual(set(self.exemplars()) <= {"+Inf", *map(str, BOUNDS)}, True)

    def test_over_a_reload(self) -> None:
        """A reload keeps them; one that turns traces off adds no more."""
        self.exchange(0.02, parent(1))
        text = self.text_of
        self.reload(text.replace("[pool.app]", "[pool.app]\nmax_conns = 9"))
        self.assertEqual(len(self.exemplars()), 1)
        self.reload(text.partition("[trace]")[0])
        self.exchange(0.3, parent(2))
        self.assertEqual(list(self.exemplars()), ["0.025"])


class OffTests(ExemplarsTestCase):
    text_of = ONE

    def test_off(self) -> None:
        """Where no traces are kept nobody is told of exchanges for it."""
        self.exchange(0.02, parent(1))
        self.assertIsNone(self.service.circumstances.on_end)
        self.assertEqual(self.service.counters["app"].exemplars, {})
        self.assertEqual(self.exemplars(), {})


class WorkersTests(SynchronousTestCase):
    def test_told_once(self) -> None:
        """A worker tells what is new since it told last; the supervisor has the latest of all workers."""
        workers = [{"app": Counters()}, {"app": Counters()}]
        news = [ExemplarNews(), ExemplarNews()]
        ours = {"app": Counters()}

        def beat() -> list[int]:
            told = [n.changes(w) for n, w in zip(news, workers, strict=True)]
            for one in told:
                take_exemplars(ours, one)
            return [len(one.get("app", {})) for one in told]

        self.assertEqual(beat(), [0, 0])
        old, new = Exemplar("a", 0.3, 1.0), Exemplar("b", 0.4, 2.0)
        workers[0]["app"].exemplars[6] = new
        workers[1]["app"].exemplars.update({6: old, 2: old})
        self.assertEqual(beat(), [1, 2])
        self.assertEqual(ours["app"].exemplars, {6: new, 2: old})
        self.assertEqual(beat(), [0, 0])
        workers[1]["app"].exemplars[6] = last = Exemplar("c", 0.3, 3.0)
        self.assertEqual(beat(), [0, 1])
        self.assertIs(ours["app"].exemplars[6].trace_id, last.trace_id)

    def test_pool_that_left(self) -> None:
        """What is told of a pool that is no more is forgotten."""
        ours = {"app": Counters()}
        take_exemplars(ours, {"gone": {"2": ("a", 0.1, 1.0)}})
        self.assertEqual(ours["app"].exemplars, {})

"""Tests of what /metrics says, by what two parsers that are not ours read of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ConnectFailed, ResponseTimedOut
from lolly_tx.service.build import build
from lolly_tx.service.generation import Generation
from lolly_tx.service.metrics.exposition import AT_ONCE, Metrics
from lolly_tx.service.metrics.families import ALL
from lolly_tx.service.metrics.readings import (
    of_certificates,
    of_listeners,
    of_processes,
)
from lolly_tx.service.process.procfs import Processes

TEXT = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = [{ url = "http://127.0.0.1:9001", id = "a" }, { url = "http://127.0.0.1:9002", id = "b" }]
[pool.app.health]
path = "/health"
"""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(families: Iterable[Metric]) -> Samples:
    """Every sample by its name and labels; none is there twice."""
    found: Samples = {}
    for family in families:
        for one in family.samples:
            key = one.name, tuple(sorted(one.labels.items()))
            assert key not in found, key
            found[key] = one.value
    return found


class MetricsTestCase(SynchronousTestCase):
    text = TEXT

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.service: Any = build(
            self.reactor, parse(self.text), now=self.reactor.seconds
        )
        self.metrics = Metrics(
            self.service,
            self.reactor.seconds,
            lambda pids: Processes(1 << 20, 1 << 30, 11 * len([*pids]), 1024, 1e9),
        )

    def told(self, openly: bool = False) -> str:
        return "".join(self.metrics.slices(openly))

    def samples(self) -> Samples:
        """What Prometheus reads; OpenMetrics says the same."""
        plain = read(text_string_to_metric_families(self.told()))
        openly = openmetrics.text_string_to_metric_families(self.told(True))
        same = read(openly)
        del (
            plain["process_cpu_seconds_total", ()],
            same["process_cpu_seconds_total", ()],
        )
        self.assertEqual(plain, same)
        return plain

    def value(self, name: str, **labels: str) -> float | None:
        """One sample."""
        return self.samples().get((name, tuple(sorted(labels.items()))))

    def assertSample(self, expected: float | None, name: str, **labels: str) -> None:
        self.assertEqual(self.value(name, **labels), expected)


class TargetTests(MetricsTestCase):
    def test_facts(self) -> None:
        """Up is what checks say; available is what new requests go by."""
        pool = self.service.pools["app"]
        self.assertSample(1, "lolly_target_up", pool="app", target="a")
        self.assertSample(1, "lolly_target_available", pool="app", target="a")
        pool.set_enabled("a", "drain", "test", 0.0)
        self.assertSample(1, "lolly_target_up", pool="app", target="a")
        self.assertSample(0, "lolly_target_available", pool="app", target="a")
        pool.observe("b", Observation(False, "refused"), 0.0)
        self.assertSample(0, "lolly_target_up", pool="app", target="b")
        self.assertSample(0, "lolly_target_available", pool="app", target="b")

    def test_bytes(self) -> None:
        """What was passed on to a target, and came from it, is known of each."""
        stats = self.service.pools["app"].nodes["a"].stats
        stats.bytes_in, stats.bytes_out = 3, 4
        name, where = "lolly_target_bytes_total", {"pool": "app", "target": "a"}
        self.assertSample(3, name, **where, direction="in")
        self.assertSample(4, name, **where, direction="out")

    def test_attempts(self) -> None:
        """They are counted as they begin and end, each with its time."""
        pool = self.service.pools["app"]
        first = pool.acquire(0.0)
        where = {"pool": "app", "target": first.node.id}
        self.assertSample(1, "lolly_in_flight", **where)
        first.ended(0.3, 500)
        self.assertSample(0, "lolly_in_flight", **where)
        self.assertSample(1, "lolly_target_requests_total", **where)
        self.assertSample(1, "lolly_target_server_errors_total", **where)
        name = "lolly_upstream_duration_seconds"
        self.assertSample(0, f"{name}_bucket", **where, le="0.25")
        self.assertSample(1, f"{name}_bucket", **where, le="0.5")
        self.assertSample(1, f"{name}_bucket", **where, le="+Inf")
        self.assertSample(1, f"{name}_count", **where)
        self.assertSample(0.3, f"{name}_sum", **where)

    def test_failures_by_kind(self) -> None:
        """Each failed attempt is of one kind."""
        pool = self.service.pools["app"]
        for error in (ConnectFailed("x"), ResponseTimedOut("x"), ResponseTimedOut("x")):
            lease = pool.acquire(0.0)
            lease.failed(0.0, error)
            lease.release(0.0)
        found = self.samples()
        by_kind = {
            kind: sum(
                value
                for (name, labels), value in found.items()
                if name == "lolly_target_failures_total"
                and dict(labels)["kind"] == kind
            )
            for kind in ("connect", "timeout", "reset", "other")
        }
        self.assertEqual(by_kind, {"connect": 1, "timeout": 2, "reset": 0, "other": 0})

    def test_ejections_by_policy(self) -> None:
        """The one that is ejected for failed connects is counted there."""
        pool = self.service.pools["app"]
        for _ in range(6):
            lease = pool.acquire(0.0)
            lease.failed(0.0, ConnectFailed("refused"))
            lease.release(0.0)
        found = self.samples()
        ejected = {
            dict(labels)["policy"]: value
            for (name, labels), value in found.items()
            if name == "lolly_target_ejections_total" and value
        }
        self.assertEqual(ejected, {"connect": 1})

    def test_checks(self) -> None:
        """By result, and how long they took."""
        [checker] = self.service.running_pools["app"].probing.checkers
        checker.heard("a", Observation(True, "200", 0.02), 0.0)
        checker.heard("a", Observation(False, "503", 0.04), 0.0)
        checker.heard("a", Observation(True, "404", 0.04, drain=True), 0.0)
        checker.unanswered("a", 0.0)
        checker.heard("gone", Observation(True, "200", 9.0), 0.0)
        where = {"pool": "app", "target": "a"}
        self.assertSample(1, "lolly_checks_total", **where, result="success")
        self.assertSample(2, "lolly_checks_total", **where, result="failure")
        self.assertSample(1, "lolly_checks_total", **where, result="drain")
        name = "lolly_check_duration_seconds"
        self.assertSample(3, f"{name}_bucket", pool="app", le="0.05")
        self.assertSample(4, f"{name}_count", pool="app")

    def test_removed_target(self) -> None:
        """Its series leave; when it is back, its counters go on."""
        pool = self.service.pools["app"]
        targets = [node.target for node in pool.nodes.values()]
        pool.acquire(0.0).ended(0.0, 200)
        pool.acquire(0.0).ended(0.0, 200)
        pool.replace(targets[:1], 0.0)
        self.assertNotIn('target="b"', self.told())
        pool.replace(targets, 0.0)
        self.assertSample(1, "lolly_target_requests_total", pool="app", target="b")


class ForwardTests(MetricsTestCase):
    text = '[forward.out]\nendpoint = "tcp:3128"\nallow = ["127.0.0.1"]\n'

    def test_requests(self) -> None:
        """Those that were served and those that were refused are counted together, without a pool."""
        forward = self.service.forwards["out"]
        served = forward.counters.begin("forward out")
        served.codes.update({200: 7, 403: 1})
        forward.proxy.refused_codes[403] = 4
        found = {"pool": "", "listener": "forward out"}
        self.assertSample(7, "lolly_requests_total", code="200", **found)
        self.assertSample(5, "lolly_requests_total", code="403", **found)


class PoolTests(MetricsTestCase):
    def test_requests(self) -> None:
        """By the status that clients got, and those that no pool has seen without one."""
        running = self.service.running_pools["app"]
        served = running.forwarder.counters.begin("web")
        served.codes.update({200: 7, 502: 3})
        served.slower[4] = 2
        served.seconds, served.bytes_in, served.bytes_out = 0.09, 10, 2000
        self.service.resources["web"].proxy.refused_codes[404] = 4
        name = "lolly_requests_total"
        self.assertSample(7, name, pool="app", listener="web", code="200")
        self.assertSample(3, name, pool="app", listener="web", code="502")
        self.assertSample(4, name, pool="", listener="web", code="404")
        self.assertSample(2000, "lolly_bytes_total", listener="web", direction="out")
        self.assertSample(10, "lolly_bytes_total", listener="web", direction="in")
        name = "lolly_request_duration_seconds"
        self.assertSample(8, f"{name}_bucket", pool="app", le="0.001")
        self.assertSample(10, f"{name}_bucket", pool="app", le="0.05")
        self.assertSample(10, f"{name}_count", pool="app")
        self.assertSample(0.09, f"{name}_sum", pool="app")

    def test_more_attempts(self) -> None:
        """Retries, hedges, and how much they make of each request."""
        forwarder = self.service.running_pools["app"].forwarder
        self.assertSample(1, "lolly_retry_amplification", pool="app")
        forwarder.counters.begin("web").codes[200] = 8
        forwarder.counters.retries, forwarder.counters.hedges = 3, 1
        self.assertSample(3, "lolly_retries_total", pool="app")
        self.assertSample(1, "lolly_hedges_total", pool="app")
        self.assertSample(1.5, "lolly_retry_amplification", pool="app")

    def test_pool_that_left(self) -> None:
        """Its series leave, and the bytes of its listener stay what they were."""
        running = self.service.running_pools["app"]
        running.forwarder.counters.begin("web").bytes_out = 5
        self.service.past.add(running)
        self.service.settings_changed({})
        self.assertNotIn('pool="app"', self.told())
        self.assertSample(5, "lolly_bytes_total", listener="web", direction="out")


class ProcessTests(MetricsTestCase):
    def test_settings(self) -> None:
        """Which are in force, and whether the last change was taken."""
        self.assertSample(1, "lolly_config_generation")
        self.assertSample(1, "lolly_config_last_reload_success")
        self.service.generation = Generation(3, 0.0, reloaded=False, failures=2)
        self.assertSample(3, "lolly_config_generation")
        self.assertSample(0, "lolly_config_last_reload_success")
        self.assertSample(2, "lolly_config_refusals_total")

    def test_process(self) -> None:
        """What the kernel says, and what runs."""
        self.assertSample(1 << 20, "process_resident_memory_bytes")
        self.assertSample(11, "process_open_fds")
        self.assertSample(0, "lolly_event_loop_stall_seconds")
        self.assertIn("lolly_build_info{version=", self.told())
        self.assertNotIn("lolly_worker_up", self.told())


class TextTests(MetricsTestCase):
    def test_heads_and_kinds(self) -> None:
        """A family stands in one piece, with its kind, and all of them are declared."""
        declared = {one.name: one.kind for one in ALL}
        text = self.told()
        seen = []
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                self.assertEqual(declared[name], kind)
                seen.append(name)
            elif not line.startswith("#"):
                name = line.partition("{")[0].partition(" ")[0]
                self.assertTrue(name.startswith(seen[-1]), line)
        self.assertEqual(len(seen), len(set(seen)))

    def test_end(self) -> None:
        """OpenMetrics says that it is whole; Prometheus knows no such line."""
        self.assertTrue(self.told(True).endswith("# EOF\n"))
        self.assertNotIn("EOF", self.told())

    def test_labels_are_few(self) -> None:
        """Nothing that a client can choose is a label."""
        labels = {label for one in ALL for label in one.labels}
        self.assertFalse(labels & {"path", "host", "uri", "client", "method"})


class ManyTargetsTests(MetricsTestCase):
    text = TEXT + "[pool.many]\ntargets = [{}]\n".format(
        ",".join(f'"http://10.0.{n // 250}.{n % 250 + 1}:80"' for n in range(1000))
    )

    def test_slices(self) -> None:
        """A thousand targets are told in small parts, each of them once."""
        slices = list(self.metrics.slices(False))
        self.assertLess(max(one.count("\n") for one in slices), 20 * AT_ONCE)
        found = read(text_string_to_metric_families("".join(slices)))
        name = "lolly_upstream_duration_seconds_count"
        self.assertEqual(sum(one == name for one, _ in found), 1002)

    def test_target_that_leaves_meanwhile(self) -> None:
        """What was begun is told to its end."""
        slices = self.metrics.slices(True)
        text = "".join(next(slices) for _ in range(40))
        self.service.pools["many"].replace((), 0.0)
        text += "".join(slices)
        found = read(openmetrics.text_string_to_metric_families(text))
        name = "lolly_upstream_duration_seconds_count"
        self.assertEqual(sum(one == name for one, _ in found), 1002)


class CertificateTests(SynchronousTestCase):
    def test_ends(self) -> None:
        """Of several for one host the first to end counts; orders are counted where there are any."""
        found = {
            family.name: "".join(lines)
            for family, lines in of_certificates(
                [("a.test", 30.0), ("b.test", 5.0), ("a.test", 20.0)],
                {"issued": 3, "failed": 1, "failing": 2, "last_error": "x"},
            )
        }
        self.assertEqual(
            found["lolly_certificate_expiry_seconds"],
            'lolly_certificate_expiry_seconds{name="a.test"} 20.0\n'
            'lolly_certificate_expiry_seconds{name="b.test"} 5.0\n',
        )
        self.assertIn('{result="failed"} 1\n', found["lolly_acme_orders_total"])
        self.assertEqual(found["lolly_acme_failing"], "lolly_acme_failing 2\n")
        self.assertNotIn("lolly_acme_turn", found)

    def test_shared_authorities(self) -> None:
        """Of authorities that instances share it is told whose turn it is, how many there are, and trouble."""
        shared = {
            "le": {"ours": True, "instances": 3, "trouble": None},
            "own": {"ours": False, "instances": 0, "trouble": "it is away"},
        }
        told = {"issued": 0, "failed": 0, "failing": 0, "shared": shared}
        found = "".join("".join(lines) for _, lines in of_certificates((), told))
        for line in (
            'lolly_acme_turn{acme="le"} 1\n',
            'lolly_acme_turn{acme="own"} 0\n',
            'lolly_acme_instances{acme="le"} 3\n',
            'lolly_acme_trouble{acme="le"} 0\n',
            'lolly_acme_trouble{acme="own"} 1\n',
        ):
            self.assertIn(line, found)

    def test_none(self) -> None:
        """Nothing is told where there is nothing."""
        self.assertEqual(
            ["".join(lines) for _, lines in of_certificates((), None)], [""]
        )

    def test_staples(self) -> None:
        """What clients are shown with certificates, where any is to have a staple."""
        ocsp = {"certificates": 3, "good": 2, "revoked": 1, "none": 0}
        ocsp |= {"answers": 7, "failed": 4}
        found = {
            family.name: "".join(lines)
            for family, lines in of_certificates((), None, ocsp)
        }
        self.assertEqual(
            found["lolly_staples"],
            'lolly_staples{status="good"} 2\n'
            'lolly_staples{status="revoked"} 1\n'
            'lolly_staples{status="none"} 0\n',
        )
        self.assertEqual(
            found["lolly_staple_requests_total"],
            'lolly_staple_requests_total{result="answered"} 7\n'
            'lolly_staple_requests_total{result="failed"} 4\n',
        )
        none = of_certificates((), None, {**ocsp, "certificates": 0})
        self.assertEqual(["".join(lines) for _, lines in none], [""])


class WorkersTests(SynchronousTestCase):
    def lines(self, *workers: dict[str, Any]) -> str:
        """What is told of these."""
        settings = {"generation": 1, "last_reload_ok": True, "reload_failures": 0}
        process = {
            "stall_seconds": 0.0,
            "stalls": 0,
            "cpu_seconds": 1.0,
            "log_lines": {"written": 5, "dropped": 2},
            "spans": {"exported": 4, "dropped": 1},
        }
        told = {"settings": settings, "process": process, "workers": workers}
        self.pids: list[int] = []

        def read(pids: Iterable[int]) -> Processes:
            self.pids = [*pids]
            return Processes()

        return "".join("".join(lines) for _, lines in of_processes(told, read))

    def worker(self, number: int, **more: Any) -> dict[str, Any]:
        """One that serves."""
        said = {"worker": number, "pid": 70 + number, "serving": True, "starts": 1}
        return {**said, "silent_seconds": 0.1, **more}

    def test_lines_and_spans(self) -> None:
        """Lines of access logs and spans are counted by what became of them."""
        text = self.lines()
        for line in (
            'lolly_access_log_lines_total{result="written"} 5\n',
            'lolly_access_log_lines_total{result="dropped"} 2\n',
            'lolly_spans_total{result="exported"} 4\n',
            'lolly_spans_total{result="dropped"} 1\n',
        ):
            self.assertIn(line, text)

    def test_up(self) -> None:
        """One that hangs, one that is being made and one that is gone are not."""
        text = self.lines(
            self.worker(1),
            self.worker(2, silent_seconds=3.0),
            self.worker(3, serving=False),
            self.worker(4, serving=False, pid=None, silent_seconds=None, starts=6),
        )
        for number, up in ((1, 1), (2, 0), (3, 0), (4, 0)):
            self.assertIn(f'lolly_worker_up{{worker="{number}"}} {up}\n', text)
        self.assertIn('lolly_worker_starts_total{worker="4"} 6\n', text)
        self.assertEqual(self.pids[1:], [71, 72, 73])


class ListenerTests(SynchronousTestCase):
    def test_connections_and_reasons(self) -> None:
        """By state, and what was refused by its reason; TLS only where there is any."""
        told = {
            "open": 5,
            "idle": 3,
            "accepted": 9,
            "turned_away": 2,
            "bytes_in": 1,
            "bytes_out": 2,
            "refused_codes": {},
            "proxy_refused": {"none": 4},
        }
        tls = {
            "handshakes": 8,
            "failed": {"version": 2},
            "certificates": {"refused": 1},
        }
        listeners = {"web": told, "secure": {**told, "tls": tls}}
        text = "".join("".join(lines) for _, lines in of_listeners(listeners, {}))
        for line in (
            'lolly_connections{listener="web",state="active"} 2',
            'lolly_connections{listener="web",state="idle"} 3',
            'lolly_connections_accepted_total{listener="web"} 9',
            'lolly_connections_turned_away_total{listener="web"} 2',
            'lolly_proxy_header_refusals_total{listener="web",reason="none"} 4',
            'lolly_tls_handshakes_total{listener="secure"} 8',
            'lolly_tls_handshake_failures_total{listener="secure",reason="version"} 2',
            'lolly_certificate_refusals_total{listener="secure"} 1',
        ):
            self.assertIn(line + "\n", text)
        self.assertNotIn('lolly_tls_handshakes_total{listener="web"}', text)

"""What /metrics says of a running proxy, against what clients did and targets saw."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
from typing import Any

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.service.metrics.test_exposition import Samples, read
from tests.system.test_workers import DEADLINE, WorkersTestCase

BATCH = 25
"""Requests that a client sends before it reads their answers."""


class ScrapedTestCase(WorkersTestCase):
    def scrape(self, accept: str = "text/plain") -> str:
        """The text."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.admin, timeout=DEADLINE)
        ) as asking:
            asking.request("GET", "/metrics", headers={"Accept": accept})
            answer = asking.getresponse()
            self.assertEqual(answer.status, 200)
            return answer.read().decode()

    def samples(self) -> Samples:
        """All there are now."""
        return read(text_string_to_metric_families(self.scrape()))

    def total(self, name: str, **labels: str) -> float:
        """The sum of those that have these labels."""
        wanted = labels.items()
        return sum(
            value
            for (one, having), value in self.samples().items()
            if one == name and wanted <= dict(having).items()
        )

    def send(self, requests: int, clients: int = 4) -> int:
        """So many requests, by several clients at once; how many were answered."""
        answered: list[int] = []

        def run() -> None:
            with socket.create_connection(
                ("127.0.0.1", self.port), timeout=DEADLINE
            ) as client:
                file, count = client.makefile("rb"), 0
                for _ in range(requests // clients // BATCH):
                    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * BATCH)
                    for _ in range(BATCH):
                        count += _read_answer(file)
                answered.append(count)

        threads = [threading.Thread(target=run) for _ in range(clients)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(4 * DEADLINE)
        return sum(answered)

    def agree(self, requests: int) -> None:
        """All that is counted of requests comes to so many."""
        wanted = {
            ("lolly_requests_total", "200"): requests,
            ("lolly_request_duration_seconds_count", ""): requests,
            ("lolly_request_duration_seconds_bucket", "+Inf"): requests,
            ("lolly_upstream_duration_seconds_count", ""): requests,
            ("lolly_target_requests_total", ""): requests,
            ("lolly_bytes_total", "out"): 2 * requests,
        }
        found: dict[tuple[str, str], float] = {}

        def counted() -> bool:
            found.clear()
            found.update(dict.fromkeys(wanted, 0))
            for (name, labels), value in self.samples().items():
                by = dict(labels)
                word = by.get("code") or by.get("direction") or by.get("le") or ""
                if (name, word) in found:
                    found[name, word] += value
            return found == wanted

        self.until(counted, f"{wanted}")
        self.assertEqual(sum(each.count for each in self.origins), requests)


def _read_answer(file: Any) -> bool:
    """Whether it is a 200; its body is two bytes long."""
    status: bytes = file.readline()
    while file.readline().strip():
        pass
    return bool(file.read(2) == b"ok" and status.split()[1] == b"200")


class OneProcessTests(ScrapedTestCase):
    workers = 1

    def pids(self) -> list[int]:
        """The one, when it answers."""
        with contextlib.suppress(OSError):
            self.stats()
            return [self.process.pid]
        return []

    def run_proxy(self) -> Any:
        """Known before it serves."""
        self.process = super().run_proxy()
        return self.process

    def test_ten_thousand_requests(self) -> None:
        """As many are counted as were sent, wherever one looks."""
        self.origins.append(self.origin())
        self.start()
        self.assertEqual(self.send(10_000), 10_000)
        self.agree(10_000)
        self.assertEqual(self.total("lolly_worker_up"), 0)
        families = openmetrics.text_string_to_metric_families(
            self.scrape("application/openmetrics-text")
        )
        self.assertTrue(list(families))
        self.assertEqual(self.get(), 200)


class WorkersTests(ScrapedTestCase):
    def test_counters_of_several(self) -> None:
        """Sums of all workers; they do not fall when one is killed, and one that serves is up."""
        self.start()
        self.assertEqual(self.send(1000), 1000)
        self.agree(1000)
        self.until(lambda: self.total("lolly_worker_up") == 2, "both are up")
        before = self.total("process_cpu_seconds_total")
        victim = self.pids()[0]
        os.kill(victim, signal.SIGKILL)
        self.until(
            lambda: len(self.pids()) == 2 and victim not in self.pids(), "another one"
        )
        self.agree(1000)
        self.assertGreaterEqual(self.total("process_cpu_seconds_total"), before)
        self.assertGreaterEqual(self.total("lolly_worker_starts_total"), 3)
        self.assertEqual(self.send(200), 200)
        self.agree(1200)

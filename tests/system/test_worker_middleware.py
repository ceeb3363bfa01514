"""Middleware where several processes serve: a limit is divided between them, and each has a cache of its own."""

from __future__ import annotations

import contextlib
import http.client
import time

from tests.system import test_workers as workers

ROUTES = """
[[route]]
path = "/limited"
use = [{ type = "rate_limit", rate = "10/h", burst = 10 }]
respond = { body = "in" }
[[route]]
path = "/page"
use = [{ type = "cache", cache = "pages" }]
pool = "app"
[cache.pages]
default_ttl = "1h"
"""


class WorkerMiddlewareTests(workers.WorkersTestCase):
    def fetch(self, path: str) -> tuple[int, str]:
        """Status and Cache-Status of one request on a connection of its own, which either worker may take."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=workers.DEADLINE)
        ) as asking:
            asking.request("GET", path)
            answer = asking.getresponse()
            answer.read()
            return answer.status, answer.getheader("Cache-Status", "")

    def fetch_until(self, path: str, there: object, what: str) -> None:
        """Ask again and again until `there()`."""
        assert callable(there)
        until = time.monotonic() + workers.DEADLINE
        while not there():
            self.assertLess(time.monotonic(), until, what)
            self.fetch(path)

    def test_divided(self) -> None:
        """All workers together admit the rate and no more; a page is fetched once by each, and a purge reaches all."""
        self.start(listener=ROUTES)
        admitted = refused = 0
        until = time.monotonic() + workers.DEADLINE
        while admitted < 10 or refused < 20:
            self.assertLess(time.monotonic(), until, f"{admitted} admitted")
            status, _ = self.fetch("/limited")
            self.assertIn(status, (200, 429))
            admitted += status == 200
            refused += status == 429
        self.assertEqual(admitted, 10)

        [origin] = self.origins
        self.fetch_until("/page", lambda: origin.count >= 2, "both have fetched it")
        for _ in range(20):
            self.assertIn("hit", self.fetch("/page")[1])
        self.assertEqual(origin.count, 2)
        status, told = self.ask("/api/cache/purge", "POST", '{"path": "/page"}')
        self.assertEqual(status, 200, told)
        self.fetch_until("/page", lambda: origin.count >= 4, "both fetch it again")
        self.assertEqual(origin.count, 4)

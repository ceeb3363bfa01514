"""Several processes that serve: `lolly run` with `workers`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trustme
from twisted.trial.unittest import TestCase

DEADLINE = 60.0
TOKEN = "0123456789abcdef"


def runs(pid: int) -> bool:
    """Whether there is such a process; one that has ended may wait for whoever takes its status."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


class Origin(socketserver.ThreadingTCPServer):
    """A target in this process: answers after `seconds` with `status`, and counts who is there at once."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Client)
        self.seconds = 0.0
        self.status = 200
        self.lock = threading.Lock()
        self.now = self.peak = self.count = self.checks = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no news."""


class _Client(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        origin: Any = self.server
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            check = line.startswith(b"GET /health ")
            with origin.lock:
                origin.count += not check
                origin.checks += check
                origin.now += not check
                origin.peak = max(origin.peak, origin.now)
            if not check:
                time.sleep(origin.seconds)
            with origin.lock:
                origin.now -= not check
            self.wfile.write(
                b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % origin.status
            )


class WorkersTestCase(TestCase):
    """The proxy as a process, with origins in this one."""

    timeout = 120
    workers = 2

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.origins = [self.origin()]
        self.lines: list[str] = []

    def origin(self) -> Origin:
        """One more target."""
        made = Origin()
        self.addCleanup(made.server_close)
        self.addCleanup(made.shutdown)
        return made

    def start(self, pool: str = "", top: str = "", listener: str = "") -> None:
        """Run the proxy before the origins; returns when every worker serves."""
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            self.port, self.admin = one.getsockname()[1], two.getsockname()[1]
        targets = ", ".join(
            f'{{ url = "http://127.0.0.1:{each.port}", id = "t{n}" }}'
            for n, each in enumerate(self.origins)
        )
        self.config = self.folder / "lolly.toml"
        self.config.write_text(
            f"""workers = {self.workers}
{top}
[admin]
endpoint = "tcp:{self.admin}:interface=127.0.0.1"
token = "{TOKEN}"
[listener.web]
endpoint = "tcp:{self.port}:interface=127.0.0.1"
{listener}
[[route]]
pool = "app"
[pool.app]
targets = [{targets}]
{pool}
"""
        )
        self.process = self.run_proxy()
        self.until(lambda: len(self.pids()) == self.workers, "every worker serves")

    def run_proxy(self) -> subprocess.Popen[str]:
        """A process with what the configuration says."""
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-m", "lolly_tx.cli", "run", str(self.config)],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        reader = threading.Thread(target=self.read, args=(process,), daemon=True)
        reader.start()
        self.addCleanup(self.end, process, reader)
        return process

    def read(self, process: subprocess.Popen[str]) -> None:
        """Keep what it says."""
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line)

    def end(self, process: subprocess.Popen[str], reader: threading.Thread) -> None:
        """Leave nothing running."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                for pid in self.pids():
                    os.kill(pid, signal.SIGKILL)
                process.kill()
                process.wait(DEADLINE)
        reader.join(DEADLINE)
        if process.stdout is not None:
            process.stdout.close()

    def until(self, there: Callable[[], object], what: str = "it") -> None:
        """Wait for it."""
        deadline = time.monotonic() + DEADLINE
        while not there():
            if time.monotonic() > deadline:
                self.fail(f"not in time: {what}\n{''.join(self.lines[-30:])}")
            time.sleep(0.01)

    def ask(
        self, path: str, method: str = "GET", body: str | None = None
    ) -> tuple[int, Any]:
        """Ask the admin side."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.admin, timeout=DEADLINE)
        ) as asking:
            fields = {"Authorization": f"Bearer {TOKEN}"}
            asking.request(method, path, body, fields)
            answer = asking.getresponse()
            return answer.status, json.loads(answer.read())

    def stats(self) -> dict[str, Any]:
        """All counters."""
        found: dict[str, Any] = self.ask("/api/stats")[1]
        return found

    def target(self, name: str = "t0") -> dict[str, Any]:
        """One target as the admin side shows it."""
        shown = self.ask("/api/pools/app")[1]["targets"]
        found: dict[str, Any] = next(one for one in shown if one["id"] == name)
        return found

    def pids(self) -> list[int]:
        """The workers that serve."""
        try:
            shown = self.stats()["workers"]
        except OSError:
            return []
        return [one["pid"] for one in shown if one["serving"]]

    def get(self, connection: http.client.HTTPConnection | None = None) -> int:
        """One request; its status, 0 when there was no answer."""
        own = connection is None
        asking = connection or http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=DEADLINE
        )
        try:
            asking.request("GET", "/")
            answer = asking.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            asking.close()
            return 0
        finally:
            if own:
                asking.close()

    @contextlib.contextmanager
    def load(
        self, clients: int, pause: float = 0.0, fresh: bool = True
    ) -> Iterator[list[tuple[float, int]]]:
        """Clients that ask all the time; what each request came to, and when."""
        found: list[tuple[float, int]] = []
        ending = threading.Event()

        def run() -> None:
            keep = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
            while not ending.is_set():
                status = self.get(None if fresh else keep)
                found.append((time.monotonic(), status))
                ending.wait(pause)
            keep.close()

        threads = [threading.Thread(target=run) for _ in range(clients)]
        for one in threads:
            one.start()
        try:
            yield found
        finally:
            ending.set()
            for one in threads:
                one.join(DEADLINE)


class RunTimeTests(WorkersTestCase):
    def test_target_comes_and_goes(self) -> None:
        """A target that is added serves in every worker; one that leaves gets nobody new and ends what it has begun."""
        self.start()
        new, pools = self.origin(), "/api/pools/app"
        body = {"url": f"http://127.0.0.1:{new.port}", "id": "new", "weight": 9}
        code, told = self.ask(f"{pools}/targets", "POST", json.dumps(body))
        self.assertEqual((code, told["late_workers"]), (201, []))
        for _ in range(60):
            self.assertEqual(self.get(), 200)
        self.assertGreater(new.count, 30)
        self.assertEqual(self.ask(f"{pools}/new", "PATCH", '{"weight": 1}')[0], 200)
        self.assertEqual(self.ask(f"{pools}/t0", "DELETE")[0], 200)
        before = self.origins[0].count
        new.seconds = 2.0
        slow = threading.Thread(target=self.get)
        slow.start()
        self.until(lambda: self.target("new")["in_flight"] == 1)
        body = {"url": f"http://127.0.0.1:{self.origins[0].port}", "id": "t0"}
        code, told = self.ask(f"{pools}/targets", "POST", json.dumps(body))
        self.assertEqual((code, self.origins[0].count), (201, before))
        self.assertEqual(self.ask(f"{pools}/new", "DELETE")[0], 200)
        slow.join(DEADLINE)

        def gone() -> bool:
            shown = self.ask("/api/explain/app/new")[1]
            return bool(shown["why_not"] == "left")

        self.until(gone, "the last exchange at a target that left is over")
        count = new.count
        for _ in range(20):
            self.assertEqual(self.get(), 200)
        self.assertEqual(new.count, count)


class TracedTests(WorkersTestCase):
    def test_exemplars(self) -> None:
        """Traced exchanges of every worker are behind the buckets of what the admin side tells of durations."""
        self.start(top="trace = { sample = 1.0 }")
        for _ in range(10):
            self.assertEqual(self.get(), 200)

        def told() -> bool:
            return b'trace_id="' in self.metrics()

        self.until(told, "an exemplar is told")

    def metrics(self) -> bytes:
        """As OpenMetrics."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.admin, timeout=DEADLINE)
        ) as asking:
            accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
            asking.request("GET", "/metrics", headers=accept)
            return asking.getresponse().read()


class ServingTests(WorkersTestCase):
    def test_all_workers_serve_and_are_counted_together(self) -> None:
        """Each has connections of its own, and the admin side shows the sums."""
        self.start(top='access_log = { path = "access.log", flush = "10ms" }')
        for _ in range(60):
            self.assertEqual(self.get(), 200)
        self.until(lambda: self.stats()["pools"]["app"]["exchanges"] == 60)
        stats = self.stats()
        self.assertEqual(stats["listeners"]["web"]["accepted"], 60)
        self.until(lambda: self.target()["counters"]["requests"] == 60)
        status, body = self.ask("/readyz")
        self.assertEqual((status, body), (200, {"ready": True}))
        log = self.folder / "access.log"
        self.until(lambda: len(log.read_text().splitlines()) == 60)
        log.rename(self.folder / "access.log.1")
        self.process.send_signal(signal.SIGUSR1)
        self.until(log.exists)
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(DEADLINE), 0)
        self.assertEqual(self.get(), 0)
        self.until(lambda: any("Server Shut Down" in line for line in self.lines))
        self.assertTrue(any("worker 1: " in line for line in self.lines), self.lines)

    def test_second_instance_is_refused(self) -> None:
        """It does not silently share the port."""
        self.start()
        self.config.write_text(
            self.config.read_text().replace(f"tcp:{self.admin}", "tcp:0")
        )
        again = self.run_proxy()
        self.assertEqual(again.wait(DEADLINE), 1)
        self.assertTrue(any("cannot listen on" in line for line in self.lines))

    def test_killed_worker_loses_its_own_connections_only(self) -> None:
        """Under 300 requests a second: failures are at most those in flight, and it is back within a second."""
        self.origins[0].seconds = 0.01
        self.start()
        with self.load(8, pause=0.015) as found:
            time.sleep(1.0)
            [victim, other] = self.pids()
            before = self.stats()["pools"]["app"]["exchanges"]
            killed = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            self.until(lambda: victim not in self.pids() and len(self.pids()) == 2)
            back = time.monotonic() - killed
            time.sleep(1.0)
        failed = [at for at, status in found if status != 200]
        self.assertLessEqual(len(failed), 8)
        self.assertLess(back, 1.0)
        self.assertIn(other, self.pids())
        self.assertGreater(len(found), 400)
        self.until(
            lambda: self.stats()["pools"]["app"]["exchanges"] > before + 200,
            "totals go on from where they were",
        )

    def test_hanging_worker_is_replaced_and_the_others_serve(self) -> None:
        """A stopped process is noticed by its silence."""
        self.start()
        [victim, other] = self.pids()
        keep = [
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            for _ in range(16)
        ]
        statuses = [self.get(one) for one in keep]
        self.assertEqual(statuses, [200] * 16)
        os.kill(victim, signal.SIGSTOP)
        stopped = time.monotonic()
        self.until(lambda: victim not in self.pids())
        self.until(lambda: len(self.pids()) == 2)
        self.assertLess(time.monotonic() - stopped, 8.0)
        self.assertIn(other, self.pids())
        after = [self.get(one) for one in keep]
        self.assertIn(200, after)
        for one in keep:
            one.close()
        self.assertEqual(self.get(), 200)
        self.assertTrue(any("was silent" in line for line in self.lines))

    def test_stop_lets_exchanges_end(self) -> None:
        """SIGTERM under load: nothing new is accepted, what is under way is answered, and the status is 0."""
        self.origins[0].seconds = 1.0
        self.start()
        pids = self.pids()
        with self.load(6, pause=9.0) as found:
            self.until(lambda: self.origins[0].now == 6)
            self.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.process.wait(DEADLINE), 0)
            self.until(lambda: len(found) == 6)
        self.assertEqual([status for _, status in found], [200] * 6)
        self.assertEqual(self.get(), 0)
        self.until(lambda: not any(runs(pid) for pid in pids))

    def test_second_signal_ends_all_at_once(self) -> None:
        """No worker is left behind, whatever it is doing."""
        self.origins[0].seconds = 8.0
        self.start()
        pids = self.pids()
        with self.load(4, pause=9.0):
            self.until(lambda: self.origins[0].now == 4)
            self.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            self.assertIsNone(self.process.poll())
            self.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.process.wait(3.0), 128 + signal.SIGTERM)
            self.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))

    def test_template_that_dies_is_no_loss(self) -> None:
        """Workers serve on, and the next one comes from another template."""
        self.start()
        [template] = {
            int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            for pid in self.pids()
        }
        os.kill(template, signal.SIGKILL)
        self.assertEqual([self.get() for _ in range(8)], [200] * 8)
        victim = self.pids()[0]
        os.kill(victim, signal.SIGKILL)
        self.until(lambda: victim not in self.pids() and len(self.pids()) == 2)
        self.assertEqual([self.get() for _ in range(8)], [200] * 8)

    def test_workers_outlive_their_supervisor_for_a_while(self) -> None:
        """They go on by what it said last, and end in good order when they are told to."""
        self.start()
        pids = self.pids()
        self.process.kill()
        self.process.wait(DEADLINE)
        time.sleep(0.5)
        self.assertEqual([self.get() for _ in range(8)], [200] * 8)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        self.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


class TogetherTests(WorkersTestCase):
    def test_flip_of_health_is_everywhere_in_no_time(self) -> None:
        """What one probe finds keeps every worker from the target: there is one probe, not one per worker."""
        self.origins.append(self.origin())
        self.start(
            'health = { path = "/health", interval = "200ms", rise = 1, fall = 1 }\n'
            "retry = { tries = 1 }"
        )
        before = self.origins[0].checks
        time.sleep(2.0)
        self.assertLess(self.origins[0].checks - before, 15)
        with self.load(4) as found:
            self.origins[0].status = 503
            self.until(lambda: self.target("t0")["health"]["state"] == "down")
            flipped = time.monotonic()
            time.sleep(1.0)
        late = [at - flipped for at, status in found if status == 503 and at > flipped]
        self.assertLess(max(late, default=0.0), 0.1)

    def test_operators_word_reaches_all(self) -> None:
        """A target that is drained gets nothing from any worker, and a new worker knows of it."""
        self.origins.append(self.origin())
        self.start()
        self.assertEqual(self.ask("/api/pools/app/t0/drain", "POST")[0], 200)
        time.sleep(0.1)
        count = self.origins[0].count
        os.kill(self.pids()[0], signal.SIGKILL)
        self.until(lambda: len(self.pids()) == 2)
        for _ in range(20):
            self.assertEqual(self.get(), 200)
        self.assertEqual(self.origins[0].count, count)
        self.ask("/api/pools/app/t0/enable", "POST")
        self.until(lambda: self.get() == 200 and self.origins[0].count > count)

    def test_deadline_of_a_drain_ends_what_workers_have_open(self) -> None:
        """What is under way at the target is cut when its time is over, whichever worker has it."""
        self.origins[0].seconds = 6.0
        self.start("retry = { tries = 1 }")
        with self.load(4) as found:
            self.until(lambda: self.target()["in_flight"] == 4)
            began = time.monotonic()
            status, _ = self.ask("/api/pools/app/t0/drain?deadline=1s", "POST")
            self.assertEqual(status, 200)
            self.until(lambda: len(found) >= 4)
            self.assertLess(time.monotonic() - began, 4.0)
        self.assertNotIn(200, {status for _, status in found})

    def test_failures_are_counted_over_all_workers(self) -> None:
        """Three failures eject a target, whichever workers saw them: not three in each."""
        self.origins.append(self.origin())
        self.origins[0].status = 500
        self.start(
            'passive = { max_fails = 3, fail_timeout = "60s", statuses = ["500"] }\n'
            "retry = { tries = 1 }"
        )
        for _ in range(40):
            self.get()
            time.sleep(0.01)
        self.assertEqual(self.origins[0].count, 3)
        self.assertEqual(self.target("t0")["ejection"]["state"], "ejected")


class LimitTests(WorkersTestCase):
    workers = 4

    def test_max_conns_holds_for_all_together(self) -> None:
        """Ten at once are ten, with four workers and a hundred clients; those who wait have their turn."""
        self.origins[0].seconds = 0.03
        self.start('queue = { size = 400, timeout = "10s" }', top="")
        self.process.terminate()
        self.process.wait(DEADLINE)
        text = self.config.read_text().replace(
            'id = "t0" }', 'id = "t0", max_conns = 10 }'
        )
        self.config.write_text(text)
        self.process = self.run_proxy()
        self.until(lambda: len(self.pids()) == 4)
        with self.load(100) as found:
            time.sleep(2.5)
        self.assertEqual({status for _, status in found}, {200})
        self.assertEqual(self.origins[0].peak, 10)


class ReloadTests(WorkersTestCase):
    def change(self, *pairs: tuple[str, str]) -> None:
        """Edit the configuration."""
        text = self.config.read_text()
        for old, new in pairs:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.config.write_text(text)

    def reload(self) -> tuple[int, Any]:
        """Have it read again."""
        return self.ask("/api/reload", "POST")

    def test_reloads_under_load_lose_nothing(self) -> None:
        """Targets, weights and a listener change in every worker at once; nobody notices, and a new worker knows."""
        self.origins.append(self.origin())
        self.start('health = { path = "/health", interval = "200ms" }')
        pids = self.pids()
        plain = self.config.read_text()
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            extra = one.getsockname()[1]
        other = (
            plain.replace('id = "t0" }', 'id = "t0", weight = 3, max_conns = 50 }')
            .replace('path = "/health"', 'path = "/health", fall = 4')
            .replace(
                "[[route]]",
                f'[listener.more]\nendpoint = "tcp:{extra}:interface=127.0.0.1"\n[[route]]',
            )
        )
        fewer = other.replace(
            f', {{ url = "http://127.0.0.1:{self.origins[1].port}"', "#"
        )
        fewer = fewer.replace('#, id = "t1" }', "")
        with self.load(4, pause=0.005) as fresh, self.load(4, 0.005, False) as kept:
            for turn in range(12):
                self.config.write_text((other, fewer, plain)[turn % 3])
                status, answer = self.reload()
                self.assertEqual(status, 200, answer)
                if turn % 3 < 2:
                    with contextlib.closing(
                        http.client.HTTPConnection("127.0.0.1", extra, timeout=9)
                    ) as asking:
                        self.assertEqual(self.get(asking), 200)
                time.sleep(0.1)
        self.assertEqual({status for _, status in fresh}, {200})
        self.assertEqual({status for _, status in kept}, {200})
        self.assertEqual(self.pids(), pids)
        self.config.write_text(fewer)
        self.assertEqual(self.reload()[0], 200)
        os.kill(pids[0], signal.SIGKILL)
        self.until(lambda: len(self.pids()) == 2)
        count = self.origins[1].count
        for _ in range(20):
            self.assertEqual(self.get(), 200)
        self.assertEqual(self.origins[1].count, count)

    def test_certificate_of_all_workers(self) -> None:
        """TLS with workers: a reload, and a file that changed, bring the other certificate everywhere."""
        authority = trustme.CA()
        files = []
        for number in range(2):
            issued = authority.issue_cert("example.org")
            file = self.folder / f"{number}.pem"
            issued.private_key_and_cert_chain_pem.write_to_path(str(file))
            files.append(file)
        self.start(listener=f'tls.certificate = "{files[0]}"')
        context = ssl.create_default_context()
        authority.configure_trust(context)

        def serials() -> set[str]:
            found: set[str] = set()
            for _ in range(12):
                address = ("127.0.0.1", self.port)
                with socket.create_connection(address, DEADLINE) as plain:
                    with context.wrap_socket(
                        plain, server_hostname="example.org"
                    ) as secured:
                        shown: Any = secured.getpeercert()
                        found.add(shown["serialNumber"])
            return found

        first = serials()
        self.change((str(files[0]), str(files[1])))
        self.assertEqual(self.reload()[0], 200)
        # The answer does not wait for the last worker, which follows some milliseconds later.
        self.until(lambda: not serials() & first)
        self.assertEqual((len(first), len(serials())), (1, 1))
        files[1].write_bytes(files[0].read_bytes())
        self.until(lambda: serials() == first)

    def test_what_one_refuses_is_in_force_nowhere(self) -> None:
        """A port that somebody else has: everything goes on as it was, in every worker."""
        self.origins.append(self.origin())
        self.start()
        generation = self.ask("/api/config")[1]["generation"]
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.change(
                (
                    "[[route]]",
                    f'[listener.more]\nendpoint = "tcp:{taken.getsockname()[1]}:interface=127.0.0.1"\n[[route]]',
                ),
                ('id = "t0" }', 'id = "t0", down = true }'),
            )
            status, answer = self.reload()
        self.assertEqual(status, 422, answer)
        self.assertIn("cannot listen on", str(answer))
        self.assertEqual(self.ask("/api/config")[1]["generation"], generation)
        for _ in range(16):
            self.assertEqual(self.get(), 200)
        self.assertGreater(self.origins[0].count, 0)

    def test_limit_that_comes_with_a_reload_holds_for_all(self) -> None:
        """It counts what is in flight already."""
        self.origins[0].seconds = 0.05
        self.start('queue = { size = 100, timeout = "10s" }')
        with self.load(20) as found:
            time.sleep(0.5)
            self.change(('id = "t0" }', 'id = "t0", max_conns = 3 }'))
            self.assertEqual(self.reload()[0], 200)
            time.sleep(0.3)
            self.origins[0].peak = 0
            time.sleep(1.0)
            peak = self.origins[0].peak
        self.assertEqual({status for _, status in found}, {200})
        self.assertLessEqual(peak, 3)

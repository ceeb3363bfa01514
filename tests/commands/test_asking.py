"""The commands that ask a running proxy, with the admin endpoint's own answers."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from unittest.mock import patch

import trustme
from cryptography.x509 import ocsp
from treq.testing import StubTreq
from twisted.internet.defer import execute, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx._version import described
from lolly_tx.commands import base
from lolly_tx.commands.base import AskingCommand, ago
from lolly_tx.commands.client import AdminClient, CannotAsk, admin_url, path_of
from lolly_tx.commands.events import EventsCommand
from lolly_tx.commands.operate import DrainCommand
from lolly_tx.commands.status import StatusCommand
from lolly_tx.config import parse
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.service import service
from lolly_tx.service.acme.orders import OrderFailed
from lolly_tx.service.acme.renewals import Renewals
from lolly_tx.service.acme.window import Suggestion
from lolly_tx.service.admin.endpoint import AdminResource
from lolly_tx.service.build import build
from lolly_tx.service.certificates.stapling import Stapling
from lolly_tx.service.generation import Generation
from tests.config.samples import read
from tests.net.authority import Authority

CONFIG = """\
[admin]
endpoint = "unix:/run/lolly/admin.sock"
token = "0123456789abcdef"
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
all_down = "least_bad"
targets = [{ url = "http://10.0.0.1:80", id = "a" }, { url = "http://10.0.0.2:80", id = "b" }]
"""

ACME = """
state_dir = "state"
[admin]
endpoint = "tcp:8081:interface=127.0.0.1"
token = "0123456789abcdef"
[acme.test]
directory = "https://127.0.0.1:1/dir"
[listener.secure]
endpoint = "tcp:8443"
tls.acme = "test"
[[route]]
host = ["a.test", "b.test"]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""


STAPLED = """
[admin]
endpoint = "tcp:8081:interface=127.0.0.1"
[listener.secure]
endpoint = "tcp:8443"
tls.certificate = "site.pem"
tls.ocsp = true
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""


class StubClient:
    """Asks the resource itself. `token`: as the commands read it."""

    def __init__(self, service, now):
        resource = AdminResource(service, now=now, token="0123456789abcdef")
        self.treq = StubTreq(resource)
        self.token = ""

    def __call__(self, url, token=""):
        self.url, self.token = url, token
        return self

    def ask(self, method, path):
        fields = {"Authorization": f"Bearer {self.token}"}
        got = []
        answer = self.treq.request(method, f"http://127.0.0.1{path}", headers=fields)
        answer.addCallback(self.treq.json_content).addCallback(got.append)
        if "error" in got[0]:
            raise CannotAsk(got[0]["error"])
        return got[0]

    def get(self, path):
        return self.ask("GET", path)

    get_even_if_unready = get

    def post(self, path):
        return self.ask("POST", path)


class AskingTests(SynchronousTestCase):
    def setUp(self):
        self.time = 1.0
        self.service = build(
            MemoryReactorClock(), read(CONFIG), now=lambda: self.time, random=Random(1)
        )
        self.pool = self.service.pools["app"]
        self.client = StubClient(self.service, lambda: self.time)
        self.patch(base, "AdminClient", self.client)
        self.patch(os, "environ", {"LOLLY_TOKEN": "0123456789abcdef"})

    def lolly(self, *argv):
        out, err = io.StringIO(), io.StringIO()
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(argv)
        return status, out.getvalue(), err.getvalue()

    def told(self, *argv):
        status, out, err = self.lolly(*argv)
        unready = argv[0] == "status" and not self.service.listening
        self.assertEqual((status, err), (1 if unready else 0, ""))
        return out

    def refused(self, *argv):
        status, out, err = self.lolly(*argv)
        self.assertEqual((status, out), (1, ""))
        # `drain --wait` says before how far it was.
        *said, last = err.splitlines(keepends=True)
        self.assertEqual(said, ["a: 1 in flight\n"] * len(said))
        return last

    def test_status(self):
        """`lolly status` tells whether it is ready, and of each target the state and the last cause."""
        self.service.listening = True
        self.pool.observe("b", Observation(False, "503 from /health"), 1.0)
        self.time = 5.0
        lines = self.told("status").splitlines()
        self.assertEqual(lines[0], "ready")
        self.assertIn("listener web: 0 open, 0 accepted", lines[1])
        self.assertIn("pool app: 1 of 2 available, 0 exchanges", lines[3])
        self.assertRegex(lines[5], r"^  a +available +0 +0 +0 +0 B +0 B +-$")
        self.assertRegex(
            lines[6], r"b +unhealthy .* 4\.0 s ago: check: 503 from /health"
        )
        self.assertRegex(lines[-1], r"^generation 1, since .*Z$")
        self.service.generation = Generation(3, 0.0, reloaded=False)
        last = self.told("status").splitlines()[-1]
        self.assertIn("generation 3, since 1970", last)
        self.assertIn("the last reload was REFUSED", last)

    def test_streams_and_forward_proxies(self):
        """Each has a line with its sessions or requests, its bytes, and why some went nowhere."""
        answer = json.loads(self.told("status", "--json"))
        common = {
            **answer["stats"]["listeners"]["web"],
            "bytes_in": 640,
            "bytes_out": 1_500_000,
        }
        stream = {
            "streams": 9,
            "ended": {"client": 7, "idle": 2},
            "refused": 3,
            "without_target": {"access": 3},
        }
        forward = {"exchanges": 5, "in_flight": 1, "denied": {"loop": 1, "host": 4}}
        answer["stats"]["listeners"] = {
            "stream db": {**common, **stream},
            "forward out": {**common, **forward},
        }
        lines = StatusCommand().lines(answer)
        moved = "640 B in, 1.5 MB out"
        self.assertIn(
            f"  9 sessions ended (7 client, 2 idle), {moved}; 3 refused (3 access)",
            lines,
        )
        self.assertIn(
            f"  5 requests, 1 in flight, {moved}; denied (4 host, 1 loop)", lines
        )

    def test_too_many_handshakes(self):
        """A listener's handshakes beyond limits.handshakes have a line when there are any."""
        answer = json.loads(self.told("status", "--json"))
        web = answer["stats"]["listeners"]["web"]
        web["tls"] = {"handshakes": 9, "failed": {"rate": 4, "not_tls": 1}}
        lines = StatusCommand().lines(answer)
        self.assertEqual(lines[3], "  closed by limits.handshakes: 4", lines)
        web["tls"] = {"handshakes": 9, "failed": {"not_tls": 1}}
        self.assertNotIn("limits.handshakes", "".join(StatusCommand().lines(answer)))

    def test_workers(self):
        """Each worker has a line: what it does, or why it does not."""

        class Workers:
            serving = True

            def ailing(self):
                return []

            def connections(self, listener):
                return 3, 1.0

            def statistics(self, told):
                one = {"worker": 1, "pid": 77, "serving": True, "starts": 1}
                one |= {"seconds": 5.0, "why": "", "exchanges": 12, "open": 3}
                one |= {"state": "serving", "state_seconds": 4.5, "restarts": 0}
                one["next_start_seconds"] = None
                two = {**one, "worker": 2, "serving": False, "starts": 4}
                two |= {"state": "back-off", "restarts": 3, "pid": None}
                two |= {"next_start_seconds": 0.4, "why": "ended by SIGKILL"}
                three = {**one, "worker": 3, "serving": False, "state": "starting"}
                return {**told, "workers": [one, two, three]}

        self.service.colleagues = Workers()
        lines = self.told("status").splitlines()
        one, two, three = [line for line in lines if line.startswith("worker")]
        self.assertEqual(
            one, "worker 1: serving for 4.5 s, process 77, 3 open, 12 exchanges"
        )
        self.assertEqual(
            two,
            "worker 2: back-off for 4.5 s, next start in 0.4 s, 3 restarts:"
            " NOT SERVING: ended by SIGKILL",
        )
        self.assertEqual(
            three, "worker 3: starting for 4.5 s, process 77, 3 open, 12 exchanges"
        )

    def test_not_ready(self):
        """A proxy that is not ready says why."""
        lines = self.told("status").splitlines()
        self.assertEqual(lines[:2], ["NOT READY", "  not every listener is up"])

    def test_certificates(self):
        """Of certificates that are asked for it has the next try, and the last error where there is trouble."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        config = parse(ACME, f"{folder.name}/lolly.toml")
        clock = MemoryReactorClock()
        service = build(clock, config, now=clock.seconds, wall=clock.seconds)

        def order(settings, store, host):
            if host == "b.test":
                raise OrderFailed("refused: too many")
            until = datetime.fromtimestamp(90 * 86400.0, UTC)
            begin = datetime.fromtimestamp(0.0, UTC)
            made = trustme.CA().issue_cert(host, not_before=begin, not_after=until)
            pem = made.private_key_and_cert_chain_pem
            pem.write_to_path(store.certificate(host))

        renewals = service.upkeep.renewals = Renewals(
            clock,
            lambda: config,
            wall=clock.seconds,
            random=Random(1),
            in_thread=lambda work: execute(work),
            order=order,
            ask=lambda *named: Suggestion(None, 86400.0),
        )
        renewals.start()
        self.addCleanup(renewals.stop)
        [(_, served)] = service.listeners.certificates
        served.take(served.read())
        self.patch(base, "AdminClient", StubClient(service, clock.seconds))
        out = self.told("status")
        self.assertIn("(a.test): expires 1970-04-01T00:00:00.000Z, in 90 days\n", out)
        self.assertIn("acme: 1 issued, 1 failed; next try at 1970-01-01T00:01:", out)
        self.assertRegex(
            out,
            r"acme test: NO CERTIFICATE for b.test \(1 tries, the next at 1970-01-01T00:01:.*\): refused: too many",
        )
        stats = json.loads(self.told("status", "--json"))["stats"]
        self.assertEqual(
            stats["acme"]["last_error"],
            {
                "at": "1970-01-01T00:00:00.000Z",
                "acme": "test",
                "host": "b.test",
                "error": "refused: too many",
            },
        )
        self.assertEqual((stats["acme"]["names"], stats["acme"]["failing"]), (2, 1))
        shown = stats["listeners"]["secure"]["tls"]["certificates"]
        self.assertEqual(shown["expires_in_seconds"], 90 * 86400)

    def test_staples(self):
        """Of certificates with staples it has until when they hold, what is wrong, and that they are revoked."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        authority = Authority()
        leaf = authority.write(Path(folder.name) / "site.pem", "a.test")
        clock = MemoryReactorClock()
        clock.advance(authority.wall)
        config = parse(STAPLED, f"{folder.name}/lolly.toml")
        service = build(clock, config, now=clock.seconds, wall=clock.seconds)
        said = [authority.respond(leaf), OSError("no route")]

        def ask(url, question):
            return fail(said[0]) if isinstance(said[0], OSError) else succeed(said[0])

        service.upkeep.stapling = Stapling(
            clock,
            service.listeners.stapled,
            service.commons.staples,
            state_dir=lambda: "",
            wall=clock.seconds,
            random=Random(1),
            ask=ask,
        )
        service.upkeep.stapling.start()
        self.addCleanup(service.upkeep.stapling.stop)
        self.patch(base, "AdminClient", StubClient(service, clock.seconds))
        self.assertRegex(self.told("status"), r"in \d+ days; staple until 2\d+-.*Z\n")
        del said[0]
        clock.advance(43200)
        out = self.told("status")
        self.assertRegex(out, r"; staple until 2\d+-.*Z \(OSError: no route\)\n")
        clock.advance(43200)
        out = self.told("status")
        self.assertIn("days; NO STAPLE (OSError: no route)\n", out)
        authority.wall = clock.seconds()
        said[0] = authority.respond(leaf, status=ocsp.OCSPCertStatus.REVOKED)
        clock.advance(3600)
        self.assertIn("; REVOKED, says its staple, until 2", self.told("status"))
        stats = json.loads(self.told("status", "--json"))["stats"]["ocsp"]
        self.assertEqual((stats["answers"], stats["revoked"]), (2, 1))
        self.flushLoggedErrors()

    def test_json(self):
        """With --json the same is there for programs."""
        said = json.loads(self.told("status", "--json"))
        self.assertEqual(said["pools"][0]["name"], "app")
        self.assertEqual(json.loads(self.told("events", "-j"))["latest"], 0)

    def test_target_that_leaves(self):
        """`lolly status` names targets that are no more, while they have something to end."""
        lease = self.pool.acquire(1.0)
        others = [n.target for n in self.pool.nodes.values() if n is not lease.node]
        self.pool.replace(others, 1.0)
        said = f"  {lease.node.id} has left: 1 exchanges still in flight\n"
        self.assertIn(said, self.told("status"))
        self.assertIn(
            "leaving: 1 exchange still in flight, nobody new",
            self.told("explain", "app", lease.node.id),
        )
        lease.release(2.0)
        self.assertNotIn("has left", self.told("status"))

    def test_explain_pool(self):
        """`lolly explain POOL` has a sentence for each target, and the odds of panic."""
        self.pool.set_enabled("b", "drain", "test", 1.0)
        out = self.told("explain", "app")
        self.assertIn("  a  takes new exchanges\n", out)
        self.assertIn("  b  draining: back when the operator enables it\n", out)
        self.pool.observe("a", Observation(False, "503"), 1.0)
        self.assertIn("panic: 100.00%", self.told("explain", "app"))

    def test_explain_target(self):
        """`lolly explain POOL TARGET` shows facts, evidence and history."""
        self.pool.observe("a", Observation(False, "503 from /health", 0.01), 1.0)
        lease = self.pool.acquire(1.0)
        lease.failed(1.0, ConnectFailed("connection refused"))
        lease.release(1.0)
        self.time = 301.0
        out = self.told("explain", "app", "a")
        self.assertIn("NO  health    down", out)
        self.assertRegex(out, r"5 min ago +bad +10\.0 ms +503 from /health")
        self.assertRegex(out, r"5 min ago +health +up -> down +check: 503 from /health")
        out = self.told("explain", "app", "b")
        self.assertRegex(
            out, r"last checks: none\n\n  last failures:\n +5 min ago +bad"
        )
        self.assertIn("history: nothing has happened", out)

    def test_explain_request(self):
        """`lolly explain --path` tells the choice and what excludes the others."""
        self.pool.observe("b", Observation(False, "503"), 1.0)
        out = self.told("explain", "--path", "/x", "--header", "A: 1")
        self.assertIn("choice: a (RoundRobin: the next choice; 0.39% of", out)
        self.assertRegex(out, r"\* a +- +0 \(100 %\)")
        self.assertRegex(out, r"  b +unhealthy")
        self.assertIn("at most 2 tries, after: connect, reset, timeout", out)
        self.assertIn("pool app", self.told("explain", "app", "--client", "10.9.9.9"))

    def test_no_route(self):
        """A request that no route takes is told as such."""
        config = read(CONFIG.replace("[[route]]\n", '[[route]]\nhost = "z"\n'))
        service = build(MemoryReactorClock(), config, now=lambda: 1.0)
        self.patch(base, "AdminClient", StubClient(service, lambda: 1.0))
        self.assertEqual(
            self.told("explain", "--host", "y"),
            "no route: 404\nnot by:\n  z /  another host\n",
        )
        out = self.told("explain", "--host", "z")
        self.assertTrue(out.endswith("route z /, listener web\n"), out)

    def test_events(self):
        """`lolly events` has a line for each change."""
        self.assertEqual(self.told("events"), "nothing has happened\n")
        self.pool.observe("a", Observation(False, "503"), 1.0)
        self.pool.set_enabled("b", "down", "test", 1.0)
        out = self.told("events", "--limit", "1")
        self.assertRegex(
            out,
            r"^3 +20[0-9-]+T[0-9:.]+Z +0\.0 s ago +app/b +enabled +up -> down +test\n$",
        )

    def test_events_followed(self):
        """`lolly events --follow` goes on until the proxy ends it."""
        self.pool.observe("b", Observation(False, "503 from /health"), 1.0)
        asked = []

        def stream(path, *kinds):
            asked.append(path)
            yield "beat", {"latest": 1}
            for one in self.client.get("/api/events")["events"]:
                yield "change", one

        self.client.stream = stream
        status, out, err = self.lolly("events", "--follow", "--limit", "5")
        self.assertEqual(status, 1)
        self.assertIn("app/b  health  up -> down  check: 503 from /health", out)
        self.assertEqual(err, "lolly: the proxy has ended the stream\n")
        self.assertEqual(asked, ["/api/events?after=0"])
        _, out, _ = self.lolly("events", "--follow", "--json")
        self.assertEqual(json.loads(out.splitlines()[0])["target"], "b")

    def test_follow_without_reader(self):
        """It ends with the next beat when whoever read what it writes has gone, and that is no failure."""
        self.client.stream = lambda path, *kinds: iter([("beat", {"latest": 1})] * 9)
        read, written = os.pipe()
        os.close(read)
        with open(written, "w") as out:
            command = EventsCommand()
            command.parseOptions(["--follow"])
            self.assertEqual(command.run(out, io.StringIO()), 0)

    def test_follow_nobody(self):
        """Where nothing answers it says so."""
        self.patch(base, "AdminClient", AdminClient)
        status, _, err = self.lolly("events", "--follow", "-a", "http://127.0.0.1:1")
        self.assertEqual(status, 1)
        self.assertIn("nothing answers at http://127.0.0.1:1", err)

    def test_events_in_order(self):
        """Events stand in the order they happened, whenever somebody noticed them."""
        for _ in range(6):
            lease = self.pool.acquire(1.0)
            if lease.node.id == "a":
                lease.failed(1.0, ConnectFailed("connection refused"))
            lease.release(1.0)
        self.assertEqual(self.pool.nodes["a"].ejection, "ejected")
        self.pool.set_enabled("b", "drain", "test", 2.0)
        self.time = 400.0
        self.pool.set_enabled("b", "up", "test", 300.0)
        self.time = 500.0
        events = json.loads(self.told("events", "-j"))["events"]
        ages = [event["seconds_ago"] for event in events]
        self.assertEqual(ages, sorted(ages, reverse=True))
        # Noticed only now, the end of the ejection stands where it belongs.
        self.assertEqual(
            [
                f"{event['target']} {event['new']}"
                for event in events
                if event["target"]
            ],
            ["a ejected", "b drain", "a trial", "b up"],
        )

    def test_exit_status_of_status(self):
        """`lolly status` exits 1 while the proxy is not ready, whether for people or for programs."""
        self.service.privilegedStartService()
        self.service.startService()
        for argv in (("status",), ("status", "--json")):
            self.assertEqual(self.lolly(*argv)[0], 0)
        for name in "ab":
            self.pool.set_enabled(name, "down", "test", 1.0)
        for argv in (("status",), ("status", "--json")):
            status, out, err = self.lolly(*argv)
            self.assertEqual((status, err), (1, ""))
            self.assertIn("pool app: no target is available", out)

    def test_check_in_progress(self):
        """While a check is in flight, the account says so in place of a time."""
        self.pool.observe("a", Observation(False, "503"), 1.0)
        self.assertIn("(none is planned)", self.told("explain", "app"))
        self.service.next_check = lambda pool, target: "in progress"
        self.assertIn(
            "after 1 more good check (one is in progress)",
            self.told("explain", "app"),
        )
        self.assertIn("first check in progress", self.told("explain", "app", "b"))

    def test_how_often_ejected(self):
        """An ejection is counted as the first, the second, and so on."""
        node = self.pool.nodes["a"]
        for streak, said in (
            (1, "1st"),
            (2, "2nd"),
            (3, "3rd"),
            (11, "11th"),
            (22, "22nd"),
        ):
            node.streak = streak
            self.assertIn(f", {said} ejection", self.told("explain", "app", "a"))

    def test_targets_by_address(self):
        """A target may be named by its address, as it is written or as people write it."""
        for name in ("b", "10.0.0.2:80", "http://10.0.0.2:80", "HTTP://10.0.0.2:80/"):
            out = self.told("drain", "app", name)
            self.assertEqual(out, "app/b: draining, 0 exchanges in flight\n")
            self.assertIn(
                "app/b (http://10.0.0.2:80)", self.told("explain", "app", name)
            )
            self.told("enable", "app", name)
        self.assertIn("it has: a, b", self.refused("drain", "app", "10.0.0.2:81"))

    def test_drain_and_wait(self):
        """`lolly drain --wait` returns when the last exchange has ended."""
        lease = self.pool.acquire(1.0)
        self.assertEqual(lease.node.id, "a")
        waits = []

        def sleep(seconds):
            waits.append(seconds)
            if len(waits) == 3:
                lease.release(2.0)

        self.patch(DrainCommand, "sleep", staticmethod(sleep))
        status, out, err = self.lolly("drain", "--wait", "app", "10.0.0.1:80")
        self.assertEqual((status, err), (0, "a: 1 in flight\n"))
        self.assertEqual(out, "app/a: draining, 0 exchanges in flight\n")
        self.assertEqual(len(waits), 3)
        self.assertEqual(self.told("drain", "-w", "app", "a"), out)

    def test_drain_deadline(self):
        """`lolly drain --deadline` sets one; a word that is no duration is refused."""
        self.told("drain", "--deadline", "10m", "app", "a")
        answer = json.loads(self.told("drain", "-j", "-d", "5m", "app", "a"))
        self.assertEqual(answer["drain_ends_in_seconds"], 300.0)
        self.service.drains.stop()
        self.assertIn(
            'deadline: "soon"', self.refused("drain", "-d", "soon", "app", "b")
        )
        self.assertEqual(self.pool.nodes["b"].enabled, "up")

    def test_drain_in_vain(self):
        """It gives up after --timeout, and when somebody enables the target or takes it away."""
        lease = self.pool.acquire(1.0)
        self.addCleanup(lease.release, 1.0)
        clock = [0.0]

        def sleep(seconds):
            clock[0] += seconds

        self.patch(DrainCommand, "now", staticmethod(lambda: clock[0]))
        self.patch(DrainCommand, "sleep", staticmethod(sleep))
        said = self.refused("drain", "--wait", "--timeout", "5", "app", "a")
        self.assertIn("1 exchanges are still in flight at a after 5 s", said)
        self.assertEqual(self.pool.nodes["a"].enabled, "drain")

        def enable(seconds):
            self.pool.set_enabled("a", "up", "test", 1.0)

        self.patch(DrainCommand, "sleep", staticmethod(enable))
        self.assertIn("was enabled again", self.refused("drain", "-w", "app", "a"))
        others = [self.pool.nodes["b"].target]

        def remove(seconds):
            self.pool.replace(others, 1.0)

        self.patch(DrainCommand, "sleep", staticmethod(remove))
        self.assertIn("no target a any more", self.refused("drain", "-w", "app", "a"))
        self.assertEqual(self.lolly("drain", "-w", "--timeout", "-1", "app", "a")[0], 2)
        self.assertEqual(
            self.lolly("drain", "-w", "--timeout", "inf", "app", "a")[0], 2
        )

    def test_listener(self):
        """`lolly drain --listener` and `lolly enable --listener`, with --wait as for targets."""
        self.service.privilegedStartService()
        self.addCleanup(self.service.listener_drains.stop)
        out = self.told("drain", "--listener", "web", "--deadline", "10m")
        self.assertEqual(out, "listener web: drained, 0 connections; 600 s to go\n")
        self.assertIn("  drained, 0 connections; 600 s", self.told("status"))
        self.assertIn("  every listener is drained\n", self.told("status"))
        self.assertRegex(self.told("events"), "listener web +listener +up -> drain")
        out = self.told("enable", "-l", "web")
        self.assertEqual(out, "listener web: up, 0 connections\n")
        left = [2, 2, 1, 0]

        def places(service, told):
            return [
                {
                    "name": "web",
                    "state": "draining" if left[0] else "drained",
                    "open": left.pop(0),
                    "oldest_seconds": 61.0,
                    "drain_ends_in_seconds": None,
                    "accepted": 2,
                }
            ]

        self.patch(service, "places_of", places)
        self.patch(DrainCommand, "sleep", staticmethod(lambda seconds: None))
        left.insert(0, 2)  # asked for its name
        status, out, err = self.lolly("drain", "-l", "web", "--wait")
        self.assertEqual(
            (status, err),
            (
                0,
                "web: draining, 2 connections, the oldest 61 s old\n"
                "web: draining, 1 connections, the oldest 61 s old\n",
            ),
        )
        self.assertIn("listener web: drained, 0 connections", out)

    def test_listener_in_vain(self):
        """Unknown names, and words that do not go together."""
        said = self.refused("drain", "--listener", "other")
        self.assertIn("there is no listener other; those that can be: web", said)
        for words in (
            ("drain", "--listener", "web", "app", "a"),
            ("enable", "--listener", "web", "app", "a"),
            ("disable", "--listener", "web"),
            ("drain", "--listener", ""),
            ("enable",),
        ):
            self.assertEqual(self.lolly(*words)[0], 2, words)

    def test_stop(self):
        """`lolly status` says how far a stop is."""
        self.service.draining = True
        self.service.stopping.announce(30.0)
        lines = self.told("status").splitlines()
        self.assertEqual(
            lines[3], "  0 connections, 0 exchanges in flight; 30 s to go", lines
        )

    def test_admin_from_the_environment(self):
        """LOLLY_ADMIN says where, unless an option does."""
        self.patch(os, "environ", {"LOLLY_ADMIN": "unix:/run/a.sock"})
        self.told("events")
        self.assertEqual(self.client.url, "unix:/run/a.sock")
        self.told("events", "--admin", "http://10.0.0.1:9")
        self.assertEqual(self.client.url, "http://10.0.0.1:9")

    def test_any_bytes(self):
        """Arguments that are no UTF-8 are names like others."""
        for word in ("\udcff\udcfe", "\x1b[2J", "\U0001f41a", "../..", "%2f", ""):
            self.assertNotIn("mistake", self.refused("drain", "app", word or "\udcff"))
            _, _, err = self.lolly("explain", "--path", "/", "--header", f"A: {word}")
            self.assertNotIn("mistake", err)

    def test_answers_of_another_kind(self):
        """An answer that is JSON but not ours is one line."""
        for answer in (
            {},
            [],
            None,
            3,
            "x",
            {"pools": 1},
            {"events": [{}]},
            {"ready": []},
        ):
            for argv in (
                ("status",),
                ("events",),
                ("explain", "app"),
                ("explain", "app", "a"),
                ("explain", "--path", "/"),
                ("drain", "app", "a"),
                ("drain", "-w", "app", "a"),
            ):
                self.patch(self.client, "ask", lambda *_, answer=answer: answer)
                status, out, err = self.lolly(*argv)
                self.assertEqual((status, out), (1, ""), (argv, answer))
                self.assertEqual(err.count("\n"), 1)
                self.assertNotIn("mistake", err)

    def test_terminals(self):
        """What a stranger got into an answer does not drive the operator's terminal."""
        self.pool.observe("a", Observation(False, "\x1b[2J\nx"), 1.0)
        self.assertIn(r"\x1b[2J\x0ax", self.told("events"))

    def test_words(self):
        """`lolly drain`, `disable` and `enable` reach the target."""
        for command, word, said in (
            ("drain", "drain", "draining"),
            ("disable", "down", "disabled"),
            ("enable", "up", "available"),
        ):
            out = self.told(command, "app", "a")
            self.assertEqual(out, f"app/a: {said}, 0 exchanges in flight\n")
            self.assertEqual(self.pool.nodes["a"].enabled, word)

    def test_refusals(self):
        """A wrong token, or a target that does not exist, is one line and status 1."""
        self.assertIn("it has: a, b", self.refused("drain", "app", "x"))
        self.patch(os, "environ", {})
        self.assertIn("a valid token is needed", self.refused("drain", "app", "a"))
        self.assertEqual(self.pool.nodes["a"].enabled, "up")

    def test_where(self):
        """The endpoint is the default, the one of --admin, or that of the configuration with its token."""
        self.told("events")
        self.assertEqual(self.client.url, "http://127.0.0.1:8081")
        self.told("events", "--admin", "http://10.0.0.1:9")
        self.assertEqual(self.client.url, "http://10.0.0.1:9")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "t.toml")
            file.write_text(CONFIG)
            token = Path(folder, "token")
            token.write_text("0123456789abcdef\n")
            self.patch(os, "environ", {})
            self.told("drain", "app", "a", "--config", str(file))
            self.assertEqual(self.client.url, "unix:/run/lolly/admin.sock")
            self.client.token = ""
            self.told("enable", "app", "a", "-t", str(token))
            self.assertIn("token", self.refused("events", "-t", folder))
            large, other = Path(folder, "large"), Path(folder, "other")
            with large.open("wb") as stream:
                stream.truncate(1 << 30)
            other.write_text("\xe9")
            for file, reason in (
                ("/dev/zero", "not a regular file"),
                (large, "larger than 8 MiB"),
                (other, "is not ASCII"),
                (Path(folder, "none"), "No such file or directory"),
            ):
                self.assertEqual(
                    self.refused("events", "-t", str(file)),
                    f"lolly: cannot read the token from {file}: {reason}\n",
                )
            file.write_text(CONFIG + "x = 1\ny = 2\n")
            self.assertIn(
                "(and 1 more; see lolly check)", self.refused("events", "-c", str(file))
            )
            file.write_text(
                CONFIG.replace("[admin]", "[limits]").split("endpoint", 1)[0]
                + CONFIG[CONFIG.index("[listener") :]
            )
            self.assertIn(
                "has no [admin] table", self.refused("events", "-c", str(file))
            )

    def test_misuse(self):
        """Misuse exits 2."""
        for argv in (
            ("explain",),
            ("explain", "app", "a", "--path", "/"),
            ("events", "--limit", "-1"),
            ("events", "--limit", "x"),
            ("events", "-a", "x", "-c", "y"),
            ("drain", "app"),
            ("run",),
        ):
            self.assertEqual(self.lolly(*argv)[0], 2, argv)

    def test_version(self):
        """--version after a command is ours as well."""
        with (
            self.assertRaises(SystemExit),
            patch.object(sys, "stdout", io.StringIO()) as out,
        ):
            cli.main(["status", "--version"])
        self.assertEqual(out.getvalue(), f"{described()}\n")

    def test_base(self):
        """A command that says neither what to ask nor how to show it is a mistake of ours."""
        for method in (AskingCommand().ask, AskingCommand().lines):
            with self.assertRaises(NotImplementedError):
                method(None)


class ClientTests(SynchronousTestCase):
    def test_urls(self):
        """An endpoint of the configuration is asked where it listens."""
        for endpoint, url in (
            ("tcp:8081:interface=127.0.0.1", "http://127.0.0.1:8081"),
            ("tcp:8081", "http://127.0.0.1:8081"),
            ("tcp:port=8081:interface=0.0.0.0", "http://127.0.0.1:8081"),
            (r"tcp:8081:interface=\:\:1", "http://[::1]:8081"),
            ("unix:/run/x.sock:mode=600", "unix:/run/x.sock"),
        ):
            self.assertEqual(admin_url(endpoint), url)
        with self.assertRaisesRegex(CannotAsk, "type systemd; use --admin"):
            admin_url("systemd:domain=INET:index=0")

    def test_bad_urls(self):
        """What is no URL of an admin endpoint is refused."""
        for url in (
            "127.0.0.1:8081",
            "https://x",
            "http://",
            "http://x/y",
            "http://x:y",
        ):
            with self.assertRaisesRegex(CannotAsk, "is neither"):
                AdminClient(url)
        self.assertEqual(
            repr(AdminClient("http://x", "secret")), "<AdminClient http://x>"
        )

    def test_paths(self):
        """Names are quoted, so that none can be another path."""
        self.assertEqual(
            path_of("api", "a/b", path="/x?y", host="", header=["A: 1", "B: 2"]),
            "/api/a%2Fb?path=%2Fx%3Fy&header=A%3A+1&header=B%3A+2",
        )

    def test_nothing_answers(self):
        """When nothing answers, the error says where and why."""
        with self.assertRaisesRegex(
            CannotAsk, "nothing answers at unix:/no/such: no such"
        ):
            AdminClient("unix:/no/such").get("/healthz")
        with self.assertRaisesRegex(CannotAsk, "characters no header may have"):
            AdminClient("unix:/no/such", "a\nb").get("/healthz")

    def test_ages(self):
        """Ages are told as people tell them."""
        said = [ago(s) for s in (None, 4.24, 119, 120, 7200, 200_000)]
        self.assertEqual(
            said, ["-", "4.2 s ago", "119.0 s ago", "2 min ago", "2 h ago", "2 d ago"]
        )

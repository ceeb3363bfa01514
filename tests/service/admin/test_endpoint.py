"""Tests of the admin endpoint."""

import json
from io import StringIO
from random import Random
from typing import Any
from unittest.mock import patch

import attrs
from treq.testing import StubTreq
from twisted.internet.address import IPv4Address
from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.checks.health import Observation, Thresholds
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.domain.events import Event
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.service.admin.endpoint import AdminResource, admin_site
from lolly_tx.service.drains import Drains
from lolly_tx.service.dryrun import CannotExplain, Question
from lolly_tx.service.listener_drains import ListenerDrains
from lolly_tx.service.listeners import Listeners
from lolly_tx.service.listening import Place
from lolly_tx.service.records.history import History
from lolly_tx.service.records.journal import Journal
from lolly_tx.service.records.reopening import NotReopened
from lolly_tx.service.serving import Colleagues
from lolly_tx.service.stopping import Left, Stopping
from lolly_tx.service.watchdog import Stall, WatchdogSnapshot
from lolly_tx.testing import fake_pool
from tests.service.test_listeners import Endpoint


class Silent:
    """An event sink that keeps nothing."""

    def emit(self, event):
        pass


def make_pool(name, *ids):
    """A pool whose targets are called `ids`."""
    return Pool(
        name,
        [Target(id=id, address=f"http://{id}:80") for id in ids],
        balancer=RoundRobin(random=Random(0)),
        accrual=None,
        thresholds=Thresholds(rise=1, fall=1),
        now=0.0,
        events=Silent(),
        random=Random(0),
    )


@attrs.define(slots=False)
class Running:
    """A proxy as far as the endpoint looks at it."""

    pools: dict[str, Pool] = attrs.field(factory=dict)
    planned: dict[str, float] = attrs.field(factory=dict)
    listening: bool = True
    draining: bool = False
    journal: Journal = attrs.field(factory=Journal)
    asked: list[Question] = attrs.field(factory=list)
    colleagues: Colleagues | None = None
    cut: list[str] = attrs.field(factory=list)
    fault: dict[str, Any] | None = None
    amending: None = None
    discoveries: None = None
    providers: None = None

    def __attrs_post_init__(self):
        self.clock = Clock()

        def cut(pool, node):
            self.cut.append(f"{pool}/{node.id}")

        self.history = History(self.pools, self.clock.seconds, lambda: 1.8e9)
        self.drains = Drains(self.clock, self.clock.seconds, self.pools, cut)
        self.listeners = Listeners()
        self.endpoint = Endpoint()
        self.listeners.prepare("front", Place("tcp:80", self.endpoint, None))
        self.listeners.commit()
        self.listener_drains = ListenerDrains(
            self.clock,
            self.clock.seconds,
            self.listeners,
            lambda name: 2,
            self.journal.emit,
        )
        left = Left(3, 1, 7.5)
        self.stopping = Stopping(
            self.clock, self.clock.seconds, self.listeners, lambda: left, quiet=True
        )

    def places(self, told=None):
        drains = self.listener_drains
        return [
            {
                "name": name,
                "state": drains.state(name),
                "drain_ends_in_seconds": drains.left(name),
                "open": 2,
                "accepted": accepted,
            }
            for name, accepted in (("front", 9), ("[admin]", None))
        ]

    def watched(self):
        stall = Stall(40.0, 0.5, 0.2, ("a.py:1 f",))
        lateness = ((0.001, 7), (float("inf"), 1))
        return WatchdogSnapshot(8, 1, 0.5, 0.3, stall, lateness)

    def statistics(self):
        return {"listeners": {}, "pools": {}}

    def local_fault(self):
        return self.fault

    def telling(self):
        yield
        return self.statistics()

    def certificates(self):
        return []

    def next_check(self, pool, target):
        return 52.5

    def next_recheck(self, pool, target):
        return self.planned.get(target)

    def exemplars(self, pool):
        return {}

    def dry_run(self, question):
        if question.pool == "nowhere":
            raise CannotExplain("no such pool", 404)
        self.asked.append(question)
        return {"choice": "a"}

    def traced(self):
        return [{"number": 1}]


class AdminTestCase(SynchronousTestCase):
    token: str | None = None
    read_token: str | None = None
    hosts: tuple[str, ...] = ()

    def setUp(self):
        self.web = make_pool("web", "a", "b")
        self.running = Running({"web": self.web, "api": make_pool("api", "c")})
        self.resource = AdminResource(
            self.running,
            now=lambda: 50.0,
            token=self.token,
            read_token=self.read_token,
            hosts=self.hosts,
            wall=lambda: 1795293660.25,
        )
        self.treq = StubTreq(self.resource)

    def ask(self, path, method="GET", headers=None, host="127.0.0.1:8081"):
        response = self.successResultOf(
            self.treq.request(method, f"http://{host}{path}", headers=headers or {})
        )
        if method == "HEAD":
            return response, None
        return response, self.successResultOf(self.treq.json_content(response))

    def assertStatus(self, status, *args, **kwargs):
        response, body = self.ask(*args, **kwargs)
        self.assertEqual(response.code, status, body)
        return body


class ReadTokenTests(AdminTestCase):
    """An endpoint that other machines can reach asks who wants to read."""

    token = "writer"
    read_token = "reader"

    def bearer(self, token):
        return {"authorization": f"Bearer {token}"}

    def test_health_for_all(self):
        """Whether the proxy is alive and ready is told to everybody."""
        self.assertStatus(200, "/healthz")
        self.assertStatus(200, "/readyz")

    def test_the_rest(self):
        """Everything else needs one of the two tokens, to read."""
        for path in ("/", "/api/pools", "/api/explain/web", "/api/stats", "/none"):
            self.assertStatus(401, path)
            self.assertStatus(401, path, headers=self.bearer("guess"))
        for token in ("reader", "writer"):
            self.assertStatus(200, "/api/pools", headers=self.bearer(token))

    def test_writing(self):
        """Who may read may not change anything."""
        path = "/api/pools/web/a/drain"
        self.assertStatus(401, path, "POST", self.bearer("reader"))
        self.assertStatus(200, path, "POST", self.bearer("writer"))

    def test_guesses(self):
        """Wrong tokens for reading are counted like others."""
        for _ in range(10):
            self.assertStatus(401, "/api/pools", headers=self.bearer("guess"))
        self.assertStatus(429, "/api/pools", headers=self.bearer("reader"))

    def test_reading_only(self):
        """Without a token for changes, the one for reading changes nothing."""
        self.token = None
        self.setUp()
        self.assertStatus(200, "/api/pools", headers=self.bearer("reader"))
        path = "/api/pools/web/a/drain"
        self.assertStatus(403, path, "POST", self.bearer("reader"))


class Workers:
    """Processes that serve, or not."""

    def __init__(self, serving: bool, *ailing: str) -> None:
        self.serving = serving
        self._ailing = list(ailing)

    def ailing(self) -> list[str]:
        return self._ailing

    def statistics(self, told: dict[str, Any]) -> dict[str, Any]:
        return told


class ReadingTests(AdminTestCase):
    hosts = ("Proxy.Example",)

    def test_worker_that_does_not_serve_is_named(self):
        """While others do it is ready all the same; with none it is not."""
        self.running.colleagues = Workers(True, "worker 2 does not serve: why")
        self.assertEqual(
            self.assertStatus(200, "/readyz"),
            {"ready": True, "degraded": ["worker 2 does not serve: why"]},
        )
        self.running.colleagues = Workers(False, "worker 1 does not serve: why")
        self.assertEqual(
            self.assertStatus(503, "/readyz")["reasons"],
            ["worker 1 does not serve: why"],
        )
        self.running.colleagues = Workers(False)
        self.assertEqual(
            self.assertStatus(503, "/readyz")["reasons"], ["no worker serves yet"]
        )

    def test_alive(self):
        """/healthz says 200 whatever the pools are like."""
        self.running.listening = False
        self.assertEqual(self.assertStatus(200, "/healthz"), {"alive": True})

    def test_ready(self):
        """/readyz says 200 when the proxy can do its work."""
        self.assertEqual(self.assertStatus(200, "/readyz"), {"ready": True})

    def test_not_connected(self):
        """A pool that waits for connectors is shown as it is, and does not make the proxy unready for all others."""
        for node in self.web.nodes.values():
            self.web.roster.set_absent(node, "no connector", 1.0)
        self.assertEqual(self.assertStatus(200, "/readyz"), {"ready": True})
        told = self.assertStatus(200, "/api/explain/web/a")
        self.assertEqual(told["why_not"], "not connected")
        self.assertEqual(
            self.assertStatus(200, "/api/pools")["pools"][0]["available"], 0
        )

    def test_local_fault(self):
        """Whoever has lost the network is not ready; what it has run out of is said, and no more."""
        fault = {"kind": "network", "since_seconds": 1.0, "why": "so many are silent"}
        self.running.fault = fault
        body = self.assertStatus(503, "/readyz")
        self.assertEqual(body["reasons"], ["local fault: so many are silent"])
        told = self.assertStatus(200, "/api/explain/web")
        self.assertEqual(told["local_fault"], fault)
        self.running.fault = {**fault, "kind": "resources"}
        body = self.assertStatus(200, "/readyz")
        self.assertEqual(body["degraded"], ["local fault: so many are silent"])

    def test_not_ready(self):
        """/readyz says 503 with every reason."""
        self.running.listening = False
        self.running.draining = True
        self.web.set_enabled("a", "down", "test", 1.0)
        self.web.observe("b", Observation(False, "503 from /health"), 2.0)
        body = self.assertStatus(503, "/readyz")
        self.assertEqual(
            body,
            {
                "ready": False,
                "reasons": [
                    "not every listener is up",
                    "draining",
                    "pool web: no target is available",
                ],
            },
        )

    def test_one_target_is_enough(self):
        """A pool with one target left does not make the proxy unready."""
        self.web.set_enabled("a", "down", "test", 1.0)
        self.assertStatus(200, "/readyz")

    def test_pools(self):
        """/api/pools shows each target with its state, the last change and counters."""
        self.web.observe("b", Observation(False, "503 from /health"), 20.0)
        lease = self.web.acquire(50.0)
        body = self.assertStatus(200, "/api/pools")
        self.assertEqual([pool["name"] for pool in body["pools"]], ["web", "api"])
        web = body["pools"][0]
        self.assertEqual(web["available"], 1)
        a, b = web["targets"]
        self.assertEqual((a["address"], a["in_flight"]), ("http://a:80", 1))
        self.assertEqual(a["counters"]["requests"], 1)
        self.assertEqual((b["available"], b["why_not"]), (False, "unhealthy"))
        self.assertEqual(
            (b["enabled"], b["health"]["state"], b["ejection"]["state"]),
            ("up", "down", "up"),
        )
        self.assertEqual(b["last_change"]["seconds_ago"], 30.0)
        self.assertIn("503 from /health", b["last_change"]["cause"])
        lease.release(51.0)

    def test_one_pool(self):
        """/api/pools/NAME shows one pool."""
        self.assertEqual(self.assertStatus(200, "/api/pools/api")["name"], "api")

    def test_explain_target(self):
        """/api/explain/POOL/TARGET gives the account of a target, with the time of its next check."""
        self.web.observe("b", Observation(False, "503 from /health"), 20.0)
        body = self.assertStatus(200, "/api/explain/web/b")
        self.assertEqual(
            body["summary"],
            "unhealthy: back after 1 more good check (the next in 2.5 s)",
        )
        self.assertEqual(body["history"][0]["seconds_ago"], 30.0)
        self.assertEqual(len(self.assertStatus(200, "/api/explain/web")["targets"]), 2)

    def test_one_truth(self):
        """However a target is named, and wherever it is asked about, its way back is the same."""
        pool = fake_pool(
            [Target(id="a", address="http://127.0.0.1:9", host="127.0.0.1", port=9)],
            RoundRobin(random=Random(0)),
            ConsecutiveFailures,
        )
        self.running.pools["lone"] = pool
        self.running.planned["a"] = 50.4
        self.running.next_check = lambda pool, target: None
        for _ in range(3):
            lease = pool.acquire(40.0)
            lease.failed(40.0, ConnectFailed("connection refused"))
            lease.release(40.0)
        way = "after 2 more connects of our own in a row (the next in 0.4 s)"
        for name in ("a", "127.0.0.1:9", "http%3A%2F%2F127.0.0.1%3A9"):
            body = self.assertStatus(200, f"/api/explain/lone/{name}")
            self.assertEqual(body["summary"], f"ejected: back {way}")
            self.assertEqual((body["back"], body["state"]["back"]), ([[way]], [way]))
        [one] = self.assertStatus(200, "/api/explain/lone")["targets"]
        self.assertEqual(one["summary"], f"ejected: back {way}")
        [one] = self.assertStatus(200, "/api/pools/lone")["targets"]
        self.assertEqual(one["back"], [way])
        (_, _, lone) = self.assertStatus(200, "/api/pools")["pools"]
        self.assertEqual(lone["targets"][0]["back"], [way])

    def test_explain_unknown(self):
        """An unknown target is a 404 that names those there are."""
        self.assertIn(
            "it has: a, b", self.assertStatus(404, "/api/explain/web/x")["error"]
        )
        self.assertStatus(404, "/api/explain/x/a")

    def test_explain_request(self):
        """/api/explain-request asks for a dry run with the parameters of the query."""
        path = "/api/explain-request?host=x&path=/a%3Fb&cookie=c%3D1"
        self.assertEqual(self.assertStatus(200, path), {"choice": "a"})
        self.assertEqual(
            self.running.asked, [Question(host="x", path="/a?b", cookie="c=1")]
        )
        self.assertEqual(self.assertStatus(200, path, "POST"), {"choice": "a"})
        self.assertStatus(404, "/api/explain-request?pool=nowhere")
        self.assertStatus(400, "/api/explain-request?pol=web")

    def test_events(self):
        """/api/events shows the latest changes; one can ask for those after a number."""
        for at in range(3):
            self.running.journal.emit(
                Event(float(at), "web", "a", "health", "up", "down", "x")
            )
        body = self.assertStatus(200, "/api/events?after=1&limit=1")
        self.assertEqual(body["latest"], 3)
        [event] = body["events"]
        self.assertEqual(
            (event["number"], event["target"], event["seconds_ago"]), (3, "a", 48.0)
        )
        self.assertEqual(event["time"], "2026-11-21T20:40:12.250Z")
        self.assertEqual(self.assertStatus(200, "/api/events?limit=0")["events"], [])
        self.assertStatus(400, "/api/events?after=x")

    def test_watchdog(self):
        """/api/watchdog shows the stalls of the event loop, as valid JSON."""
        body = self.assertStatus(200, "/api/watchdog")
        self.assertEqual((body["stalls"], body["last"]["seconds_ago"]), (1, 10.0))
        self.assertEqual(body["lateness"][1], {"at_most_seconds": None, "beats": 1})
        self.running.watched = lambda: attrs.evolve(
            Running.watched(self.running), last=None
        )
        self.assertEqual(self.assertStatus(200, "/api/watchdog")["last"], None)

    def test_others(self):
        """/api/stats and /api/traces show what the proxy has."""
        self.assertIn("pools", self.assertStatus(200, "/api/stats"))
        self.assertEqual(
            self.assertStatus(200, "/api/traces"), {"traces": [{"number": 1}]}
        )

    def test_unknown_pool(self):
        """A pool that does not exist is a 404."""
        said = self.assertStatus(404, "/api/pools/x")["error"]
        self.assertEqual(said, "no such pool; known: api, web")
        said = self.assertStatus(404, "/api/pools/apy")["error"]
        self.assertEqual(said, 'no such pool; did you mean "api"?')

    def test_index(self):
        """/ lists the paths."""
        self.assertIn("/readyz", self.assertStatus(200, "/")["paths"])

    def test_unknown_path(self):
        """Other paths are a 404 in JSON."""
        for path in ("/x", "/api", "/healthz/", "/api/pools/web/a/x", "/%ff", "//"):
            self.assertIn("error", self.assertStatus(404, path))

    def test_method(self):
        """What only can be read refuses other methods and names the right ones."""
        for path in ("/", "/healthz", "/readyz", "/api/pools", "/api/pools/web"):
            response, _ = self.ask(path, "POST")
            self.assertEqual(response.code, 405)
            self.assertEqual(response.headers.getRawHeaders("allow"), ["GET, HEAD"])

    def test_head(self):
        """HEAD has the length of the answer and no body."""
        response, _ = self.ask("/healthz", "HEAD")
        self.assertEqual(response.code, 200)
        self.assertEqual(self.successResultOf(response.content()), b"")

    def test_head_fields(self):
        """The answer is JSON, is not cached, and does not name the software."""
        for path in ("/healthz", "/x"):
            fields = self.ask(path)[0].headers
            self.assertFalse(fields.hasHeader("server"))
            self.assertEqual(fields.getRawHeaders("cache-control"), ["no-store"])
            self.assertEqual(fields.getRawHeaders("content-type"), ["application/json"])

    def test_hosts(self):
        """The Host may be an IP address, localhost or a configured name."""
        for host in (
            "127.0.0.1",
            "10.1.2.3:8081",
            "[::1]",
            "[::1]:8081",
            "localhost:8081",
            "LOCALHOST",
            "proxy.example:8081",
        ):
            self.assertStatus(200, "/healthz", headers={"Host": host})

    def test_rebinding(self):
        """A name that an attacker may point at us is refused."""
        for host in (
            "evil.example",
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1:8081@evil.example",
            "[::1]evil.example",
            "",
        ):
            body = self.assertStatus(403, "/api/pools", headers={"Host": host})
            self.assertIn("Host", body["error"])

    def test_our_own_failure(self):
        """A fault of ours is a 500 without details, and is logged."""
        self.running.pools = None
        self.assertEqual(
            self.assertStatus(500, "/api/pools"), {"error": "internal error"}
        )
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_read_only(self):
        """Without a token in the settings, nothing can be changed."""
        body = self.assertStatus(403, "/api/pools/web/a/drain", "POST")
        self.assertIn("no token", body["error"])
        self.assertEqual(self.web.nodes["a"].enabled, "up")


class WritingTests(AdminTestCase):
    token = "hunter2"

    def say(self, path, **headers):
        return self.ask(path, "POST", {"Authorization": "Bearer hunter2"} | headers)

    def test_words(self):
        """The operator's word reaches the target, with its cause on record."""
        for action, word in (("drain", "drain"), ("disable", "down"), ("enable", "up")):
            response, body = self.say(f"/api/pools/web/a/{action}")
            self.assertEqual((response.code, body["enabled"]), (200, word))
            self.assertEqual(self.web.nodes["a"].enabled, word)
            self.assertIn("operator", body["last_change"]["cause"])

    def test_deadline(self):
        """A drain with a deadline becomes a disable when it passes, and what is under way there is cut."""
        _, body = self.say("/api/pools/web/a/drain?deadline=10m")
        self.assertEqual(body["drain_ends_in_seconds"], 600.0)
        self.running.clock.advance(599.0)
        self.assertEqual(self.web.nodes["a"].enabled, "drain")
        self.running.clock.advance(1.0)
        self.assertEqual(self.web.nodes["a"].enabled, "down")
        self.assertIn("deadline", self.web.nodes["a"].last_change.cause)
        self.assertEqual(self.running.cut, ["web/a"])
        _, body = self.say("/api/pools/web/a/enable")
        self.assertIsNone(body["drain_ends_in_seconds"])

    def test_deadline_taken_back(self):
        """Another word, a drain without a deadline, or the end of the target: the deadline is nobody's any more."""
        for word in ("enable", "disable", "drain"):
            self.say("/api/pools/web/a/drain?deadline=10m")
            self.say(f"/api/pools/web/a/{word}")
            self.assertEqual(list(self.running.drains), [])
        self.say("/api/pools/web/a/drain?deadline=10m")
        self.web.set_enabled("a", "up", "a reload", 0.0)
        self.say("/api/pools/web/b/drain?deadline=10m")
        self.web.replace([self.web.nodes["a"].target], 0.0)
        self.running.clock.advance(600.0)
        self.assertEqual((self.web.nodes["a"].enabled, self.running.cut), ("up", []))

    def test_wrong_deadline(self):
        """What is no duration, or is of no drain, is refused, and nothing is said."""
        for path in ("drain?deadline=soon", "disable?deadline=10m"):
            response, body = self.say(f"/api/pools/web/a/{path}")
            self.assertEqual(response.code, 400)
            self.assertIn("deadline", body["error"])
        self.assertEqual(self.web.nodes["a"].enabled, "up")

    def test_unknown(self):
        """A pool, target or action that does not exist is a 404."""
        for path in ("x/a/drain", "web/x/drain", "web/a/explode"):
            self.assertEqual(self.say(f"/api/pools/{path}")[0].code, 404)

    def test_method(self):
        """A change is a POST."""
        response, _ = self.ask("/api/pools/web/a/drain")
        self.assertEqual(response.code, 405)
        self.assertEqual(response.headers.getRawHeaders("allow"), ["POST"])

    def test_reopen_logs(self):
        """Log files are opened anew; those that cannot be are named, and no traceback is."""
        bearer = {"authorization": "Bearer hunter2"}
        self.assertStatus(401, "/api/logs/reopen", "POST")
        self.assertStatus(405, "/api/logs/reopen")
        done = []
        self.running.reopening = lambda: done.append(1)
        body = self.assertStatus(200, "/api/logs/reopen", "POST", bearer)
        self.assertEqual((done, body), ([1], {"reopened": True}))

        def fails():
            raise NotReopened([PermissionError(13, "denied", name) for name in "ab"])

        self.running.reopening = fails
        body = self.assertStatus(500, "/api/logs/reopen", "POST", bearer)
        self.assertEqual(
            body["errors"], ["[Errno 13] denied: 'a'", "[Errno 13] denied: 'b'"]
        )

    def test_wrong_token(self):
        """Without the right token nothing changes."""
        for credentials in ("", "Bearer", "Bearer hunter3", "Basic hunter2", "hunter2"):
            response, _ = self.say("/api/pools/web/a/drain", Authorization=credentials)
            self.assertEqual(response.code, 401)
            self.assertEqual(
                response.headers.getRawHeaders("www-authenticate"), ["Bearer"]
            )
        self.assertEqual(self.web.nodes["a"].enabled, "up")

    def test_guessing(self):
        """After ten wrong tokens an address is not listened to for a while."""
        path = "/api/pools/web/a/drain"
        for guess in range(10):
            response, _ = self.say(path, Authorization=f"Bearer {guess}")
            self.assertEqual(response.code, 401)
        response, _ = self.say(path)
        self.assertEqual(response.code, 429)
        self.assertTrue(response.headers.getRawHeaders("retry-after"))
        self.assertEqual(self.web.nodes["a"].enabled, "up")

    def test_no_credentials(self):
        """A request without credentials changes nothing."""
        self.assertStatus(401, "/api/pools/web/a/drain", "POST")

    def test_a_page_locks_nobody_out(self):
        """Posts without a token, as any web page can send them, are no guesses: the operator goes on."""
        path = "/api/pools/web/a/drain"
        for fields in (
            {},
            {"Authorization": "Basic eDp5"},
            {"Authorization": "Bearer "},
        ):
            for _ in range(11):
                self.assertStatus(401, path, "POST", fields)
        response, _ = self.say(path)
        self.assertEqual(response.code, 200)

    def test_foreign_pages(self):
        """What a page of another site or port sends is refused before its token is looked at."""
        path = "/api/pools/web/a/drain"
        for name, value in (
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
            ("Origin", "http://127.0.0.1:3000"),
            ("Origin", "http://evil.example"),
            ("Origin", "null"),
        ):
            for _ in range(11):
                response, body = self.say(path, **{name: value})
                self.assertEqual(response.code, 403, value)
                self.assertIn("another site", body["error"])
        for fields in (
            {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8081"},
            {"Sec-Fetch-Site": "none"},
        ):
            response, _ = self.say(path, **fields)
            self.assertEqual(response.code, 200)

    def test_reading_needs_none(self):
        """Reading stays open to whoever can connect."""
        self.assertStatus(200, "/api/pools")

    def test_empty_token(self):
        """An empty token is a mistake, not a password."""
        with self.assertRaises(ValueError):
            AdminResource(self.running, now=lambda: 0.0, token="")


class ListenerWordsTests(AdminTestCase):
    """The operator's word about a listener."""

    token = "s3cret"

    def say(self, status, path):
        """What is said to it."""
        fields = {"Authorization": "Bearer s3cret"}
        return self.assertStatus(status, path, "POST", headers=fields)

    def tearDown(self):
        self.running.listener_drains.stop()

    def test_drain_and_enable(self):
        """It is drained and opened again; an event says so, and so does /readyz, which is ready while others serve."""
        said = self.say(200, "/api/listeners/front/drain?deadline=10m")
        self.assertEqual((said["name"], said["state"]), ("front", "draining"))
        self.assertEqual(said["drain_ends_in_seconds"], 600.0)
        self.assertEqual(
            self.assertStatus(200, "/readyz")["degraded"],
            ["listener front is drained"],
        )
        said = self.say(200, "/api/listeners/front/enable")
        self.assertEqual((said["state"], said["drain_ends_in_seconds"]), ("up", None))
        self.assertEqual(self.assertStatus(200, "/readyz"), {"ready": True})
        told = self.assertStatus(200, "/api/events")["events"]
        self.assertEqual(
            [(one["target"], one["fact"], one["old"], one["new"]) for one in told],
            [
                ("front", "listener", "up", "drain"),
                ("front", "listener", "drain", "up"),
            ],
        )

    def test_refused(self):
        """Names that are none, the admin endpoint, times that are none, and a place that is taken by now."""
        for name in ("other", "%5Badmin%5D"):
            said = self.say(404, f"/api/listeners/{name}/drain")["error"]
            self.assertIn("those that can be: front", said)
        said = self.say(400, "/api/listeners/front/drain?deadline=soon")["error"]
        self.assertIn('deadline: "soon"', said)
        said = self.say(400, "/api/listeners/front/enable?deadline=5s")["error"]
        self.assertIn("only a drain has one", said)
        self.assertEqual(self.running.listener_drains.state("front"), "up")
        self.say(200, "/api/listeners/front/drain")
        self.running.endpoint.result = fail(OSError("in use"))
        said = self.say(422, "/api/listeners/front/enable")["error"]
        self.assertIn("cannot listen on tcp:80: in use", said)
        self.assertEqual(self.running.listener_drains.state("front"), "draining")
        self.running.draining = True
        self.assertIn("stopping", self.say(409, "/api/listeners/front/enable")["error"])
        self.assertStatus(405, "/api/listeners/front/drain")
        self.assertStatus(401, "/api/listeners/front/drain", "POST")

    def test_none_is_left(self):
        """With every listener drained it is not ready."""
        with patch.object(ListenerDrains, "everywhere", True):
            said = self.assertStatus(503, "/readyz")
        self.assertEqual(said["reasons"], ["every listener is drained"])

    def test_stopping(self):
        """A stop says how far it is."""
        self.running.draining = True
        self.running.stopping.announce(30.0)
        said = self.assertStatus(503, "/readyz")
        self.assertEqual(
            (said["reasons"], said["draining"]),
            (
                ["draining"],
                {
                    "connections": 3,
                    "in_flight": 1,
                    "oldest_seconds": 7.5,
                    "ends_in_seconds": 30.0,
                },
            ),
        )


class SiteTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.site = admin_site(Running(), now=lambda: 0.0, reactor=self.clock)
        self.site.doStart()
        self.addCleanup(self.site.doStop)

    def connect(self):
        """A connection to the site, and what the client gets."""
        transport = StringTransport()
        transport.aborting = False

        def abort():
            transport.aborting = True

        transport.abortConnection = abort
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(transport)
        return protocol, transport

    def send(self, request):
        """The head and body that the site sends when it gets these bytes."""
        protocol, transport = self.connect()
        protocol.dataReceived(request)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        return head.lower(), body

    def test_over_a_connection(self):
        """The site answers over a connection without naming the software."""
        head, body = self.send(b"HEAD /healthz HTTP/1.0\r\n\r\n")
        self.assertTrue(head.startswith(b"http/1.0 200 "), head)
        self.assertIn(b"content-length: 20", head)
        self.assertNotIn(b"twisted", head)
        self.assertEqual(body, b"")

    def test_two_hosts(self):
        """A request with two Host fields is refused."""
        hosts = b"Host: 127.0.0.1\r\nHost: evil.example\r\n"
        head, body = self.send(b"GET /api/pools HTTP/1.1\r\n" + hosts + b"\r\n")
        self.assertRegex(head, rb"^http/1.1 40[03] ")
        self.assertNotIn(b"pools", body)

    def test_long_bodies(self):
        """A body that is too long is refused at its head, whatever the path, and never kept."""
        for path in (b"/healthz", b"/nothing", b"/api/pools/web/a/drain"):
            for rest in (
                b"Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n",
                b"Content-Length: 99999999\r\n\r\nxxx",
                b"Transfer-Encoding: chunked\r\n\r\n20000\r\n" + b"x" * 0x20000,
            ):
                head, body = self.send(
                    b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + rest
                )
                self.assertTrue(head.startswith(b"http/1.1 413 "), head)
                self.assertIn(b"connection: close", head)
                self.assertEqual(json.loads(body), {"error": "the body is too long"})

    def test_configurations(self):
        """A configuration that is sent may be longer than other bodies, up to a limit of its own."""
        post = b"POST /api/plan?x HTTP/1.1\r\nHost: x\r\nContent-Length: "
        head, _ = self.send(post + b"100000\r\n\r\n" + b"x" * 100000)
        self.assertNotIn(b" 413 ", head)
        head, _ = self.send(post + b"2000000\r\n\r\n")
        self.assertIn(b" 413 ", head)

    def test_refused_body_is_thrown_away(self):
        """The rest of a refused body is read and forgotten, for two seconds; then the connection ends."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n")
        for _ in range(19):
            protocol.dataReceived(b"x" * 10000)
        self.assertFalse(transport.disconnecting)
        protocol.dataReceived(b"x" * 10000)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(transport.value().count(b"HTTP/1.1"), 1)
        protocol, transport = self.connect()
        protocol.dataReceived(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n")
        self.clock.advance(2)
        self.assertTrue(transport.aborting)

    def test_slow_bodies(self):
        """A request that drips in is cut off after half a minute, however steadily it drips."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
        for _ in range(29):
            self.clock.advance(1)
            protocol.dataReceived(b"x")
        self.assertFalse(transport.aborting)
        self.clock.advance(1)
        self.assertTrue(transport.aborting)
        self.assertEqual(transport.value(), b"")

    def test_short_bodies(self):
        """A short body is looked at like none, and the connection serves the next request."""
        protocol, transport = self.connect()
        request = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc"
        protocol.dataReceived(request)
        protocol.dataReceived(request)
        self.assertEqual(transport.value().count(b"HTTP/1.1 405 "), 2)

    def test_silent(self):
        """A probe leaves no line in the log."""
        lines = StringIO()
        self.site.logFile = lines
        self.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertEqual(lines.getvalue(), "")

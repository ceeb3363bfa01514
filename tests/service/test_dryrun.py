"""Tests of dry runs, and of the counters, on the proxy that a configuration describes."""

from random import Random

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.health import Observation
from lolly_tx.service.build import build
from lolly_tx.service.dryrun import CannotExplain, Question
from tests.config.samples import read

CONFIG = """\
[listener.web]
endpoint = "tcp:8080"
[listener.other]
endpoint = "tcp:8090"
[[route]]
host = "x.example"
path = "/api/"
pool = "api"
[[route]]
listener = "other"
pool = "bound"
[pool.api]
balance = "consistent_hash"
hash_key = "header:X-User"
targets = ["http://10.0.0.1:80", "http://10.0.0.2:80", "http://10.0.0.3:80"]
[pool.bound]
balance = "sticky"
sticky.key = "0123456789abcdef"
queue = {}
hedge = {}
targets = ["http://10.0.1.1:80", "http://10.0.1.2:80"]
health.path = "/health"
"""


class DryRunTestCase(SynchronousTestCase):
    def setUp(self):
        self.now = 1.0
        self.service = build(
            MemoryReactorClock(), read(CONFIG), now=lambda: self.now, random=Random(1)
        )

    def ask(self, **question):
        return self.service.dry_run(Question(**question))


class DryRunTests(DryRunTestCase):
    def test_by_route(self):
        """The route is found as for a real request, and the choice is the one it would get."""
        said = self.ask(host="x.example", path="/api/v1", headers=("X-User: ann",))
        self.assertEqual(
            (said["listener"], said["pool"], said["key"]), ("web", "api", "ann")
        )
        pool = self.service.pools["api"]
        self.assertEqual(pool.acquire(1.0, b"ann").node.id, said["choice"])
        self.assertEqual(len(said["candidates"]), 3)
        self.assertEqual(said["tries"]["at_most"], 2)

    def test_datagrams(self):
        """A client of a stream of datagrams gets the target of its next session, and the reason where there is none."""
        text = (
            '[stream.dns]\nendpoint = "udp:53"\npool = "dns"\n'
            '[pool.dns]\ntargets = ["udp://10.0.0.1:53", "udp://10.0.0.2:53"]\n'
            'balance = "ip_hash"\n'
        )
        self.service = build(MemoryReactorClock(), read(text), now=lambda: self.now)
        said = self.ask(stream="dns", client="192.0.2.7")
        self.assertEqual((said["listener"], said["pool"]), ("stream dns", "dns"))
        pool = self.service.pools["dns"]
        self.assertEqual(pool.acquire(1.0, b"192.0.2.7").node.id, said["choice"])
        for target in tuple(pool.nodes):
            pool.set_enabled(target, "down", "operator", 0.0)
        self.assertIsNone(self.ask(stream="dns")["choice"])

    def test_stream(self):
        """A client of a stream gets a target by the name it asks for, and by its address where that counts."""
        text = (
            '[stream.db]\nendpoint = "tcp:5432"\npool = "pg"\nuse = ["few"]\n'
            'sni = { "*.example.org" = "other" }\n'
            '[stream.named]\nendpoint = "tcp:5433"\nsni = { "a.example.org" = "pg" }\n'
            '[middleware.few]\ntype = "concurrency"\nlimit = 3\n'
            '[pool.pg]\nbalance = "ip_hash"\ntargets = ["tcp://10.0.0.1:1", "tcp://10.0.0.2:1"]\n'
            '[pool.other]\ntargets = ["tcp://10.0.0.3:1"]\n'
        )
        self.service = build(MemoryReactorClock(), read(text), now=lambda: self.now)
        said = self.ask(stream="db", client="192.0.2.7")
        self.assertEqual(
            (said["listener"], said["pool"], said["key"], said["use"]),
            ("stream db", "pg", "192.0.2.7", ["few (concurrency)"]),
        )
        node = self.service.pools["pg"].acquire(self.now, b"192.0.2.7").node
        self.assertEqual(node.id, said["choice"])
        self.assertEqual(self.ask(stream="db", host="B.example.org")["pool"], "other")
        said = self.ask(stream="named", host="b.example.org")
        self.assertIn('asks for "b.example.org": the connection is closed', said["why"])
        self.assertIn("for no name", self.ask(stream="named")["why"])
        with self.assertRaises(CannotExplain) as raised:
            self.ask(stream="web")
        self.assertIn("db, named", str(raised.exception))

    def test_excluded(self):
        """A target that is out has its reason, and the key goes to the next one."""
        first = self.ask(pool="api", headers=("X-User: ann",))["choice"]
        self.service.pools["api"].observe(first, Observation(False, "503"), 1.0)
        said = self.ask(pool="api", headers=("X-User: ann",))
        self.assertNotEqual(said["choice"], first)
        rows = {row["id"]: row for row in said["candidates"]}
        self.assertEqual(rows[first]["excluded"], "unhealthy")
        self.assertEqual(rows[said["choice"]]["preference"], 1)

    def test_no_turn_taken(self):
        """Asking changes nothing: the answer stays the same, and no lease is out."""
        said = [self.ask(pool="bound")["choice"] for _ in range(3)]
        self.assertEqual(len(set(said)), 1)
        pool = self.service.pools["bound"]
        self.assertEqual(pool.in_flight, 0)
        self.assertEqual(pool.acquire(1.0).node.id, said[0])

    def test_cookie(self):
        """A client with the cookie of a sticky pool goes to its target."""
        pool = self.service.pools["bound"]
        bond = pool.balancer.bond("http-10-0-1-2-80").decode()
        said = self.ask(pool="bound", cookie=f"lolly={bond}")
        self.assertEqual(
            (said["choice"], said["why"], said["bound"]),
            ("http-10-0-1-2-80", "the client is bound to it", True),
        )

    def test_no_route(self):
        """A request without a route gets a 404, and the dry run says so."""
        said = self.ask(listener="web", host="y.example")
        self.assertEqual((said["pool"], said["why"]), (None, "no route: 404"))

    def test_routes(self):
        """It says which route it is, and why it is none of the others."""
        said = self.ask(host="x.example", path="/api/v1")
        self.assertEqual(said["route"], "x.example /api/")
        self.assertEqual(said["routes"], [{"route": "x.example /api/", "why_not": ""}])
        said = self.ask(listener="web", host="y.example")
        self.assertIsNone(said["route"])
        self.assertEqual(
            said["routes"], [{"route": "x.example /api/", "why_not": "another host"}]
        )

    def test_bad_questions(self):
        """What could be no request, and names that do not exist, are refused with a reason."""
        for question, message, status in (
            ({"path": "no slash"}, "refused", 400),
            ({"path": "/a\r\nX: y"}, "line ends", 400),
            ({"host": "\u20ac"}, "Latin-1", 400),
            ({"host": "a b"}, "refused", 400),
            ({"pool": "x"}, "no such pool; known: api", 404),
            ({"listener": "x"}, "there are: web, other", 404),
        ):
            with self.assertRaises(CannotExplain) as caught:
                self.ask(**question)
            self.assertIn(message, str(caught.exception))
            self.assertEqual(caught.exception.status, status, question)

    def test_query(self):
        """A question comes from a query; unknown and repeated parameters are refused."""
        query = {"pool": ["api"], "header": ["A: 1", "B: 2"]}
        self.assertEqual(
            Question.from_query(query), Question(pool="api", headers=("A: 1", "B: 2"))
        )
        for wrong, message in (
            ({"pol": ["x"]}, "known: client, cookie"),
            ({"pool": ["x", "y"]}, "more than once"),
        ):
            with self.assertRaises(CannotExplain) as caught:
                Question.from_query(wrong)
            self.assertIn(message, str(caught.exception))


class StatisticsTests(DryRunTestCase):
    def test_counters(self):
        """Each listener and pool has its counters, with nothing where nothing is configured."""
        said = self.service.statistics()
        self.assertEqual(
            said["listeners"]["web"],
            {
                "accepted": 0,
                "open": 0,
                "idle": 0,
                "bytes_in": 0,
                "bytes_out": 0,
                "turned_away": 0,
                "shed": 0,
                "draining": False,
                "exchanges": 0,
                "proxy_refused": {},
                "refused": 0,
                "refused_codes": {},
            },
        )
        bound, api = said["pools"]["bound"], said["pools"]["api"]
        self.assertEqual(
            (api["available"], api["targets"], api["exchanges"]), (3, 3, 0)
        )
        self.assertEqual(api["budget"]["amplification"], 1.0)
        self.assertEqual((api["queue"], api["hedges"]), (None, None))
        self.assertEqual(bound["queue"], {"waiting": 0, "refused": 0, "expired": 0})
        self.assertEqual(bound["hedges"], {"started": 0, "won": 0})
        self.assertEqual(api["connections"]["open"], 0)
        self.assertEqual(len(api["connections"]["targets"]), 3)

    def test_events(self):
        """What happens to any target is in the journal."""
        self.service.pools["api"].observe(
            "http-10-0-0-1-80", Observation(False, "503"), 1.0
        )
        [(number, event)] = self.service.journal.after(0)
        self.assertEqual((number, event.pool, event.cause), (1, "api", "check: 503"))

    def test_next_check(self):
        """The time of the next check is known once checks run, and only where there are any."""
        self.assertEqual(self.service.next_check("bound", "http-10-0-1-1-80"), None)
        self.assertEqual(self.service.next_check("api", "http-10-0-0-1-80"), None)

    def test_traces_off(self):
        """Without [explain] there are no traces."""
        self.assertEqual(self.service.traced(), [])

    def test_watched(self):
        """The event loop's record is there from the beginning."""
        self.assertEqual(self.service.watched().stalls, 0)


ENDS = """\
[listener.web]
endpoint = "tcp:8080"
[[route]]
path = "/old"
redirect = { to = "https://$host/new", status = 301 }
[[route]]
path = "/down"
respond = { status = 503 }
[[route]]
path = "/new"
method = "POST"
respond = { status = 403 }
[[route]]
path = "/new"
split = [{ pool = "blue", weight = 3 }, { pool = "green" }]
split_key = "$cookie_user"
[pool.blue]
targets = ["http://10.0.0.1:80"]
[pool.green]
targets = ["http://10.0.0.2:80"]
"""


class EndTests(SynchronousTestCase):
    def setUp(self):
        self.service = build(
            MemoryReactorClock(), read(ENDS), now=lambda: 1.0, random=Random(1)
        )

    def ask(self, **question):
        return self.service.dry_run(Question(**question))

    def test_answers(self):
        """Where there is no pool, the answer is told."""
        said = self.ask(host="x.test", path="/old/a")
        self.assertEqual(
            (said["pool"], said["why"]), (None, "301, to https://x.test/new")
        )
        self.assertEqual(
            self.ask(path="/old")["why"], "400: no place to go: malformed Host"
        )
        self.assertEqual(self.ask(path="/down")["why"], "503, said here")

    def test_split(self):
        """Whose share it is, where a key says so."""
        said = self.ask(path="/new")
        self.assertEqual(said["why"], "in turn: blue 75 %, green 25 %")
        self.assertEqual(said["route"], "* /new")
        self.assertIn(
            {"route": "* /new (method POST)", "why_not": "does not hold: method POST"},
            said["routes"],
        )
        said = self.ask(path="/new", cookie="user=ann")
        self.assertIn(said["pool"], ("blue", "green"))
        self.assertTrue(said["by_key"])

"""What `lolly check` computes from a configuration."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.balancing import amplification
from lolly_tx.config.facts.consequences import (
    Consequence,
    consequences,
    host_of,
)
from lolly_tx.config.load import parse
from lolly_tx.config.model import PoolSettings, Retry
from lolly_tx.domain.target import Target
from tests.config.samples import ROUTE, WEB, WHOLE, read


class FiguresTests(SynchronousTestCase):
    def test_amplification(self) -> None:
        """Attempts are bounded by tries, causes, and targets in use."""
        targets = tuple(Target(n, f"http://{n}", down=n == "c") for n in "abc")
        for retry, most in (
            (Retry(), 2),
            (Retry(tries=9), 2),
            (Retry(tries=1), 1),
            (Retry(on=()), 1),
        ):
            pool = PoolSettings("p", targets, retry=retry)
            self.assertEqual(amplification(pool), most)
        self.assertEqual(amplification(PoolSettings("p", targets[2:])), 1)

    def test_hosts(self) -> None:
        """The host of a target is known for URLs and the usual endpoints."""
        for endpoint, host in (
            ("tcp:h:80", "h"),
            ("tcp:host=h:port=80", "h"),
            ("unix:/x", "this one"),
            ("onion:x:80", ""),
            ("tcp", ""),
        ):
            self.assertEqual(host_of(Target("a", endpoint, endpoint=endpoint)), host)
        self.assertEqual(host_of(Target("a", "http://h", host="h")), "h")


class LinesTests(SynchronousTestCase):
    def lines(self, text: str) -> list[str]:
        return [str(one) for one in consequences(read(text))]

    def warns(self, text: str, part: str) -> None:
        found = [one for one in self.lines(text) if part in one]
        self.assertEqual(len(found), 1, (part, self.lines(text)))
        self.assertTrue(found[0].startswith("warning: "))

    def test_sound_configuration(self) -> None:
        """A sound configuration has facts and no warnings."""
        text = WHOLE + "health = {}\nslow_start = '30s'\n"
        self.assertEqual(
            self.lines(text),
            [
                "pool app: active checks: down at most 15.5s after it stops answering, 10.5s"
                " after it refuses; up at most 10.5s after it answers again",
                "pool app: probe load: 0.1/s per target, 0.2/s in all, at most 2 at once",
                "pool app: passive record: down after 3 failed in a row (each takes at"
                " most 35s without a byte), for 1m, then one trial; up to 5m for one that"
                " fails its trials while others serve; the last one only when it cannot be connected to",
                "pool app: retries: at most 2 attempts per request; over ten seconds at most"
                " 1.2 attempts per request and 3/s besides; the first byte of an answer, or"
                " an error, within 1m10s",
                "pool app: slow start: the full share 30s after recovery",
                "probe load of all pools: 0.2/s",
            ],
        )

    def test_retries_off(self) -> None:
        """Without retries that is said; without timeouts as a cause the wait is one."""
        lines = self.lines(WHOLE + "retry.tries = 1\n")
        self.assertIn("pool app: retries: none; the first byte", "\n".join(lines))
        lines = self.lines(WHOLE + "retry.on = ['connect']\n")
        self.assertIn("within 35s", "\n".join(lines))

    def test_targets_that_look_wrong(self) -> None:
        """Targets on one host, only backups, only one, none at all, are pointed out."""

        def pool(*targets: str, more: str = "") -> str:
            listed = ", ".join(targets)
            return f"{WEB}{ROUTE}[pool.app]\ntargets = [{listed}]\n{more}"

        one, two = "'http://a:1'", "'http://a:2'"
        self.warns(pool(one, two), "all targets are on one host (a)")
        self.warns(pool(one), "nobody to fail over to")
        down = "{ url = 'http://b', down = true }"
        self.warns(pool(down), "every target has down = true")
        backups = (
            "{ url = 'http://b', backup = true }",
            "{ url = 'http://c', backup = true }",
        )
        self.warns(pool(*backups), "every usable target is a backup")
        self.warns(
            pool(one, "'http://b'", more="retry.tries = 3\n"), "is never reached"
        )
        big = "{ url = 'http://b', max_conns = 20000 }"
        self.warns(pool(one, big), "limits.connections is 10000")
        self.warns(
            pool("'https://a'", one, more="tls.verify = false\n"), "not verified"
        )

    def test_checks_that_look_wrong(self) -> None:
        """No checks at all, and times that contradict each other, are pointed out."""
        self.warns(WHOLE + "passive.max_fails = 0\n", "keeps its share")
        self.warns(WHOLE + "health.interval = '5s'\n", "is not below health.interval")
        crowd = "health.concurrency = 1\nhealth.interval = '6s'\n"
        self.warns(WHOLE + crowd, "a round takes 10s")
        self.warns(WHOLE + "passive.fail_timeout = '20s'\n", "may never trip")
        self.warns(
            WHOLE + "agent = { port = 1, timeout = '3s' }\n",
            "agent.timeout (3s) is not below agent.interval (2s)",
        )
        self.warns(
            WHOLE + "health.interval_suspect = '20s'\nhealth.fall = 2\n",
            "interval_suspect (20s) is above health.interval (10s)",
        )
        self.warns(
            WHOLE + "health.interval_suspect = '2s'\nhealth.timeout = '1s'\n",
            "one probe decides",
        )
        self.warns(
            WHOLE + "health.interval_down = '4s'\n",
            "health.timeout (5s) is not below health.shortest interval (4s)",
        )

    def test_several_checks(self) -> None:
        """Several checks and an agent are told with what they mean together."""
        check = "[[pool.app.checks]]\nname = '{}'\ninterval = '{}s'\n{}\n"
        text = (
            WHOLE
            + "quorum = 2\nagent.port = 9\n"
            + "".join(
                check.format(*one)
                for one in (
                    ("a", 10, "observe = true"),
                    ("b", 20, "interval_down = '6s'"),
                    ("c", 30, ""),
                    ("d", 40, "advisory = true"),
                )
            )
        )
        lines = "\n".join(self.lines(text))
        # Two of three have to fail: the second fastest decides.
        self.assertIn("down at most 25.3s after it stops answering, 20.3s", lines)
        self.assertIn("up at most 10.5s after it answers again", lines)
        self.assertIn("up while 2 of 3 checks are; 1 more are advisory", lines)
        self.assertIn("has it probed within a second", lines)
        self.assertIn("asked every 2s; what it says takes effect within 3.1s", lines)
        self.assertIn(
            "probe load: 0.708/s per target (up to 0.825/s in trouble), 1.42/s in all,"
            " at most 10 at once",
            lines,
        )

    def test_shared_probes(self) -> None:
        """A probe that serves two pools is counted once."""
        pool = WHOLE + "health = {}\n"
        two = pool + "[pool.b]\ntargets = ['http://10.0.0.1:80']\nhealth = {}\n"
        self.assertIn(
            "probe load of all pools: 0.2/s (0.1/s less by sharing)", self.lines(two)
        )
        other = two + "[pool.b.tls]\nverify = false\n"
        self.assertIn("probe load of all pools: 0.3/s", self.lines(other))

    def test_recorder_that_nobody_can_ask(self) -> None:
        """What is recorded and never seen is pointed out; a folder or an admin side is enough."""
        text = WHOLE + "[recorder]\n"
        self.warns(text, "recorder: nobody can get a dump of it: set dir, or have an")
        admin = '[admin]\nendpoint = "tcp:8081:interface=127.0.0.1"\n'
        for seen in (text + 'dir = "/var/dumps"\n', text + admin):
            self.assertNotIn("dump", "".join(self.lines(seen)))

    def test_times_that_look_wrong(self) -> None:
        """Times that can never be reached, or that cut others, are pointed out."""
        kept = "connections.lifetime = '10s'\n"
        self.warns(WHOLE + kept, "idle_timeout (1m) is never reached")
        self.warns(WHOLE + "[timeouts]\nshutdown = '5s'\n", "a stop may cut answers")
        lame = "[timeouts]\nlame_duck = '5s'\n"
        self.warns(WHOLE + lame, "lame_duck (5s) only makes a stop longer")
        for asked in (
            WHOLE + lame + '[admin]\nendpoint = "tcp:8081:interface=127.0.0.1"\n',
            WHOLE.replace('8080"\n', '8080"\nhealth = true\n') + lame,
        ):
            self.assertNotIn("lame_duck", "".join(self.lines(asked)))

    def test_parts_nobody_uses(self) -> None:
        """Pools and listeners without a route are pointed out."""
        self.warns(
            WHOLE + "[pool.b]\ntargets = ['http://x', 'http://y']\n", "no route leads"
        )
        more = "[listener.two]\nendpoint = 'unix:/x'\n"
        route = "[[route]]\npool = 'app'\nlistener = 'web'\n"
        self.warns(WHOLE.replace(ROUTE, route) + more, "listener two: no route holds")

    def test_limits_that_never_trip(self) -> None:
        """A limit above the one in all, and trust in everybody, are pointed out."""
        limits = "[limits]\nconnections = 10\nconnections_per_client = 10\n"
        self.warns(WHOLE + limits, "connections_per_client = 10 can never trip")
        self.warns("trusted_proxies = ['0.0.0.0/0']\n" + WHOLE, "believes everybody")

    def test_several_processes(self) -> None:
        """What each has of a limit, and what a limit that cannot be divided comes to."""
        text = "workers = 4\n" + WHOLE
        lines = [str(one) for one in consequences(parse(text))]
        self.assertIn(
            "workers: 4 processes serve; each takes 2500 connections of clients", lines
        )
        odd = text + "[limits]\nconnections_per_client = 5\n"
        self.warns(odd, "a client may have 8 in all 4 processes")
        for quiet in (WHOLE, 'workers = "auto"\n' + WHOLE):
            lines = [str(one) for one in consequences(parse(quiet))]
            self.assertFalse([line for line in lines if line.startswith("workers")])

    def test_admin_in_the_open(self) -> None:
        """An admin side for other machines has its tokens in the clear, unless it does TLS."""
        admin = "[admin]\nendpoint = '%s'\nread_token = 'sixteen-or-more!'\n"
        self.warns(WHOLE + admin % "tcp:9999", "tokens pass in the clear")
        for endpoint in ("ssl:9999", "tcp:9999:interface=127.0.0.1", "unix:/x"):
            lines = "\n".join(self.lines(WHOLE + admin % endpoint))
            self.assertNotIn("in the clear", lines)

    def test_health_hides_routes(self) -> None:
        """A route for a path that the listener answers itself is pointed out."""
        web = "[listener.web]\n"
        self.assertIn(web, WHOLE)
        text = WHOLE.replace(web, web + "health = true\n")
        for path in ("=/readyz", "/healthz"):
            route = f"[[route]]\npath = '{path}'\npool = 'app'\n"
            self.warns(text + route, f"health = true hides the route {path}")
        other = "[[route]]\npath = '/health'\npool = 'app'\n"
        self.assertNotIn("hides", "\n".join(self.lines(text + other)))
        elsewhere = (
            "[listener.two]\nendpoint = 'unix:/y'\n[[route]]\npath = '/healthz'\n"
        )
        elsewhere += "listener = 'two'\npool = 'app'\n"
        self.assertNotIn("hides", "\n".join(self.lines(text + elsewhere)))

    def test_no_limits(self) -> None:
        """Without a limit in all, no other limit is called unreachable."""
        text = WHOLE.replace(
            '"http://10.0.0.1:80"', "{ url = 'http://a', max_conns = 9 }"
        )
        limits = "[limits]\nconnections = 0\nconnections_per_client = 10\n"
        trusted = "trusted_proxies = ['10.0.0.0/8']\n"
        self.assertNotIn("warning", "\n".join(self.lines(trusted + text + limits)))

    def test_line(self) -> None:
        """A line says what it is about, and whether it is a warning."""
        self.assertEqual(str(Consequence("", "x")), "x")
        self.assertEqual(str(Consequence("pool a", "x", True)), "warning: pool a: x")

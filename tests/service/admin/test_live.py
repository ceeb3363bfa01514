"""Tests of the stream that the dashboard is made from."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.events import Event
from lolly_tx.domain.pool import Pool
from lolly_tx.service.admin.live import SHOWN_EVENTS, SURVEY_SECONDS
from lolly_tx.service.admin.liverows import ALL_WELL, SLICE, verdict
from tests.service.admin import streaming
from tests.service.admin.test_endpoint import Running, Workers, make_pool

TOKEN = "t" * 16


class LiveTestCase(streaming.StreamTestCase):
    path = "/api/live"
    token = TOKEN

    def pools(self) -> dict[str, Pool]:
        self.web = make_pool("web", "a", "b", "c")
        return {"web": self.web, "api": make_pool("api", "d")}

    def second(self) -> None:
        self.clock.advance(SURVEY_SECONDS)

    def down(self, target: str = "a") -> None:
        now = self.clock.seconds()
        self.web.observe(target, Observation(False, "connection refused"), now)


class LiveTests(LiveTestCase, streaming.StreamContract):
    seconds = SURVEY_SECONDS

    def test_snapshot_and_deltas(self) -> None:
        """First comes everything, and then each second what changed, or nothing."""
        transport, _ = self.connect()
        [(kind, first)] = self.told(transport)
        self.assertEqual(kind, "snapshot")
        self.assertEqual(
            list(first["rows"]),
            ["proxy", "pool/web", "target/web/a", "target/web/b", "target/web/c"]
            + ["pool/api", "target/api/d", "listener/front", "listener/[admin]"],
        )
        self.assertEqual(first["rows"]["proxy"]["verdict"], ALL_WELL)
        transport.clear()
        self.second()
        [(kind, nothing)] = self.told(transport)
        self.assertEqual((kind, nothing["rows"]), ("delta", {}))
        transport.clear()
        self.down()
        self.second()
        [(_, delta)] = self.told(transport)
        self.assertEqual(set(delta["rows"]), {"proxy", "pool/web", "target/web/a"})
        row = delta["rows"]["target/web/a"]
        self.assertEqual(row["state"], "unhealthy")
        self.assertEqual(row["cause"], "check: connection refused")
        self.assertIn("after 1 more good check", row["back"])
        self.assertNotIn("address", row)
        self.assertEqual(delta["rows"]["proxy"]["verdict"], "web: 1 of 3 out")
        transport.clear()
        self.web.observe("a", Observation(True, "200"), self.clock.seconds())
        self.second()
        [(_, delta)] = self.told(transport)
        row = delta["rows"]["target/web/a"]
        self.assertEqual((row["state"], row["cause"]), ("up", None))

    def test_not_connected(self) -> None:
        """A target without its connector is out for that, from the beginning or since an event."""
        node, nobody = self.web.nodes["a"], 'no connector "home" is connected'
        node.absent = nobody
        self.web.changed()
        transport, _ = self.connect()
        [(_, first)] = self.told(transport)
        row = first["rows"]["target/web/a"]
        self.assertEqual(row["state"], "not connected")
        self.assertEqual((row["since"], row["cause"]), (None, nobody))
        self.assertEqual(first["rows"]["proxy"]["verdict"], "web: 1 of 3 out")
        for why in ("", nobody):
            transport.clear()
            self.web.roster.set_absent(node, why, self.clock.seconds())
            self.second()
            [(_, delta)] = self.told(transport)
        row = delta["rows"]["target/web/a"]
        self.assertEqual(row["cause"], nobody)
        self.assertIsNotNone(row["since"])

    def test_since(self) -> None:
        """When it went down is a moment, which stays the same."""
        transport, _ = self.connect()
        self.clock.advance(SURVEY_SECONDS / 2)
        self.down()
        at = self.clock.seconds()
        self.second()
        self.second()
        values = [
            told["rows"]["target/web/a"]["since"]
            for _, told in self.told(transport)
            if told["rows"].get("target/web/a", {}).get("since")
        ]
        self.assertEqual(len(values), 1)
        [snapshot, *_] = self.told(transport)
        self.assertAlmostEqual(values[0] - snapshot[1]["at"], at, delta=1.0)

    def test_no_ages(self) -> None:
        """Workers and listeners of which nothing is new are not told again, however time passes."""
        silence = iter(range(9))
        self.running.statistics = lambda: {  # type: ignore[method-assign]
            "listeners": {},
            "pools": {},
            "workers": [
                {
                    "worker": 1,
                    "serving": True,
                    "seconds": self.clock.seconds(),
                    "silent_seconds": next(silence),
                }
            ],
        }
        transport, _ = self.connect()
        [(_, first)] = self.told(transport)
        self.assertEqual(first["rows"]["worker/1"]["since"], 1.8e9)
        transport.clear()
        self.second()
        self.assertEqual(self.told(transport)[0][1]["rows"], {})

    def test_leaving(self) -> None:
        """A target that left is null."""
        transport, _ = self.connect()
        transport.clear()
        keep = [n.target for n in self.web.nodes.values() if n.id != "b"]
        self.web.replace(keep, self.clock.seconds())
        self.second()
        [(_, delta)] = self.told(transport)
        self.assertIsNone(delta["rows"]["target/web/b"])

    def test_events(self) -> None:
        """The latest events come with the snapshot, and each later one once, to all."""
        for number in range(SHOWN_EVENTS + 5):
            self.happen(f"early {number}")
        one, _ = self.connect()
        self.happen("between")
        other, _ = self.connect()
        self.happen("late")
        self.second()
        for transport, count in ((one, 2), (other, 1)):
            parts = [told["events"] for _, told in self.told(transport)]
            self.assertEqual(len(parts[0]), SHOWN_EVENTS)
            causes = [each["cause"] for part in parts for each in part]
            self.assertEqual(len(causes), len(set(causes)))
            self.assertEqual(causes[-1], "late")
            self.assertEqual(causes.count("between"), 1)
            self.assertEqual(len(parts) - 1, count)

    def happen(self, cause: str) -> None:
        now = self.clock.seconds()
        self.running.journal.emit(Event(now, "web", "a", "health", "", "", cause))

    def test_shared_work(self) -> None:
        """However many listen, each second is looked at once, in slices; and when nobody does, not at all."""
        self.running.pools["many"] = make_pool("many", *map(str, range(SLICE * 4)))
        looks: list[int] = []
        statistics = self.running.statistics

        def counted() -> Any:
            looks.append(1)
            return statistics()

        self.running.statistics = counted  # type: ignore[method-assign]
        several = [self.connect() for _ in range(5)]
        for transport, _ in several:
            self.assertEqual(self.told(transport)[0][0], "snapshot")
        looks.clear()
        turns: list[float] = []
        later = self.clock.callLater

        def counting(delay: float, *rest: Any) -> Any:
            turns.append(delay)
            return later(delay, *rest)

        self.clock.callLater = counting  # type: ignore[method-assign,assignment]
        self.second()
        self.assertEqual(len(looks), 1)
        self.assertGreaterEqual(turns.count(0), 4)
        for _, protocol in several:
            self.lose(protocol)
        looks.clear()
        self.second()
        self.second()
        self.assertEqual(looks, [])
        self.assertEqual(self.ticking(), [])

    def test_slow(self) -> None:
        """Who does not read misses what comes, and gets everything anew."""
        slow, _ = self.connect()
        slow.clear()
        slow.producer.pauseProducing()
        self.down()
        self.second()
        self.assertEqual(self.told(slow), [])
        slow.producer.resumeProducing()
        self.second()
        [(kind, told)] = self.told(slow)
        self.assertEqual(kind, "snapshot")
        self.assertEqual(told["rows"]["target/web/a"]["state"], "unhealthy")

    def test_our_own_failure(self) -> None:
        """A survey that fails is logged, and the next one is made all the same."""
        transport, _ = self.connect()
        transport.clear()
        statistics = self.running.statistics

        def fail() -> Any:
            raise ZeroDivisionError

        self.running.statistics = fail  # type: ignore[method-assign]
        self.second()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.running.statistics = statistics  # type: ignore[method-assign]
        self.second()
        self.assertEqual([kind for kind, _ in self.told(transport)], ["delta"])


class SessionTests(LiveTestCase):
    read_token = "r" * 16

    def test_logout(self) -> None:
        """The stream of a session ends with it, and one of the token itself does not."""
        cookie = self.begin()
        transport, _ = self.connect(f"Cookie: {cookie}\r\n")
        bearer, _ = self.connect(f"Authorization: Bearer {self.read_token}\r\n")
        self.assertEqual(self.told(transport)[0][0], "snapshot")
        self.send("DELETE", f"Cookie: {cookie}\r\n")
        self.second()
        self.assertTrue(transport.value().endswith(b"0\r\n\r\n"))
        self.assertFalse(bearer.value().endswith(b"0\r\n\r\n"))
        again, _ = self.connect(f"Cookie: {cookie}\r\n")
        self.assertIn(b" 401 ", again.value())

    def begin(self) -> str:
        said = self.send("POST", f"Authorization: Bearer {self.read_token}\r\n")
        [line] = [one for one in said.splitlines() if one.startswith("Set-Cookie")]
        return line.partition(": ")[2].partition(";")[0]

    def send(self, method: str, more: str) -> str:
        transport, _ = self.connect(more, method, "/api/session")
        return str(transport.value().decode())


class VerdictTests(SynchronousTestCase):
    """The worst fact in a sentence."""

    def say(self, running: Running) -> str:
        serving: Any = running
        return verdict(serving, 1.0)

    def pool(self, name: str, every: int, out: int) -> Any:
        pool = make_pool(name, *(f"{name}{n}" for n in range(every)))
        for number in range(out):
            pool.observe(f"{name}{number}", Observation(False, "why"), 0.5)
        return pool

    def test_well(self) -> None:
        """Nothing is wrong."""
        self.assertEqual(self.say(Running({"a": self.pool("a", 2, 0)})), ALL_WELL)

    def test_local_fault(self) -> None:
        """That it is us comes before whatever is wrong with targets."""
        running = Running({"a": self.pool("a", 2, 1)})
        fault = {"kind": "network", "since_seconds": 1.0, "why": "all are silent"}
        running.fault = fault
        said = "Local fault, no network: all are silent"
        self.assertEqual(self.say(running), said)
        running.fault = {**fault, "kind": "resources"}
        self.assertIn("out of resources", self.say(running))

    def test_worst_first(self) -> None:
        """The pool with the smallest share left is named, the others are counted."""
        pools = {"a": self.pool("a", 4, 1), "b": self.pool("b", 2, 2)}
        self.assertEqual(self.say(Running(pools)), "b: 2 of 2 out, and 1 more pool")
        pools["c"] = self.pool("c", 3, 1)
        self.assertEqual(self.say(Running(pools)), "b: 2 of 2 out, and 2 more pools")

    def test_operator(self) -> None:
        """What an operator took out is said to be so, and comes after what went wrong."""
        drained = self.pool("a", 4, 0)
        for number in range(3):
            drained.set_enabled(f"a{number}", "drain", "operator", 0.5)
        self.assertEqual(
            self.say(Running({"a": drained})), "a: 3 of 4 out by the operator"
        )
        pools = {"a": drained, "b": self.pool("b", 9, 1)}
        self.assertEqual(self.say(Running(pools)), "b: 1 of 9 out, and 1 more pool")

    def test_empty(self) -> None:
        """A pool without targets is worst."""
        self.assertEqual(
            self.say(Running({"a": self.pool("a", 0, 0)})), "a: no targets"
        )

    def test_process(self) -> None:
        """With all targets well: workers, listeners, the end."""
        pools = {"a": self.pool("a", 1, 0)}
        workers: Any = Workers(True, "worker 2 does not serve: killed")
        self.assertEqual(
            self.say(Running(pools, colleagues=workers)),
            "worker 2 does not serve: killed",
        )
        self.assertEqual(
            self.say(Running(pools, listening=False)), "Not every listener is up"
        )
        self.assertEqual(
            self.say(Running(pools, draining=True)), "The proxy is stopping"
        )

"""What reloads of other proxies are known to get wrong, each as a test of what ours does in its place.

Those that need sockets are in tests/system: an address that widens on one port, a second instance on it, TLS that
begins there (`test_reload`), limits of several workers (`test_workers`), connections at the end of a worker, and
upgrades that refuse (`test_upgrades_under_load`). The swap of a symbolic link is in `test_watching`; a certificate
without its key, WebSockets at targets that left, and sixty reloads beside one connection are in `test_reload`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import LoopingCall

from lolly_tx.domain.checks.health import Observation
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import (
    SWITCH,
    SWITCHED,
    TWO,
    A,
    B,
    ReloadTestCase,
)

THREE = TWO.replace('9002"]', '9002", "http://127.0.0.1:9003"]')
FALL = "[pool.app.health]\ninterval = '10s'\nfall = 3\n"


class LoadTestCase(ReloadTestCase):
    """Clients that ask while settings change."""

    def answer(self) -> list[int]:
        """Answer what was asked, also of kept connections; the ports that were."""
        ports = []
        while self.reactor.tcpClients:
            ports.append(self.reactor.tcpClients[-1][1])
            self.backend(ports[-1]).send(OK)
        return ports


class SameTextUnderLoadTests(LoadTestCase):
    def test_nothing_changes(self) -> None:
        """The same text under load: no generation, no new connection, nothing lost; every answer comes."""
        self.start()
        clients = [self.client() for _ in range(8)]
        for client in clients:
            client.send(get("/"))
        backends = []
        while self.reactor.tcpClients:
            backends.append(self.backend(self.reactor.tcpClients[-1][1]))
        pools = dict(self.service.pools)
        for _ in range(5):
            self.assertEqual(self.reload(TWO).changes, ())
        self.assertEqual(self.service.generation.number, 1)
        for name, pool in self.service.pools.items():
            self.assertIs(pool, pools[name])
        for backend in backends:
            backend.send(OK)
        self.assertEqual([client.take() for client in clients], [OK] * 8)
        for client in clients:
            client.send(get("/again"))
        self.assertEqual(self.reactor.tcpClients, [])


class HealthTests(LoadTestCase):
    def test_down_target_gets_nothing(self) -> None:
        """A target that is down stays down over reloads that come and go: no request finds it (haproxy#918)."""
        self.start(TWO + FALL)
        self.reactor.tcpClients.clear()
        pool = self.service.pools["app"]
        for _ in range(3):
            pool.observe(A, Observation(False, "503"), self.reactor.seconds())
        for text in (THREE, TWO, THREE.replace("9003", "9004")):
            self.reload(text + FALL)
            self.assertFalse(self.node(A).available)
            self.reactor.tcpClients.clear()  # the checks of a new target
            for _ in range(6):
                self.client().send(get("/"))
            self.assertNotIn(9001, self.answer())

    def test_failed_checks_are_counted_on(self) -> None:
        """Two failed checks of three before a reload, and one after it: down (keepalived#381)."""
        self.start(TWO + FALL)
        pool, bad = self.service.pools["app"], Observation(False, "503")
        for _ in range(2):
            pool.observe(A, bad, self.reactor.seconds())
        self.reload(THREE + FALL)
        self.assertTrue(self.node(A).available)
        pool.observe(A, bad, self.reactor.seconds())
        self.assertFalse(self.node(A).available)

    def test_failures_of_traffic_are_counted_on(self) -> None:
        """Passive failures before a reload count for the ejection after it."""
        text = "retry = { tries = 1 }\n[pool.app.passive]\nmax_fails = 3\n"
        self.start(TWO + text)
        pool = self.service.pools["app"]
        for count in range(3):
            pool.set_enabled(B, "drain", "test", 0.0)
            self.client().send(get("/"))
            pool.set_enabled(B, "up", "test", 0.0)
            self.backend(9001).lose()
            self.reactor.advance(0)
            self.assertEqual(self.node(A).ejection == "up", count < 2)
            if count == 1:
                self.reload(THREE + text)
                pool.set_enabled("http-127-0-0-1-9003", "drain", "test", 0.0)

    def test_another_path_is_another_question(self) -> None:
        """A changed path of the check is not answered by the old verdict (dae#1037)."""
        self.start(TWO + FALL)
        pool = self.service.pools["app"]
        for _ in range(3):
            pool.observe(A, Observation(False, "404"), self.reactor.seconds())
        self.reload(TWO + FALL + "path = '/up'\n")
        self.assertIsNone(self.node(A).health.checked)

    def test_address_in_two_pools(self) -> None:
        """One address in two pools has a state in each, before a reload and after it (caddy#7870)."""
        other = '[pool.other]\ntargets = ["http://127.0.0.1:9001"]\n'
        self.start(TWO + other)
        self.service.pools["other"].observe(A, Observation(False, "503"), 0.0)
        self.service.pools["app"].set_enabled(A, "drain", "test", 0.0)
        self.reload(THREE + other)
        self.assertEqual(self.node(A).enabled, "drain")
        self.assertEqual(self.node(A, "other").enabled, "up")
        self.assertFalse(self.node(A, "other").available)


class OperatorTests(LoadTestCase):
    def test_drain_is_not_forgotten(self) -> None:
        """The operator's word and its deadline outlive changes of the target itself and of others."""
        self.start()
        pool = self.service.pools["app"]
        pool.set_enabled(A, "drain", "operator", 0.0)
        self.service.drains.begin("app", A, 600.0)
        heavy = '{ url = "http://127.0.0.1:9001", weight = 5 }'
        for text in (THREE, TWO.replace('"http://127.0.0.1:9001"', heavy), TWO):
            self.reload(text)
            self.assertEqual(self.node(A).enabled, "drain")
            for _ in range(4):
                self.client().send(get("/"))
            self.assertNotIn(9001, self.answer())
        self.assertEqual(self.service.drains.left("app", A), 600.0)
        self.pass_time(601)
        self.assertEqual(self.node(A).enabled, "down")


class TunnelTests(LoadTestCase):
    def test_websocket_lives_while_others_change(self) -> None:
        """A WebSocket is not cut by changes of routes, pools, targets and listeners (caddy#7222, traefik#6235)."""
        self.start()
        client = self.client()
        client.send(SWITCH)
        port = self.reactor.tcpClients[-1][1]
        backend = self.backend(port)
        backend.send(SWITCHED)
        client.take()
        more = '[listener.more]\nendpoint = "tcp:8081"\n'
        route = '[[route]]\npath = "/x"\npool = "x"\n[pool.x]\ntargets = ["http://127.0.0.1:9009"]\n'
        for text in (TWO + more, TWO + more + route, THREE + route, TWO):
            self.reload(text)
            self.pass_time(400)
            backend.send(b"\x81\x02hi")
            self.assertEqual(client.take(), b"\x81\x02hi")
        self.assertFalse(client.lost)


class RouteTests(LoadTestCase):
    def test_kept_connection_goes_by_the_new_route(self) -> None:
        """A client that keeps its connection is not stuck to the old route (traefik#1174)."""
        self.start()
        client = self.client()
        self.served(client)
        new = '[[route]]\npath = "/v2"\npool = "new"\n[pool.new]\ntargets = ["http://127.0.0.1:9009"]\n'
        self.reload(TWO + new)
        self.assertEqual(self.served(client, "/v2"), 9009)
        self.reload(TWO)
        client.send(get("/v2"))
        self.assertNotIn(9009, [one[1] for one in self.reactor.tcpClients])

    def test_nothing_is_half_applied(self) -> None:
        """Of a file broken at its end nothing is taken: routes, targets and listeners stay (keepalived#1660)."""
        self.start()
        before = self.service.settings()
        text = THREE.replace("8080", "8090") + '[pool.new]\ntargets = ["nonsense:"]\n'
        self.assertTrue(self.refused(text))
        after = self.service.settings()
        self.assertEqual(after["config"], before["config"])
        self.assertEqual(after["generation"], before["generation"])
        self.assertEqual(list(self.reactor.ports), [8080])
        self.assertEqual(list(self.service.pools["app"].nodes), [A, B])
        self.assertEqual(list(self.service.pools), ["app"])

    def test_port_in_use(self) -> None:
        """A port that somebody has refuses all of it, and the same text is taken once it is free (sozu#1301)."""
        self.start()
        text = THREE + '[listener.more]\nendpoint = "tcp:8081"\n'
        self.reactor.taken = (8081,)
        self.assertIn("8081", self.refused(text)[0])
        self.assertEqual(len(self.service.pools["app"].nodes), 2)
        self.reactor.taken = ()
        self.reload(text)
        self.assertEqual(sorted(self.reactor.ports), [8080, 8081])


class RemovedTests(LoadTestCase):
    def test_nobody_goes_back(self) -> None:
        """What is cut at a target that left, and may be asked again, is asked elsewhere: not there once more."""
        text = TWO + "[timeouts]\ndrain = '5s'\n"
        self.start(text)
        self.service.pools["app"].set_enabled(B, "drain", "test", 0.0)
        client = self.client()
        self.assertEqual(self.served(client), 9001)
        client.send(get("/"))
        self.service.pools["app"].set_enabled(B, "up", "test", 0.0)
        self.reload(text.replace('"http://127.0.0.1:9001", ', ""))
        self.pass_time(5.2)
        self.backend(9002).send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(
            list(self.service.statistics()["pools"]["app"]["connections"]["targets"]),
            [B],
        )


class CounterTests(LoadTestCase):
    def counters(self) -> dict[str, Any]:
        """What is counted of the pool."""
        found: dict[str, Any] = self.service.statistics()["pools"]["app"]
        return found

    def test_removed_target_is_shown_no_more_and_nothing_falls(self) -> None:
        """Numbers of a target that left go with it; those of its pool never fall (caddy#5496)."""
        self.start(THREE)
        clients = [self.client() for _ in range(6)]
        for client in clients:
            client.send(get("/"))
        self.answer()
        before = self.counters()
        self.assertEqual(len(before["connections"]["targets"]), 3)
        self.reload(TWO)
        self.pass_time(1)
        after = self.counters()
        self.assertEqual(sorted(after["connections"]["targets"]), [A, B])
        for word in ("exchanges", "bytes_in", "bytes_out", "failed", "retries"):
            self.assertGreaterEqual(after[word], before[word], word)
        self.assertGreaterEqual(
            after["connections"]["connects"], before["connections"]["connects"]
        )
        shown = {one["id"] for one in self.service.pools["app"].snapshot(0.0)}
        self.assertEqual(shown, {A, B})

    def test_nothing_piles_up(self) -> None:
        """Thirty pools that come and go leave no timer, no loop and no connection behind (haproxy#155)."""
        self.start(TWO + FALL)
        self.pass_time(1)
        quiet = len(self.reactor.getDelayedCalls())
        for number in range(30):
            other = (
                f'[pool.p{number}]\ntargets = ["http://127.0.0.1:{9100 + number}"]\n'
            )
            check = FALL.replace("app", f"p{number}")
            self.reload(TWO + FALL + other + check)
        self.reload(TWO + FALL)
        self.pass_time(1)
        calls = self.reactor.getDelayedCalls()
        self.assertLessEqual(len(calls), quiet + 1, calls)
        self.assertEqual(list(self.service.running_pools), ["app"])
        loops = [one for one in calls if isinstance(one.func, LoopingCall)]
        self.assertLessEqual(len(loops), quiet)

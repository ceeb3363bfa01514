"""Tests of reloads on a reactor in memory: what stays, what changes, and what a refusal leaves."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet.defer import Deferred, execute, succeed
from twisted.logger import LogLevel, globalLogPublisher

from lolly_tx.config import diff
from lolly_tx.config.load import parse
from lolly_tx.domain.checks.health import Observation
from lolly_tx.service import parts
from lolly_tx.service.changes.applying import Applying
from lolly_tx.service.changes.change import POOLS_AT_ONCE, Change
from lolly_tx.service.changes.reload import SHOWN, Reloader
from lolly_tx.service.generation import Refused
from lolly_tx.service.pools import TARGETS_AT_ONCE
from lolly_tx.service.routing import ROUTES_AT_ONCE
from lolly_tx.wire.websocket import GOING_AWAY
from tests.proxy.world import OK, get
from tests.service.test_build import BuildTestCase

TWO = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
"""
SWITCH = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n"
)
A, B = "http-127-0-0-1-9001", "http-127-0-0-1-9002"


class ReloadTestCase(BuildTestCase):
    """A service that runs, and other texts for it."""

    def start(self, text: str = TWO) -> None:
        self.service = self.started(text)
        self.addCleanup(self._stop)
        self.text = text
        self.reloader = Reloader(
            self.service, self.read, in_thread=lambda work: execute(work)
        )
        self.service.reloading = Applying(self.reloader, self.parsed)

    def _stop(self) -> None:
        if self.service.running:
            self.service.stopService()
        self.pass_time(40)

    def parsed(self, text: str) -> Any:
        """What an `apply` of `text` reads."""
        return parse(text, str(self.folder / "lolly.toml"), {})

    def read(self) -> Any:
        return parse(self.text, str(self.folder / "lolly.toml"), {})

    def reload(self, text: str) -> Any:
        """What the reload of `text` says."""
        self.text = text
        done = self.reloader.reload()
        self.turn(done)
        return self.successResultOf(done)

    def refused(self, text: str) -> list[str]:
        """The errors of a text that is refused."""
        self.text = text
        done = self.reloader.reload()
        self.turn(done)
        refused: Any = self.failureResultOf(done, Refused).value
        return list(refused.errors)

    def turn(self, done: Deferred[Any]) -> None:
        """The event loop has its turns until it is done."""
        over: list[object] = []

        def note(result: Any) -> Any:
            over.append(result)
            return result

        done.addBoth(note)
        for _ in range(100):
            if over:
                break
            self.reactor.advance(0)

    def node(self, name: str, pool: str = "app") -> Any:
        return self.service.pools[pool].nodes[name]

    def changes(self, text: str) -> list[str]:
        """The names of what a reload has changed."""
        told = self.reload(text).changes
        return [f"{one['action']} {one['name']}" for one in told]

    def served(self, client: Any, path: str = "/") -> int:
        """The port of the backend that has answered a request of `client`."""
        client.send(get(path))
        host, port, factory, *_ = self.reactor.tcpClients[-1]
        self.backend(port).send(OK)
        self.assertEqual(client.take(), OK)
        return int(port)


class _Followers:
    """Workers, of which some do not say that they follow."""

    def __init__(self, late: tuple[int, ...]) -> None:
        self.late = late

    def prepare(self, config: Any) -> Deferred[None]:
        return succeed(None)

    def commit(self) -> Deferred[tuple[int, ...]]:
        return succeed(self.late)


class FollowedTests(ReloadTestCase):
    def test_cap_for_pairs(self) -> None:
        """With a first stream the descriptors allow for fewer, as its clients take two each; without one, for more."""
        stream = (
            '[stream.s]\nendpoint = "tcp:5432"\npool = "db"\n'
            '[pool.db]\ntargets = ["tcp://127.0.0.1:9009"]\n'
        )
        self.patch(parts, "descriptor_limit", lambda: 1024)
        self.start(TWO)
        self.assertEqual(self.service.census.total, 576)
        self.reload(TWO + stream)
        self.assertEqual(self.service.census.total, 480)
        self.reload(TWO + "[limits]\nbody_size = 9\n" + stream)
        self.assertEqual(self.service.census.total, 480)
        self.reload(TWO)
        self.assertEqual(self.service.census.total, 576)

    def test_late_workers(self) -> None:
        """The answer to a reload names the workers that have not said that they follow; it is in force all the same."""
        self.start()
        followers: Any = _Followers((2,))
        self.service.colleagues = followers
        self.addCleanup(setattr, self.service, "colleagues", None)
        told = self.reload(TWO.replace("9001", "9003"))
        self.assertEqual((told.generation, told.late_workers), (2, (2,)))
        followers.late = ()
        self.assertEqual(self.reload(TWO).late_workers, ())


class SameTextTests(ReloadTestCase):
    def test_nothing_changes(self) -> None:
        """The same text again changes nothing and makes no new generation."""
        self.start()
        pool, node = self.service.pools["app"], self.node(A)
        client = self.client()
        self.served(client)
        told = self.reload(TWO)
        self.assertEqual((told.generation, told.changes), (1, ()))
        self.assertIs(self.service.pools["app"], pool)
        self.assertIs(self.node(A), node)
        self.assertFalse(client.disconnecting)

    def test_many_times(self) -> None:
        """Sixty reloads beside one connection leave no timer, no pool and no exchange more than before."""
        self.start()
        client = self.client()
        client.send(SWITCH)
        self.backend().send(SWITCHED)
        client.take()
        timers = len(self.reactor.getDelayedCalls())
        other = TWO.replace('9002"]', '9003"]')
        for number in range(60):
            self.reload(other if number % 2 == 0 else TWO)
        self.assertEqual(self.service.generation.number, 61)
        self.assertEqual(len(self.reactor.getDelayedCalls()), timers)
        running = self.service.running_pools["app"]
        self.assertEqual(len(running.pool.on_down), 1)
        self.assertEqual(len(running.pool.on_back), 1)
        self.assertLessEqual(len(running.earlier), 1)
        self.assertEqual(running.in_flight, 1)
        self.assertLessEqual(len(running.forwarder.upstreams.known), 2)
        self.assertFalse(client.disconnecting)


class KeptTests(ReloadTestCase):
    def test_what_is_known_of_targets(self) -> None:
        """Health, ejections, the operator's word and counters of targets that stay are those from before."""
        self.start()
        pool = self.service.pools["app"]
        pool.observe(A, Observation(False, "500"), 0.0)
        pool.set_enabled(B, "drain", "deploy", 0.0)
        before = pool.explain(0.0)
        more = TWO.replace('9002"]', '9002", "http://127.0.0.1:9003"]')
        self.assertEqual(self.changes(more), ["added app/http-127-0-0-1-9003"])
        self.assertEqual(pool.explain(0.0)[:2], before)
        self.assertFalse(self.node(A).available)
        self.assertEqual(self.node(B).enabled, "drain")

    def test_connections(self) -> None:
        """Connections to targets that stay are used on; those of one that left are closed."""
        self.start()
        client = self.client()
        ports = {self.served(client), self.served(client)}
        self.assertEqual(ports, {9001, 9002})
        [first, second] = [
            upstream
            for _, upstream in self.service.running_pools["app"].forwarder.upstreams
        ]
        self.reload(TWO.replace(', "http://127.0.0.1:9002"', ""))
        self.assertEqual((first.idle, second.idle), (1, 0))
        self.assertEqual(first.connects, 1)
        client.send(get("/again"))
        self.assertEqual(self.reactor.tcpClients, [])

    def test_told_of_clients(self) -> None:
        """Targets that are told of clients from now on, or not any more, get other connections."""
        one = TWO.replace(', "http://127.0.0.1:9002"', "")
        self.start(one)
        client = self.client()
        self.served(client)
        for text, first in (
            (one + 'send_proxy = "v1"\n', b"PROXY TCP4 "),
            (one + 'send_proxy = "v2"\n', b"\r\n\r\n\0\r\nQUIT\n\x21\x11"),
            (one, b"GET "),
        ):
            self.assertEqual(self.changes(text), ["changed app"])
            client.send(get("/"))
            backend = self.backend()
            self.assertEqual(backend.take()[: len(first)], first)
            backend.send(OK)
            self.assertEqual(client.take(), OK)

    def test_weights_and_limits_in_place(self) -> None:
        """Another weight and another limit hold at once, for the same node with what is in flight."""
        self.start()
        client = self.client()
        client.send(get("/"))
        node = self.node(A)
        self.assertEqual(node.in_flight, 1)
        table = '{ url = "http://127.0.0.1:9001", weight = 5, max_conns = 1 }'
        self.reload(TWO.replace('"http://127.0.0.1:9001"', table))
        self.assertIs(self.node(A), node)
        self.assertEqual((node.weight, node.capacity, node.in_flight), (5.0, 1, 1))
        self.assertTrue(node.full)
        self.backend().send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(node.in_flight, 0)

    def test_counters_never_fall(self) -> None:
        """The exchanges of a pool are counted on, whatever becomes of its settings."""
        self.start()
        client = self.client()
        self.served(client)
        client.send(get("/under-way"))
        waiting = self.backend(self.reactor.tcpClients[-1][1])
        self.reload(TWO + "[pool.app.retry]\ntries = 1\n")
        shown = self.service.statistics()
        self.assertEqual(shown["pools"]["app"]["exchanges"], 1)
        self.assertEqual(shown["pools"]["app"]["in_flight"], 1)
        waiting.send(OK)
        self.assertEqual(client.take(), OK)
        shown = self.service.statistics()
        self.assertEqual(shown["pools"]["app"]["exchanges"], 2)
        self.assertEqual(shown["pools"]["app"]["in_flight"], 0)
        self.assertEqual(shown["listeners"]["web"]["accepted"], 1)

    def test_same_id_at_another_address(self) -> None:
        """Requests go to the new address at once, and nothing known of the old one is believed."""
        text = TWO.replace(
            '["http://127.0.0.1:9001", "http://127.0.0.1:9002"]',
            '[{ url = "http://127.0.0.1:9001", id = "one" }]',
        )
        self.start(text)
        client = self.client()
        self.assertEqual(self.served(client), 9001)
        self.service.pools["app"].observe("one", Observation(False, "500"), 0.0)
        self.reload(text.replace("9001", "9005"))
        self.assertEqual(self.served(client), 9005)

    def test_one_address_in_two_pools(self) -> None:
        """What one pool knows of an address is not touched by a change of another pool with the same one."""
        other = TWO + '[pool.other]\ntargets = ["http://127.0.0.1:9001"]\n'
        self.start(other)
        self.service.pools["other"].observe(A, Observation(False, "500"), 0.0)
        self.reload(other.replace("9002", "9003"))
        self.assertTrue(self.node(A).available)
        self.assertFalse(self.node(A, "other").available)

    def test_budget_and_queue(self) -> None:
        """Who waits for room still gets it after a reload, and the retry budget is the same."""
        queue = "max_conns = 1\n[pool.app.queue]\nsize = 5\ntimeout = '20s'\n"
        self.start(TWO + queue)
        first, second = self.client(), self.client()
        first.send(get("/1"))
        second.send(get("/2"))
        policy = self.service.running_pools["app"].forwarder.policy
        self.assertTrue(policy.room.occupied)
        self.reload(TWO.replace("9002", "9003") + queue)
        after = self.service.running_pools["app"].forwarder.policy
        self.assertIs(after.room, policy.room)
        self.assertIs(after.budget, policy.budget)
        backend = self.backend(self.reactor.tcpClients[-1][1])
        for client in (first, second):
            backend.send(OK)
            self.assertEqual(client.take(), OK)

    def test_another_queue(self) -> None:
        """Who waits in a line whose settings are changed is not forgotten there."""
        queue = "max_conns = 1\n[pool.app.queue]\nsize = 5\ntimeout = '20s'\n"
        self.start(TWO + queue)
        first, second = self.client(), self.client()
        first.send(get("/1"))
        second.send(get("/2"))
        self.reload(TWO + queue.replace("size = 5", "size = 9"))
        self.backend(self.reactor.tcpClients[-1][1]).send(OK)
        self.assertEqual(first.take(), OK)
        self.pass_time(0.3)
        self.backend(self.reactor.tcpClients[-1][1]).send(OK)
        self.assertEqual(second.take(), OK)


class ProbingTests(ReloadTestCase):
    CHECK = "[pool.app.health]\ninterval = '10s'\n"

    def due(self, name: str) -> Any:
        return self.service.next_check("app", name)

    def test_phase(self) -> None:
        """The next check of a target that stays is due when it was due before."""
        self.start(TWO + self.CHECK)
        self.pass_time(1)
        for _ in range(2):
            self.backend(self.reactor.tcpClients[-1][1]).send(OK)
        before = (self.due(A), self.due(B))
        self.assertNotIn(None, before)
        self.pass_time(2)
        more = TWO.replace('9002"]', '9002", "http://127.0.0.1:9003"]')
        self.reload(more + self.CHECK)
        self.assertEqual((self.due(A), self.due(B)), before)

    def test_another_path(self) -> None:
        """The verdict of another question is not believed: the target is asked anew, at once."""
        self.start(TWO + self.CHECK)
        self.service.pools["app"].observe(A, Observation(False, "500"), 0.0)
        self.assertFalse(self.node(A).available)
        self.reactor.tcpClients.clear()
        self.reload(TWO + self.CHECK + "path = '/up'\n")
        self.assertIsNone(self.node(A).health.checked)
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_another_interval(self) -> None:
        """How often is asked says nothing of what was found: who is down stays down, with its counts."""
        self.start(TWO + self.CHECK)
        self.service.pools["app"].observe(A, Observation(False, "500"), 0.0)
        for _ in range(2):
            self.backend(self.reactor.tcpClients[-1][1]).lose()
            self.reactor.advance(0)
        self.reload(TWO + self.CHECK.replace("10s", "3s") + "rise = 2\n")
        self.assertFalse(self.node(A).available)
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertEqual(self.due(A), self.reactor.seconds() + 3.0)
        self.assertEqual(self.service.pools["app"].thresholds.rise, 2)

    def test_moved_target_is_asked_at_once(self) -> None:
        """A target at another address is checked there, without the old one's turn being waited for."""
        text = TWO.replace(
            '["http://127.0.0.1:9001", "http://127.0.0.1:9002"]',
            '[{ url = "http://127.0.0.1:9001", id = "one" }]',
        )
        self.start(text + self.CHECK)
        self.pass_time(1)
        self.reactor.tcpClients.clear()
        self.reload(text.replace("9001", "9005") + self.CHECK)
        self.pass_time(1)
        self.assertEqual([one[1] for one in self.reactor.tcpClients], [9005])


class RoutesTests(ReloadTestCase):
    MORE = TWO + '[pool.new]\ntargets = ["http://127.0.0.1:9009"]\n'

    def test_connected_clients(self) -> None:
        """A client that stays connected goes by the new routes with its next request."""
        self.start()
        client = self.client()
        self.served(client)
        self.reload(self.MORE.replace('pool = "app"', 'pool = "new"'))
        self.assertEqual(self.served(client), 9009)
        self.assertFalse(client.disconnecting)

    def test_removed_pool(self) -> None:
        """What runs at a pool that is removed ends in peace; the pool is shown no more."""
        self.start(self.MORE.replace('pool = "app"', 'pool = "new"'))
        client = self.client()
        client.send(get("/"))
        backend = self.backend(9009)
        self.assertIn("removed new", self.changes(TWO))
        self.assertEqual(list(self.service.pools), ["app"])
        self.assertEqual(list(self.service.statistics()["pools"]), ["app"])
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_bytes_of_a_removed_pool(self) -> None:
        """What a listener has moved stays counted, what ends after the pool has left included."""
        self.start(self.MORE.replace('pool = "app"', 'pool = "new"'))
        client, other = self.client(), self.client()
        client.send(get("/"))
        backend = self.backend(9009)
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        other.send(get("/"))
        self.reload(TWO)
        moved = len(OK.partition(b"\r\n\r\n")[2])
        self.assertEqual(self.bytes_out(), moved)
        backend.send(OK)
        self.assertEqual(self.bytes_out(), 2 * moved)

    def bytes_out(self) -> int:
        """Of the listener."""
        found: int = self.service.statistics()["listeners"]["web"]["bytes_out"]
        return found

    def test_refusals_of_a_listener(self) -> None:
        """They are counted on when it answers for its health from now on."""
        self.start(
            TWO.replace('pool = "app"\n[pool', 'path = "/x"\npool = "app"\n[pool')
        )
        client = self.client()
        client.send(get("/"))
        self.assertIn(b"HTTP/1.1 404 ", client.take())
        self.reload(TWO.replace('"tcp:8080"', '"tcp:8082"\nhealth = true'))
        told = self.service.statistics()["listeners"]["web"]
        self.assertEqual(told["refused_codes"], {"404": 1})


class TunnelTests(ReloadTestCase):
    def tunnel(self) -> Any:
        client = self.client()
        client.send(SWITCH)
        backend = self.backend(self.reactor.tcpClients[-1][1])
        backend.send(SWITCHED)
        client.take()
        backend.take()
        return client, backend

    def test_lives_on(self) -> None:
        """A WebSocket is not touched by changes of others, nor by many of its own pool."""
        self.start()
        client, backend = self.tunnel()
        for number in range(5):
            weight = f'{{ url = "http://127.0.0.1:9001", weight = {number + 2} }}'
            self.reload(TWO.replace('"http://127.0.0.1:9001"', weight))
            backend.send(b"\x81\x02hi")
            self.assertEqual(client.take(), b"\x81\x02hi")
        self.pass_time(400)
        self.assertFalse(client.lost)

    def test_not_for_ever_after_its_target_left(self) -> None:
        """A WebSocket at a target that left has `timeouts.drain`, and then ends."""
        text = TWO + "[timeouts]\ndrain = '5s'\n"
        self.start(text)
        client, backend = self.tunnel()
        self.reload(text.replace('"http://127.0.0.1:9001", ', ""))
        self.pass_time(4)
        backend.send(b"\x81\x02hi")
        self.assertEqual(client.take(), b"\x81\x02hi")
        self.assertEqual(len(self.reloader.farewells), 1)
        self.pass_time(2)
        self.assertEqual(client.take(), GOING_AWAY)
        self.pass_time(3)
        self.assertTrue(client.lost)
        self.pass_time(1)
        self.assertEqual(len(self.reloader.farewells), 0)

    def test_a_download_is_cut(self) -> None:
        """So is a download that takes longer than that; a WebSocket in the middle of a frame is not waited for."""
        text = TWO + "[timeouts]\ndrain = '5s'\n"
        self.start(text)
        client, backend = self.tunnel()
        backend.send(b"\x81\x7e")  # a frame that is never complete
        loading = self.client()
        loading.send(get("/"))
        source = self.backend(self.reactor.tcpClients[-1][1])
        source.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nx")
        self.reload(
            TWO.replace("9001", "9003").replace("9002", "9004") + text[len(TWO) :]
        )
        self.pass_time(4)
        self.assertFalse(loading.lost or client.lost)
        self.pass_time(2)
        self.assertTrue(loading.lost)
        self.pass_time(3)
        self.assertTrue(client.lost)
        self.assertEqual(len(self.reloader.farewells), 0)


class ListenersTests(ReloadTestCase):
    MORE = TWO + '[listener.more]\nendpoint = "tcp:8081"\n'

    def test_added_and_removed(self) -> None:
        """A new listener serves; a removed one takes nobody, and its clients get their answer."""
        self.start()
        self.reload(self.MORE)
        client = self.client(8081)
        client.send(get("/"))
        self.reload(TWO)
        self.assertNotIn(8081, self.reactor.ports)
        self.assertEqual(list(self.service.resources), ["web"])
        self.backend(self.reactor.tcpClients[-1][1]).send(OK)
        self.assertIn(b"HTTP/1.1 200", client.take())
        self.pass_time(10)
        self.assertTrue(client.lost)

    def test_another_address(self) -> None:
        """A listener moves: its clients end in peace and are counted on."""
        self.start()
        client = self.client()
        self.reload(TWO.replace("8080", "8090"))
        self.assertEqual(list(self.reactor.ports), [8090])
        self.client(8090)
        shown = self.service.statistics()["listeners"]["web"]
        self.assertEqual(shown["accepted"], 2)
        self.pass_time(10)
        self.assertTrue(client.lost)

    def test_port_in_use(self) -> None:
        """A port that somebody has refuses the whole reload; the old listeners and routes stay."""
        self.reactor.taken = (8081,)
        self.start()
        [error] = self.refused(self.MORE.replace("9002", "9003"))
        self.assertIn("tcp:8081", error)
        self.assertEqual(list(self.reactor.ports), [8080])
        self.assertEqual(list(self.service.pools["app"].nodes), [A, B])
        self.assertEqual(self.reload(TWO).changes, ())
        self.assertEqual(self.served(self.client()) in (9001, 9002), True)

    def test_limits_in_place(self) -> None:
        """Other limits hold for the clients to come, on the same port; those that are there stay."""
        self.start()
        factory = self.reactor.ports[8080]
        client = self.client()
        self.reload(TWO + "[limits]\nbody_size = 3\nconnections_per_listener = 1\n")
        self.assertIs(self.reactor.ports[8080], factory)
        self.assertFalse(client.disconnecting)
        self.assertEqual(factory.most, 1)
        client.lose()
        self.reactor.advance(0)
        other = self.client()
        other.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        self.assertIn(b"413", other.take())

    def test_connections_per_client(self) -> None:
        """A new limit per client counts those that are connected."""
        self.start()
        self.client()
        self.reload(TWO + "[limits]\nconnections_per_client = 1\n")
        self.assertEqual(self.service.census.clients, {"192.0.2.1": 1})

    def test_access_log(self) -> None:
        """An access log begins, moves and ends with the settings."""
        self.start()
        for name in ("one.log", "two.log"):
            self.reload(TWO + f'[access_log]\npath = "{name}"\nbuffer_size = 0\n')
            self.client().send(b"nonsense\r\n\r\n")
            self.pass_time(2)
            self.assertEqual((self.folder / name).read_text().count("\n"), 1)
        self.reload(TWO)
        self.client().send(b"nonsense\r\n\r\n")
        self.pass_time(2)
        self.assertEqual((self.folder / "two.log").read_text().count("\n"), 1)

    def test_access_log_of_a_route(self) -> None:
        """A route gets a log of its own, and loses it; an exchange under way ends in the one that is in force."""
        one = TWO.replace(', "http://127.0.0.1:9002"', "")
        own = one.replace(
            "[[route]]", '[[route]]\naccess_log = { path = "own.log", format = "$uri" }'
        )
        self.start(one)
        self.reload(own)
        client = self.client()
        client.send(get("/1"))
        backend = self.backend()
        backend.send(OK)
        client.send(get("/2"))
        self.reload(own + '[access_log]\npath = "all.log"\n')
        backend.send(OK)
        self.pass_time(2)
        self.assertEqual((self.folder / "own.log").read_text(), "/1\n/2\n")
        self.reload(one + '[access_log]\npath = "all.log"\nformat = "$uri $route"\n')
        client.send(get("/3"))
        backend.send(OK)
        self.pass_time(2)
        self.assertEqual((self.folder / "own.log").read_text(), "/1\n/2\n")
        self.assertEqual((self.folder / "all.log").read_text(), "/3 * /\n")


class RefusedTests(ReloadTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.lines: list[Any] = []
        observer: Any = self.lines.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def test_log_that_cannot_be_opened(self) -> None:
        """It is refused by its line and key; one that is open and whose folder is gone hinders nothing else."""
        self.start()
        logs = self.folder / "logs"
        text = TWO + f'[access_log]\npath = "{logs}/a.log"\n'
        (self.folder / "lolly.toml").write_text(text)
        [said] = self.refused(text)
        self.assertIn("lolly.toml:9: access_log.path: cannot be made", said)
        logs.mkdir()
        self.reload(text)
        (logs / "a.log").unlink()
        logs.rmdir()
        self.reload(text + "[timeouts]\nshutdown = '7s'\n")
        self.assertEqual(self.service.generation.number, 3)

    def test_every_error(self) -> None:
        """A wrong text changes nothing, tells every error with its line, and leaves one line in the log."""
        self.start()
        wrong = TWO.replace("9002", "9003") + 'balance = "nonsense"\nwieght = 3\n'
        errors = self.refused(wrong)
        self.assertEqual(len(errors), 2)
        for error in errors:
            self.assertIn(f"{self.folder}/lolly.toml:", error)
        self.assertEqual(list(self.service.pools["app"].nodes), [A, B])
        said = [e for e in self.lines if e["log_level"] is LogLevel.error]
        self.assertEqual(len(said), 1)
        self.assertIn(
            "generation 1 stays in force",
            str(said[0]["log_format"]).replace("{number}", "1"),
        )
        self.assertEqual(
            (self.service.generation.reloaded, self.service.generation.failures),
            (False, 1),
        )
        self.reload(TWO)
        self.assertTrue(self.service.generation.reloaded)

    def test_certificate_without_key(self) -> None:
        """A certificate that has no key refuses the reload, with the key in the file."""
        (self.folder / "site.pem").write_text("nothing")
        self.start()
        text = (
            TWO + '[listener.s]\nendpoint = "tcp:8443"\ntls.certificate = "site.pem"\n'
        )
        errors = self.refused(text)
        self.assertIn("listener.s.tls.certificate", errors[0])
        self.assertEqual(list(self.reactor.ports), [8080])

    def test_one_bad_part(self) -> None:
        """A file that is half right is not half applied."""
        self.start()
        text = TWO.replace('"app"', '"new"', 1) + (
            '[pool.new]\ntargets = ["http://127.0.0.1:9009"]\n'
            '[pool.bad]\ntargets = [{ endpoint = "nosuch:1" }]\n'
        )
        self.refused(text)
        self.assertEqual(list(self.service.pools), ["app"])
        self.assertIn(self.served(self.client()), (9001, 9002))

    def test_restart_is_needed(self) -> None:
        """What a reload cannot change is named; the rest is in force."""
        self.start()
        told = self.reload(TWO.replace("9002", "9003") + '[log]\nlevel = "warn"\n')
        self.assertEqual([one["name"] for one in told.restart], ["log.level"])
        self.assertEqual(told.generation, 2)
        self.assertEqual(self.service.config.log.level, "info")

    def test_while_stopping(self) -> None:
        """A reload that comes while the proxy stops changes nothing."""
        self.start()
        self.service.stopService()
        self.assertEqual(
            self.refused(TWO.replace("9002", "9003")), ["the proxy is stopping"]
        )

    def test_one_after_the_other(self) -> None:
        """Two reloads at once are done in turn, each with a generation of its own."""
        self.start()
        self.text = TWO.replace("9002", "9003")
        first = self.reloader.reload()
        self.text = TWO.replace("9002", "9004")
        second = self.reloader.reload()
        self.turn(second)
        self.assertEqual(self.successResultOf(first).generation, 2)
        self.assertEqual(self.service.generation.number, 3)
        self.assertIn("http-127-0-0-1-9004", self.service.pools["app"].nodes)


class LargeTests(ReloadTestCase):
    def test_a_part_at_a_time(self) -> None:
        """Of a thousand targets only a part is made in one turn of the event loop."""
        many = ", ".join(
            f'"http://127.0.{n // 250}.{n % 250 + 1}:9001"' for n in range(1000)
        )
        self.start()
        for text in (
            TWO + f"[pool.many]\ntargets = [{many}]\n",
            TWO.replace('"http://127.0.0.1:9001"', many),
        ):
            self.text = text
            change = Change(self.service, self.read())
            made = 0
            for _ in change.prepare():
                before, made = made, self.endpoints_of(change)
                self.assertLessEqual(
                    made - before, TARGETS_AT_ONCE + 2
                )  # those there are
            self.assertGreaterEqual(self.endpoints_of(change), 1000)
            change.forget()
        self.assertEqual(list(self.service.pools), ["app"])

    def test_only_what_is_said_is_put_into_words(self) -> None:
        """Of thousands of changes the log names a few, and no more of them become text."""
        said: list[Any] = []
        real = diff.Change.__str__

        def counted(one: Any) -> str:
            said.append(one)
            return real(one)

        self.patch(diff.Change, "__str__", counted)
        self.start()
        more = ", ".join(f'"http://127.0.0.1:{9100 + n}"' for n in range(99))
        told = self.reload(TWO.replace('"http://127.0.0.1:9001"', more))
        self.assertEqual((len(told.changes), len(said)), (100, SHOWN))

    def endpoints_of(self, change: Change) -> int:
        """How many there are of targets that are not in force."""
        ways: list[Any] = [one.endpoint.connect_to for one in change._pools.values()]
        return sum(len(way._made) for way in ways)


HEALTH = "[pool.{0}.health]\npath = '/'\n"


class ManyPoolsTests(ReloadTestCase):
    """Of a hundred pools that come, change or go only some do in one turn of the event loop."""

    def many(self) -> str:
        """So many new pools."""
        return TWO + "".join(
            f'[pool.p{n}]\ntargets = ["http://127.0.0.1:{9100 + n}"]\n'
            + HEALTH.format(f"p{n}")
            for n in range(2 * POOLS_AT_ONCE)
        )

    def committed(self, text: str) -> Change:
        """A change to `text`, in force but not settled."""
        self.text = text
        change = Change(self.service, self.read())
        for _ in change.prepare():
            pass
        change.ready()
        change.commit()
        return change

    def step(self) -> None:
        """The next that is due, alone."""
        call: Any = self.reactor.calls.pop(0)
        self.assertLessEqual(call.getTime(), self.reactor.seconds())
        call.called = 1
        call.func(*call.args, **call.kw)

    def asking(self) -> int:
        """Pools whose targets are checked."""
        return sum(
            all(checker.is_running for checker in one.probing.checkers)
            for name, one in self.service.running_pools.items()
            if name != "app"
        )

    def test_made(self) -> None:
        """New pools are made one by one; those that stay are compared in parts."""
        self.start()
        self.text = self.many()
        change = Change(self.service, self.read())
        counts = [len(change._pools) for _ in change.prepare()]
        steps = [b - a for a, b in itertools.pairwise(counts)]
        self.assertLessEqual(max(steps), 2)  # one that stays is only compared
        change.forget()
        self.reload(self.many())
        self.text = self.many() + "[limits]\nbody_size = 9\n"
        change = Change(self.service, self.read())
        counts = [len(change._pools) for _ in change.prepare()]
        steps = [b - a for a, b in itertools.pairwise(counts)]
        self.assertEqual(max(steps), POOLS_AT_ONCE)
        change.forget()

    def test_routes(self) -> None:
        """Of thousands of routes some are made in one turn."""
        routes = range(5 * ROUTES_AT_ONCE)
        text = "".join(f'[[route]]\npath = "/{n}/"\npool = "app"\n' for n in routes)
        self.start()
        self.text = TWO.replace("[pool.app]", f"{text}[pool.app]")
        change = Change(self.service, self.read())
        self.assertGreaterEqual(sum(1 for _ in change.prepare()), 5)
        self.assertEqual(len(change._tables["web"].patterns), len(routes) + 1)
        change.forget()

    def test_begin_to_ask(self) -> None:
        """They serve with the commit, and are checked one after the other."""
        self.start()
        change = self.committed(self.many())
        self.assertEqual(self.asking(), 0)
        self.assertIn("p1", self.service.pools)
        directory = self.service.commons.directory
        running = self.service.running_pools["p1"]
        self.assertIs(directory.find("p1"), running.endpoint)
        counts = [self.asking() for _ in change.settle()]
        self.assertEqual(counts, list(range(1, 2 * POOLS_AT_ONCE + 1)))

    def test_one_is_asked_at_once(self) -> None:
        """The targets of a single new pool are asked in the turn it comes."""
        self.start()
        more = '[pool.p1]\ntargets = ["http://127.0.1.1:9001"]\n'
        change = self.committed(TWO + more + HEALTH.format("p1"))
        next(change.settle())
        self.assertEqual(self.asking(), 1)

    def test_end(self) -> None:
        """Those that have left end in parts, and who is connected there is seen off."""
        route = '[[route]]\npool = "p1"\npath = "/p1"\n'
        self.start(self.many().replace("[pool.app]", f"{route}[pool.app]"))
        client = self.client()
        client.send(get("/p1"))
        self.backend(9101)
        gone = [one for name, one in self.service.running_pools.items()][1:]
        change = self.committed(TWO)
        there = self.service.commons.directory._published
        found, left = [], []
        for each in change.settle():
            left += each
            found.append(
                sum(one.endpoint in there.get(one.pool.name, ()) for one in gone)
            )
        self.assertEqual(found, [POOLS_AT_ONCE, 0])
        [upstream] = left
        [(_, its)] = gone[1].forwarder.upstreams
        self.assertIs(upstream, its)
        self.assertFalse(any(one.probing.checkers[0].is_running for one in gone))

    def test_stop_meanwhile(self) -> None:
        """A service that stops has no pool begin any more, and leaves no timer behind."""
        self.start()
        self.text = self.many()
        done = self.reloader.reload()
        while self.asking() < 3:
            self.step()
        self.service.stopService()
        self.assertEqual(self.asking(), 0)
        self.turn(done)
        self.assertEqual(self.successResultOf(done).generation, 2)
        self.pass_time(40)
        self.assertEqual(self.asking(), 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

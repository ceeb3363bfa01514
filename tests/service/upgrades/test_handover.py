"""Tests of what one image of the process leaves to the next."""

from __future__ import annotations

import json
import os
from typing import Any

from lolly_tx.domain.checks.health import Observation
from lolly_tx.net.sockets.slots import SlotPort, bind_slots
from lolly_tx.service.generation import Generation
from lolly_tx.service.upgrades.handover import (
    VARIABLE,
    numbers_in,
    received,
    restore,
    sockets_of,
    state_of,
    write,
)
from tests.service.test_build import CONFIG, BuildTestCase

CHECKED = CONFIG + '[pool.app.health]\npath = "{}"\n'


class StateTests(BuildTestCase):
    def down(self, text: str) -> dict[str, Any]:
        """What is known when the target is down and was told to drain."""
        service = self.build(text)
        pool = service.pools["app"]
        [name] = pool.nodes
        pool.observe(name, Observation(False, "500"), 0.0)
        pool.set_enabled(name, "drain", "operator: test", 0.0)
        service.drains.begin("app", name, 60.0)
        service.listeners.acceptors["web"].accepted = 7
        return dict(json.loads(json.dumps(state_of(service))))

    def test_kept(self) -> None:
        """Generation, counters, health and the operator's word go over."""
        text = CHECKED.format("/health")
        state = {**self.down(text), "generation": 12}
        new = self.build(text)
        restore(new, state)
        [node] = new.pools["app"].nodes.values()
        self.assertEqual((node.health.up, node.enabled), (False, "drain"))
        self.assertEqual(new.drains.left("app", node.id), 60.0)
        self.assertEqual(new.generation.number, 12)
        self.assertEqual(new.acceptors["web"].accepted, 7)

    def test_counters(self) -> None:
        """None of them begins afresh; what the old code says is as it was read from JSON."""
        service = self.build()
        running = service.running_pools["app"]
        running.forwarder.counters.begin("web").codes[200] = 5
        running.forwarder.counters.hedges = 2
        running.pool.refusals = 3
        running.pool.check_times.add(0.3)
        [node] = running.pool.nodes.values()
        node.stats.slower[4] = 6
        node.stats.ejected["outlier"] = 7
        node.stats.checks["success"] = 8
        service.resources["web"].proxy.refused_codes[404] = 9
        service.watchdog.count_on(10)
        service.generation = Generation(4, 0.0, reloaded=False, failures=11)
        service.upkeep.renewals.issued = 12
        state = json.loads(json.dumps(state_of(service)))
        new = self.build()
        restore(new, state)
        self.assertEqual(json.loads(json.dumps(state_of(new))), state)
        self.assertEqual(new.generation.failures, 11)

    def test_counters_of_caches(self) -> None:
        """Caches count on, too; what they held is not there any more."""
        text = CHECKED.format("/health").replace(
            "[[route]]", '[[route]]\nuse = [{ type = "cache", cache = "c" }]', 1
        )
        text += "[cache.c]\n"
        old, new = self.build(text), self.build(text)
        [store] = old.middlewares.caches
        store.counts["miss"] = 3
        store.short_hits, store.stored_count, store.evicted = 4, 2, 1
        state = json.loads(json.dumps(state_of(old)))
        restore(new, state)
        found = new.statistics()["caches"]["c"]
        self.assertEqual((found["requests"]["hit"], found["requests"]["miss"]), (4, 3))
        self.assertEqual((found["stored"], found["evicted"]), (2, 1))
        self.assertEqual((found["entries"], found["bytes_held"]), (0, 0))

    def test_counters_of_streams_and_forward_proxies(self) -> None:
        """What streams, of datagrams too, and forward proxies have counted goes on as well."""
        text = (
            '[stream.pg]\nendpoint = "tcp:5432"\npool = "pg"\n'
            '[stream.dns]\nendpoint = "udp:53"\npool = "dns"\n'
            '[pool.pg]\ntargets = ["tcp://10.0.0.1:1"]\n'
            '[pool.dns]\ntargets = ["udp://10.0.0.1:53"]\n'
            '[forward.f]\nendpoint = "tcp:3128"\nallow = ["10.0.0.0/8"]\n'
        )
        old, new = self.build(text), self.build(text)
        old.stream_counters["pg"].end(5, 6, "client")
        old.stream_counters["pg"].refuse("access")
        counters: Any = old.stream_counters["dns"]
        counters.datagrams, counters.dropped_up["too long"] = 7, 2
        forward = old.forwards["f"]
        forward.counters.begin("forward f").codes[200] = 3
        forward.proxy.turned_away["no password"] = 4
        forward.proxy.refused_codes[407] = 4
        [node] = old.pools["pg"].nodes.values()
        node.stats.bytes_out = 9
        state = json.loads(json.dumps(state_of(old)))
        restore(new, state)
        self.assertEqual(json.loads(json.dumps(state_of(new))), state)
        told = new.statistics()["listeners"]
        self.assertEqual(
            (told["stream pg"]["bytes_in"], told["stream pg"]["refused"]), (5, 1)
        )
        self.assertEqual(told["stream dns"]["datagrams"]["dropped_in"], {"too long": 2})
        self.assertEqual(
            (told["forward f"]["exchanges"], told["forward f"]["refused"]), (3, 4)
        )

    def test_counters_of_other_code(self) -> None:
        """Those that make no sense are left out."""
        new = self.build()
        state = json.loads(json.dumps(state_of(new)))
        state["counted"]["pools"] = {"app": {"counters": {"served": {"web": 1}}}}
        restore(new, state)
        self.assertEqual(new.running_pools["app"].forwarder.counters.exchanges, 0)

    def test_checked_otherwise(self) -> None:
        """A verdict of another check does not hold."""
        state = self.down(CHECKED.format("/health"))
        new = self.build(CHECKED.format("/other"))
        restore(new, state)
        [node] = new.pools["app"].nodes.values()
        self.assertEqual((node.health.up, node.enabled), (True, "drain"))

    def test_of_other_code(self) -> None:
        """What makes no sense is left out, and hinders no start."""
        state = self.down(CHECKED.format("/health"))
        wrong: dict[str, Any]
        for wrong in ({}, {"pools": []}, {"pools": {"app": {"targets": {"x": 1}}}}):
            new = self.build()
            restore(new, {**state, "generation": "none", "pools": 1})
            restore(new, wrong)
            self.assertEqual(new.generation.number, 1)
            [node] = new.pools["app"].nodes.values()
            self.assertTrue(node.available)

    def test_for_whom(self) -> None:
        """Only the process it is for takes it, once; without it, it is an ordinary start."""
        self.assertIsNone(received({}, (1,)))
        document = {"pid": 1, "sockets": [], "state": {"generation": 3}, "more": 1}
        for pid, ready in ((2, None), (1, os.dup(0))):
            left = write({**document, "ready": ready})
            environ = {VARIABLE: str(left)}
            found = received(environ, (pid, 77))
            self.assertEqual(environ, {})
            if pid == 1:
                assert found is not None
                self.assertEqual(found.state, {"generation": 3})
                os.close(found.ready)
            else:
                self.assertIsNone(found)
        for text in ("x", "99999"):
            self.assertIsNone(received({VARIABLE: text}, (1,)))

    def test_slots(self) -> None:
        """All sockets of an address go over, and are one heirloom again."""
        service = self.build()
        place = service.listeners.places["web"]
        made = bind_slots("127.0.0.1", 0, 2)
        place.port = SlotPort([*made, made[0]])
        [told] = sockets_of(service)
        self.assertEqual([told["fd"], *told["others"]], [one.fileno() for one in made])
        self.assertTrue(told["owned"])
        there = [os.dup(one.fileno()) for one in made]
        handed = {**told, "fd": there[0], "others": there[1:]}
        document = {"pid": 1, "sockets": [handed], "ready": os.dup(0)}
        more = {"children": [7], "several": True}
        left = write(json.loads(json.dumps({**document, **more})))
        found = received({VARIABLE: str(left)}, (1,))
        assert found is not None
        self.assertEqual((found.children, found.several), ((7,), True))
        [heirloom] = found.heirlooms
        self.assertEqual(
            [one.getsockname() for one in heirloom.sockets],
            [one.getsockname() for one in made],
        )
        for one in (*heirloom.sockets, *made):
            one.close()
        os.close(found.ready)


class NumbersTests(BuildTestCase):
    """What was counted, for who shows the numbers of several."""

    def test_of_one_process(self) -> None:
        """It is all where it was counted."""
        state = json.loads(json.dumps(state_of(self.build())))
        self.assertIsNone(numbers_in(state))

    def test_of_several(self) -> None:
        """All that they counted."""
        service = self.build()
        service.colleagues = Counted()
        state = json.loads(json.dumps(state_of(service)))
        self.assertEqual(numbers_in(state), Counted().counted())

    def test_of_other_code(self) -> None:
        """What makes no sense begins afresh."""
        self.assertIsNone(numbers_in({"numbers": {"x": "y"}}))
        self.assertIsNone(numbers_in({"numbers": 7}))


class Counted:
    """Workers, as far as their numbers go."""

    def counted(self) -> dict[str, float]:
        return {"listeners/web/accepted": 9, "pools/app/exchanges": 4}

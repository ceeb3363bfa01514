"""Tests of targets that come, go and change at run time, asked for by the admin API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred, fail, succeed

from lolly_tx.config.amendments import Amended
from lolly_tx.domain.checks.health import Observation
from lolly_tx.service.admin.endpoint import AdminResource
from lolly_tx.service.changes.amendedstate import NAME, as_values, load, of_values
from lolly_tx.service.changes.amending import OPERATOR, TargetChanges
from lolly_tx.service.changes.applying import Applying
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.generation import Refused
from lolly_tx.service.statefolder import StateFolder
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import (
    SWITCH,
    SWITCHED,
    TWO,
    A,
    B,
    ReloadTestCase,
)

TOKEN = "0123456789abcdef"
C = "http-127-0-0-1-9003"
CHECKED = TWO + '[pool.app.health]\ninitial = "down"\n'


class AmendingTestCase(ReloadTestCase):
    text = TWO

    def setUp(self) -> None:
        super().setUp()
        self.state = StateFolder(str(self.folder / "state"))
        self.begin(self.text)

    def begin(self, text: str) -> None:
        self.start(text)
        self.applying = self.service.reloading = Applying(self.reloader, self.parsed)
        self.service.amending = TargetChanges(self.reloader, self.state)
        resource = AdminResource(self.service, now=self.reactor.seconds, token=TOKEN)
        self.treq: Any = StubTreq(resource)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        **fields: str,
    ) -> tuple[int, Any]:
        asked = self.send(method, path, body, **fields)
        for _ in range(20):
            self.reactor.advance(0)
            self.treq.flush()
        response = self.successResultOf(asked)
        self.fields = response.headers
        return response.code, self.successResultOf(response.json())

    def send(self, method: str, path: str, body: Any = None, **fields: str) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}", **fields}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"http://127.0.0.1/api/pools/{path}"
        return self.treq.request(
            method, url, headers=headers, data=b"" if body is None else data
        )

    def add(self, port: int = 9003, **more: Any) -> tuple[int, Any]:
        body = {"url": f"http://127.0.0.1:{port}", **more}
        return self.ask("POST", "app/targets", body)

    def ids(self) -> list[str]:
        return list(self.service.pools["app"].nodes)

    def events(self) -> list[tuple[str, str, str, str]]:
        found = [event for _, event in self.service.journal.after(0)]
        return [(e.node, e.old, e.new, e.cause) for e in found]

    def run_time(self) -> list[Any]:
        return list(self.service.settings()["run_time"])


class AddingTests(AmendingTestCase):
    def test_added(self) -> None:
        """A target that was added serves, is told of with its cause, and is a run-time change of a new generation."""
        code, told = self.add(weight=2, max_conns=5)
        self.assertEqual((code, told["id"], told["weight"]), (201, C, 2))
        self.assertEqual(told["generation"], 2)
        self.assertEqual(self.fields.getRawHeaders("location"), [f"/api/pools/app/{C}"])
        client = self.client()
        ports = {self.served(client) for _ in range(3)}
        self.assertEqual(ports, {9001, 9002, 9003})
        self.assertIn((C, "", "member", OPERATOR), self.events())
        [change] = self.run_time()
        self.assertEqual((change["action"], change["target"]), ("added", C))
        self.assertEqual(self.service.settings()["run_time_changes"], 1)

    def test_others_stay(self) -> None:
        """Nobody else notices: the same nodes, with what is known of them."""
        before = [self.node(A), self.node(B)]
        self.service.pools["app"].mark(A, False, "a check", 1.0)
        self.add()
        self.assertEqual([self.node(A), self.node(B)], before)
        self.assertFalse(self.node(A).health.up)

    def test_twice(self) -> None:
        """An id or an address that is there is 409; of two that come at once one wins."""
        self.assertEqual(self.add(9001)[0], 409)
        self.assertEqual(self.add(9009, id=A)[0], 409)
        body = {"url": "http://127.0.0.1:9003"}
        asked = [self.send("POST", "app/targets", body) for _ in range(2)]
        for _ in range(20):
            self.reactor.advance(0)
            self.treq.flush()
        codes = [self.successResultOf(one).code for one in asked]
        self.assertEqual(sorted(codes), [201, 409])
        self.assertEqual(self.ids(), [A, B, C])

    def test_endpoint_that_cannot_be(self) -> None:
        """An endpoint that nobody can make is 422, and nothing has changed."""
        body = {"endpoint": "nonsense:1"}
        code, told = self.ask("POST", "app/targets", body)
        self.assertEqual(code, 422, told)
        self.assertEqual(self.ids(), [A, B])
        self.assertEqual((self.run_time(), self.service.generation.number), ([], 1))
        self.assertTrue(self.service.generation.reloaded)
        self.assertEqual(self.service.generation.failures, 0)

    def test_rules(self) -> None:
        """A target that leads back to a listener is 422."""
        code, told = self.add(8080)
        self.assertEqual(code, 422)
        self.assertIn("listener", told["error"])

    def test_stopping(self) -> None:
        """While the proxy stops nothing is changed."""
        self.reloader.stop()
        self.assertEqual(self.add()[0], 422)
        self.assertEqual(self.ids(), [A, B])


class CheckedTests(AmendingTestCase):
    text = CHECKED

    def test_initial(self) -> None:
        """A new target begins as `initial` says, and slow start is what it would be after a reload."""
        self.add()
        self.assertFalse(self.node(C).available)
        self.assertEqual(self.node(C).why_not(), "unhealthy")
        ok = Observation(True, "ok", 0.01)
        self.service.pools["app"].observe(C, ok, self.reactor.seconds())
        self.assertTrue(self.node(C).available)


class SlowStartTests(AmendingTestCase):
    text = TWO + 'slow_start = "30s"\n'

    def test_ramp(self) -> None:
        """A new target gets its share little by little; another weight of an old one counts at once."""
        self.add()
        self.service.pools["app"].available(self.reactor.seconds())
        self.assertIsNotNone(self.node(C).ramp)
        self.assertIsNone(self.node(A).ramp)
        self.ask("PATCH", f"app/{A}", {"weight": 7})
        self.assertEqual((self.node(A).weight, self.node(A).ramp), (7.0, None))


class ChangingTests(AmendingTestCase):
    def test_weight(self) -> None:
        """The weight and the limit are others in the very node, and its requests go by them."""
        node = self.node(A)
        code, told = self.ask("PATCH", f"app/{A}", {"weight": 3, "max_conns": 9})
        self.assertEqual((code, told["weight"], told["max_conns"]), (200, 3, 9))
        self.assertIs(self.node(A), node)
        leases = [self.service.pools["app"].acquire(1.0) for _ in range(8)]
        names = [lease.node.id for lease in leases]
        self.assertEqual((names.count(A), names.count(B)), (6, 2))
        cause = (A, "weight=1 max_conns=0", "weight=3 max_conns=9", OPERATOR)
        self.assertIn(cause, self.events())

    def test_same(self) -> None:
        """What it has already is no change and no generation."""
        code, told = self.ask("PATCH", "app/127.0.0.1:9001", {"weight": 1})
        self.assertEqual((code, told["generation"]), (200, 1))
        self.assertEqual(self.run_time(), [])

    def test_operators_word_stays(self) -> None:
        """A drained target is drained with another weight, too, and the deadline of the drain goes on."""
        self.ask("POST", f"app/{A}/drain?deadline=60")
        told = self.ask("PATCH", f"app/{A}", {"weight": 3})[1]
        self.assertEqual(
            (told["enabled"], told["drain_ends_in_seconds"]), ("drain", 60.0)
        )


class RemovingTests(AmendingTestCase):
    def test_drains(self) -> None:
        """A target that was removed ends what it has begun; events and explain tell how far it is."""
        client = self.client()
        client.send(get("/"))
        target = A if self.node(A).in_flight else B
        port = int(target[-4:])
        code, told = self.ask("DELETE", f"app/{target}")
        self.assertEqual((code, told["removed"], told["in_flight"]), (200, target, 1))
        self.assertNotIn(target, self.ids())
        self.assertEqual(self.events()[-1], (target, "member", "leaving", OPERATOR))
        explained = self.explained(target)
        self.assertEqual(explained["why_not"], "leaving")
        self.assertIn("1 exchange still in flight", explained["summary"])
        self.assertEqual(explained["facts"][0]["cause"], OPERATOR)
        [leaving] = self.ask("GET", "app")[1]["leaving"]
        self.assertEqual((leaving["id"], leaving["in_flight"]), (target, 1))
        self.backend(port).send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(
            self.events()[-1], (target, "leaving", "", "its last exchange is over")
        )
        self.assertEqual(self.ask("GET", "app")[1]["leaving"], [])
        self.assertEqual(self.explained(target)["why_not"], "left")
        other = B if target == A else A
        self.assertEqual(self.served(client), int(other[-4:]))

    def explained(self, target: str) -> Any:
        asked = self.treq.get(f"http://127.0.0.1/api/explain/app/{target}")
        response = self.successResultOf(asked)
        self.assertEqual(response.code, 200)
        return self.successResultOf(response.json())

    def test_cut_in_the_end(self) -> None:
        """A tunnel, which does not end by itself, has `timeouts.drain`, and no more."""
        client = self.client()
        client.send(SWITCH)
        target = A if self.node(A).in_flight else B
        self.backend(int(target[-4:])).send(SWITCHED)
        self.ask("DELETE", f"app/{target}")
        self.pass_time(299)
        self.assertEqual(self.explained(target)["why_not"], "leaving")
        self.pass_time(10)
        self.assertEqual(self.explained(target)["why_not"], "left")

    def test_idle(self) -> None:
        """One that has nothing to do is gone at once, with one event."""
        self.ask("DELETE", f"app/{A}")
        mine = [event for event in self.events() if event[0] == A]
        self.assertEqual(mine, [(A, "member", "", OPERATOR)])

    def test_comes_back(self) -> None:
        """Added again as the file has it, it has its history and counters, and no change is left."""
        client = self.client()
        for _ in range(2):
            self.served(client)
        self.ask("DELETE", f"app/{A}")
        self.assertEqual(len(self.run_time()), 1)
        code, told = self.add(9001)
        self.assertEqual((code, told["counters"]["requests"]), (201, 1))
        self.assertEqual(self.run_time(), [])

    def test_last(self) -> None:
        """The last target of a pool stays: 409."""
        self.ask("DELETE", f"app/{A}")
        code, told = self.ask("DELETE", f"app/{B}")
        self.assertEqual(code, 409)
        self.assertIn("the last target", told["error"])
        self.assertEqual(self.ids(), [B])


class RefusingTests(AmendingTestCase):
    def test_bodies(self) -> None:
        """What is no JSON object, or says a thing twice, is 400 and changes nothing."""
        for body in (
            b"",
            b"{",
            b"[]",
            b'"x"',
            b"null",
            b"\xff",
            b'{"url": "http://x:1", "url": "http://y:1"}',
            b'{"url": "http://x:1", "weight": NaN}',
            b'{"url": "http://x:1", "weight": ' + b"9" * 5000 + b"}",
            b"[" * 5000,
        ):
            code, told = self.ask("POST", "app/targets", body)
            self.assertEqual(code, 400, body[:40])
            self.assertIn("error", told)
        self.assertEqual((self.ids(), self.run_time()), ([A, B], []))

    def test_fields(self) -> None:
        """400 names every field that is wrong."""
        body = {"url": "http://x:1", "wieght": 1, "max_conns": -1}
        code, told = self.ask("POST", "app/targets", body)
        self.assertEqual((code, told["fields"]), (400, ["wieght", "max_conns"]))
        self.assertIn('did you mean "weight"', told["error"])
        code, told = self.ask("PATCH", f"app/{A}", {"weight": 0})
        self.assertEqual((code, told["fields"]), (400, ["weight"]))
        self.assertEqual(self.ask("PATCH", f"app/{A}", {})[0], 400)

    def test_names(self) -> None:
        """Unknown pools and targets are 404, other methods 405."""
        url = {"url": "http://x:1"}
        self.assertEqual(self.ask("POST", "nowhere/targets", url)[0], 404)
        self.assertEqual(self.ask("DELETE", "app/nobody")[0], 404)
        self.assertEqual(self.ask("DELETE", "nowhere/nobody")[0], 404)
        self.assertEqual(self.ask("PATCH", "app/nobody", {"weight": 1})[0], 404)
        self.assertEqual(self.ask("PUT", f"app/{A}", {"weight": 1})[0], 405)
        allowed = self.fields.getRawHeaders("allow")[0]
        self.assertEqual(set(allowed.split(", ")), {"GET", "HEAD", "PATCH", "DELETE"})

    def test_who(self) -> None:
        """Nobody without the token, and no page of another site, whose body is not even read."""
        for method, path in (
            ("POST", "app/targets"),
            ("PATCH", f"app/{A}"),
            ("DELETE", f"app/{A}"),
        ):
            code, _ = self.ask(method, path, b"{", Authorization="Bearer wrong")
            self.assertEqual(code, 401)
            code, _ = self.ask(method, path, b"{", Origin="http://evil.example")
            self.assertEqual(code, 403)
        self.assertEqual(self.ids(), [A, B])

    def test_no_file(self) -> None:
        """Where settings come from no file targets cannot be changed: 409."""
        self.service.amending = None
        self.assertEqual(self.add()[0], 409)


class OverAReloadTests(AmendingTestCase):
    def test_kept(self) -> None:
        """A reload of the same file, or of one that says other things, leaves the changes."""
        self.add()
        self.ask("PATCH", f"app/{A}", {"weight": 3})
        node = self.node(C)
        self.assertEqual(self.reload(TWO).changes, ())
        told = self.reload(TWO + "max_conns = 50\n")
        self.assertEqual([one["name"] for one in told.changes], ["app"])
        self.assertEqual((self.ids(), told.ended), ([A, B, C], ()))
        self.assertIs(self.node(C), node)
        self.assertEqual(self.node(A).target.weight, 3)

    def test_file_has_the_last_word(self) -> None:
        """Where the file says something else of a target, the change is over, and the answer and the log say so."""
        self.add()
        self.ask("PATCH", f"app/{A}", {"weight": 3})
        changed = TWO.replace(
            '"http://127.0.0.1:9001"', '{ url = "http://127.0.0.1:9001", weight = 5 }'
        )
        told = self.reload(changed)
        self.assertEqual([one["target"] for one in told.ended], [A])
        self.assertEqual(self.node(A).target.weight, 5)
        self.assertEqual([one["target"] for one in self.run_time()], [C])
        self.reload(TWO)  # for good
        self.assertEqual(self.node(A).target.weight, 1)

    def test_refused_reload(self) -> None:
        """A reload that is refused leaves the changes as they are."""
        self.add()
        self.refused(TWO + "nonsense = 1\n")
        self.assertEqual((self.ids(), len(self.run_time())), ([A, B, C], 1))

    def test_trial(self) -> None:
        """Applied settings have the last word while they are there; a rollback brings back what was changed."""
        self.ask("PATCH", f"app/{A}", {"weight": 3})
        other = TWO.replace(
            '"http://127.0.0.1:9001"', '{ url = "http://127.0.0.1:9001", weight = 5 }'
        )
        self.turn(self.applying.apply(other, 60.0))
        self.assertEqual(self.node(A).target.weight, 5)
        self.assertEqual(self.run_time(), [])
        self.add()
        self.turn(self.applying.roll_back("wrong"))
        self.assertEqual(self.node(A).target.weight, 3)
        self.assertEqual(self.ids(), [A, B, C])
        self.assertEqual(len(self.run_time()), 2)


class ClosedTests(AmendingTestCase):
    def test_new_code_takes_over(self) -> None:
        """What new code, which has been told all by now, would not know of is refused, also if it was under way."""
        body = {"url": "http://127.0.0.1:9003"}
        asked = self.send("POST", "app/targets", body)
        self.assertNoResult(asked)
        assert self.service.amending is not None
        self.service.amending.close("new code takes over: ask again")
        for _ in range(20):
            self.reactor.advance(0)
            self.treq.flush()
        self.assertEqual(self.successResultOf(asked).code, 422)
        code, told = self.ask("PATCH", f"app/{A}", {"weight": 2})
        self.assertEqual((code, told["error"]), (422, "new code takes over: ask again"))


class Followers:
    """Workers that are asked first."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.error: Refused | None = None

    def prepare(self, config: Any) -> Deferred[None]:
        self.asked.append(config)
        return succeed(None) if self.error is None else fail(self.error)

    def commit(self) -> Deferred[tuple[int, ...]]:
        self.asked.append("commit")
        return succeed((2,))

    def forget(self) -> None:
        self.asked.append("forget")


class WorkersTests(AmendingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.followers = Followers()
        followers: Any = self.followers
        self.service.colleagues = followers
        self.addCleanup(setattr, self.service, "colleagues", None)

    def test_told(self) -> None:
        """Workers prepare it before it is in force; who is late is named."""
        code, told = self.ask("PATCH", f"app/{A}", {"weight": 3})
        self.assertEqual((code, told["late_workers"]), (200, [2]))
        config, word = self.followers.asked
        self.assertEqual(config.pools["app"].targets[0].weight, 3)
        self.assertEqual(word, "commit")

    def test_one_refuses(self) -> None:
        """A worker that cannot leaves all as they were."""
        self.followers.error = Refused(["worker 1: no room"])
        code, told = self.ask("PATCH", f"app/{A}", {"weight": 3})
        self.assertEqual((code, told["error"]), (422, "worker 1: no room"))
        self.assertEqual(self.followers.asked[-1], "forget")
        self.assertEqual((self.node(A).target.weight, self.run_time()), (1, []))


class StateTests(AmendingTestCase):
    def file(self) -> str:
        return str(self.service.config.file)

    def test_kept(self) -> None:
        """With a state folder a start finds what was changed, for the same file."""
        self.add(weight=2)
        self.ask("DELETE", f"app/{B}")
        made = load(self.state, self.file())
        standing = Amended(self.parsed(TWO), made)
        targets = standing.config.pools["app"].targets
        self.assertEqual([(one.id, one.weight) for one in targets], [(A, 1), (C, 2)])
        self.assertEqual(load(self.state, "/other.toml"), ())
        self.assertEqual((self.state.path / NAME).stat().st_mode & 0o777, 0o600)
        self.ask("DELETE", f"app/{C}")
        self.add(9002)
        self.assertFalse((self.state.path / NAME).exists())

    def test_ended_is_forgotten(self) -> None:
        """What a reload has ended is not kept."""
        self.ask("DELETE", f"app/{B}")
        self.reload(
            TWO.replace(
                '"http://127.0.0.1:9002"',
                '{ url = "http://127.0.0.1:9002", weight = 5 }',
            )
        )
        self.assertEqual(load(self.state, self.file()), ())

    def test_file_changed_before_a_start(self) -> None:
        """What the file has another word on at a start is over, for good."""
        self.add()
        self.ask("PATCH", f"app/{A}", {"weight": 3})
        made = load(self.state, self.file())
        text = TWO.replace('9002"]', '9002", "http://127.0.0.1:9003"]')
        standing = Amended(self.parsed(text), made)
        reloader = Reloader(self.service, self.read, standing=standing)
        changes = TargetChanges(reloader, self.state)
        self.assertEqual((len(changes.made), len(changes)), (2, 1))
        reloader.forget_ended()
        self.assertEqual([one.target for one in changes.made], [A])
        self.assertEqual(load(self.state, self.file()), tuple(changes.made))

    def test_unreadable(self) -> None:
        """A folder that cannot be written, or holds nonsense, is no reason to refuse anything."""
        (self.state.path / NAME).write_text('{"file": 3}')
        self.assertEqual(load(self.state, self.file()), ())
        there = {"file": str(Path(self.file()).absolute()), "changes": [{"pool": 1}]}
        (self.state.path / NAME).write_text(json.dumps(there))
        self.assertEqual(load(self.state, self.file()), ())
        self.state.path.joinpath(NAME).unlink()
        self.state.path.rmdir()
        self.assertEqual(self.add()[0], 201)

    def test_values(self) -> None:
        """New code is left the same changes."""
        self.add(weight=2)
        self.ask("DELETE", f"app/{B}")
        made = self.reloader.standing.made
        values = json.loads(json.dumps(as_values(made)))
        self.assertEqual(of_values(values), made)
        self.assertEqual(of_values([{"was": {"id": "x"}}]), ())
        self.assertEqual(of_values(None), ())

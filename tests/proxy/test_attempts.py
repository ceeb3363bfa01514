"""Attempts by configuration: budget, back-off, deadlines, statuses, ejections."""

from __future__ import annotations

from email.utils import formatdate

from twisted.internet.error import ConnectionRefusedError

from lolly_tx.domain.errors import ConnectFailed
from tests.proxy.configured import ABC, ask, backend_of, configured
from tests.proxy.world import GET, OK, Line, World, WorldTestCase, answer, get, post

BUSY = answer(b"busy", 503)


def wait_for_attempt(world: World, client: Line) -> float:
    """Let time pass until the next attempt connects; the seconds it took."""
    start = world.clock.seconds()
    while not world.connects(client.protocol.exchange.node.id):
        world.pass_time(0.01)
        assert world.clock.seconds() < start + 400.0, "no attempt"
    return world.clock.seconds() - start


def fails(world: World, times: int = 1) -> bytes:
    """Exchanges whose every attempt is refused; what the last client got."""
    got = b""
    for _ in range(times):
        client = world.client()
        client.send(GET)
        while client.protocol.exchange is not None:
            world.refuse(client.protocol.exchange.node.id)
        got = client.take()
    return got


class BudgetTests(WorldTestCase):
    def test_exhausted(self) -> None:
        """Without budget the first failure is what the client gets."""
        text = (
            "[pool.app.retry]\nbudget = 0.5\nbudget_floor = 0\n"
            "[pool.app.passive]\nmax_fails = 0\n"
        )
        world = configured(self, text)
        fails(world, 4)
        made = sum(len(e.attempts) for e in world.endpoints.values())
        self.assertEqual((made, world.forwarder.retries), (6, 2))
        budget = world.forwarder.policy.budget
        assert budget is not None
        self.assertEqual((budget.spent, budget.refused), (2, 2))
        self.assertEqual(budget.amplification, 1.5)

    def test_default(self) -> None:
        """A quiet pool may retry by default: three per second, counted over ten."""
        world = configured(self, "[pool.app.passive]\nmax_fails = 0\n")
        fails(world, 100)
        # 30 from the floor, and a fifth of what had come by then.
        self.assertLessEqual(world.forwarder.retries, 30 + 20)
        self.assertGreaterEqual(world.forwarder.retries, 30)

    def test_nobody_else(self) -> None:
        """A retry that finds no other node costs no budget."""
        world = configured(self, targets="a")
        fails(world)
        budget = world.forwarder.policy.budget
        assert budget is not None
        self.assertEqual((budget.spent, world.forwarder.retries), (0, 0))

    def test_none_needed(self) -> None:
        """A pool that never tries twice keeps no account."""
        world = configured(self, "[pool.app.retry]\ntries = 1\n")
        self.assertIsNone(world.forwarder.policy.budget)
        fails(world)

    def test_max_retries(self) -> None:
        """No more retries run at once than the cap says."""
        world = configured(self, "max_retries = 1\n")
        one, two = world.client(), world.client()
        for client in (one, two):
            client.send(GET)
            world.refuse(client.protocol.exchange.node.id)
        self.assertIn(b"HTTP/1.1 502 ", two.take())
        backend_of(world, one).send(OK)
        self.assertEqual(one.take(), OK)


class BackoffTests(WorldTestCase):
    def test_pause(self) -> None:
        """The first retry is made at once, the second after a random wait under the bound."""
        text = '[pool.app.retry]\ntries = 4\nbackoff = "1s"\n'
        world = configured(self, text, "abcd")
        client = world.client()
        client.send(GET)
        waits = []
        for _ in range(3):
            world.refuse(client.protocol.exchange.node.id)
            waits.append(wait_for_attempt(world, client))
        backend_of(world, client).send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(waits[0], 0.0)
        self.assertTrue(0 < waits[1] <= 3.1, waits)
        self.assertTrue(0 < waits[2] <= 7.1, waits)

    def paused(self, text: str = "") -> tuple[World, Line]:
        """An exchange that waits before its third attempt."""
        retry = '[pool.app.retry]\ntries = 4\nbackoff = "30s"\n'
        world = configured(self, retry + text)
        client = world.client()
        client.send(GET)
        for _ in range(2):
            world.refuse(client.protocol.exchange.node.id)
        self.assertEqual(sum(world.in_flight.values()), 1)
        return world, client

    def test_client_leaves(self) -> None:
        """A client that hangs up during the wait ends it."""
        world, client = self.paused()
        client.reset()
        self.assertEqual(world.in_flight, {})
        self.assertEqual(world.ended[0].status, 499)

    def test_time_is_over(self) -> None:
        """The whole time may end during the wait; the node that was next is not blamed."""
        world, client = self.paused('[pool.app.timeout]\ntotal = "1s"\n')
        world.pass_time(1.2)
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assertEqual(sum(n.stats.failures for n in world.pool.nodes.values()), 2)

    def test_time_of_a_try(self) -> None:
        """The time of a try does not run during the wait before it."""
        world, client = self.paused('[pool.app.timeout]\ntry = "100ms"\n')
        world.pass_time(0.5)
        self.assertEqual(client.take(), b"")
        self.assertEqual(sum(world.in_flight.values()), 1)
        wait_for_attempt(world, client)
        backend_of(world, client).send(OK)
        self.assertEqual(client.take(), OK)

    def test_held_answer(self) -> None:
        """A refusal by status is kept during the wait, and passed on when nobody is better."""
        text = '[pool.app.retry]\ntries = 3\non = ["503"]\nbackoff = "1s"\n'
        world = configured(self, text)
        client = world.client()
        client.send(GET)
        for number in range(3):
            wait_for_attempt(world, client)
            backend_of(world, client).send(answer(b"busy %d" % number, 503))
        self.assertTrue(client.take().endswith(b"busy 2"))


class DeadlineTests(WorldTestCase):
    TRY = '[pool.app.timeout]\ntry = "500ms"\n'

    def test_try_while_connecting(self) -> None:
        """A node that does not accept in the time of a try is given up for another."""
        world = configured(self, self.TRY)
        client = world.client()
        client.send(GET)
        world.pass_time(0.7)
        self.assertTrue(world.endpoints["a"].last.cancelled)
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(world.pool.nodes["a"].stats.timeouts, 1)
        self.assertEqual(world.pool.nodes["b"].stats.failures, 0)

    def test_try_while_waiting(self) -> None:
        """So is one that does not answer; each try has its own time."""
        world = configured(
            self, self.TRY + "[pool.app.retry]\ntries = 3\nbackoff = 0\n"
        )
        client = world.client()
        client.send(GET)
        first = world.accept("a")
        world.pass_time(0.65)
        self.assertTrue(first.lost)
        second = world.accept("b")
        world.pass_time(0.65)
        self.assertTrue(second.lost)
        third = world.accept("c")
        world.pass_time(0.2)
        third.send(OK)
        self.assertEqual(client.take(), OK)

    def test_last_try(self) -> None:
        """When no other is left the client gets 504."""
        world = configured(self, self.TRY, "a")
        client = world.client()
        client.send(GET)
        world.accept("a")
        world.pass_time(0.7)
        got = client.take()
        self.assertIn(b"HTTP/1.1 504 ", got)
        self.assertIn(b"connection_read_timeout", got)

    def test_not_retried(self) -> None:
        """A request that changes something is not sent again after its time."""
        world = configured(self, self.TRY)
        client = world.client()
        client.send(post(3, b"abc"))
        world.accept("a")
        world.pass_time(0.7)
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assertNotIn("b", world.endpoints)

    def test_slow_upload(self) -> None:
        """While the client still sends, the time of a try does not run."""
        world = configured(self, self.TRY)
        client = world.client()
        client.send(post(6, b"abc", method="PUT"))
        first = world.accept("a")
        world.pass_time(2.0)
        self.assertFalse(first.lost)
        client.send(b"def")
        world.pass_time(0.4)
        self.assertFalse(first.lost)
        world.pass_time(0.3)
        self.assertTrue(first.lost)
        second = world.accept("b")
        self.assertTrue(second.take().endswith(b"\r\n\r\nabcdef"))
        second.send(OK)
        self.assertEqual(client.take(), OK)

    def test_begun_answers(self) -> None:
        """An answer that has begun may take as long as it likes."""
        text = '[pool.app.timeout]\ntry = "500ms"\ntotal = "1s"\n'
        world = configured(self, text)
        client = world.client()
        client.send(GET)
        backend = world.accept("a")
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 4\r\n\r\nab")
        world.pass_time(3.0)
        backend.send(b"cd")
        self.assertTrue(client.take().endswith(b"abcd"))

    def test_total(self) -> None:
        """The whole time is over: 504, and the node that did not answer is blamed."""
        world = configured(self, '[pool.app.timeout]\ntotal = "1s"\n')
        client = world.client()
        client.send(GET)
        first = world.accept("a")
        world.pass_time(1.2)
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assertTrue(first.lost)
        self.assertEqual(world.pool.nodes["a"].stats.timeouts, 1)
        self.assertNotIn("b", world.endpoints)

    def test_total_while_connecting(self) -> None:
        """The same while it still connects."""
        world = configured(self, '[pool.app.timeout]\ntotal = "1s"\n')
        client = world.client()
        client.send(GET)
        world.pass_time(1.2)
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assertTrue(world.endpoints["a"].last.cancelled)

    def test_total_of_an_upload(self) -> None:
        """A client that is too slow itself gets 504 too, and nobody is blamed."""
        world = configured(self, '[pool.app.timeout]\ntotal = "1s"\n')
        client = world.client()
        client.send(post(6, b"abc", method="PUT"))
        world.accept("a")
        world.pass_time(1.2)
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assert_nobody_blamed(world)

    def test_total_with_an_answer_in_hand(self) -> None:
        """An answer that was only held back for a better one is better than 504."""
        text = '[pool.app.retry]\non = ["503"]\n[pool.app.timeout]\ntotal = "1s"\n'
        world = configured(self, text)
        client = world.client()
        client.send(GET)
        world.accept("a").send(BUSY)
        world.accept("b")
        world.pass_time(1.2)
        self.assertTrue(client.take().endswith(b"busy"))


class StatusTests(WorldTestCase):
    def test_retried_statuses_count(self) -> None:
        """A 503 in `retry.on` is a failure of its node, though the client never sees it."""
        text = '[pool.app.retry]\non = ["connect", "503"]\n'
        world = configured(self, text, "ab")
        for _ in range(3):
            client = world.client()
            client.send(GET)
            while client.protocol.exchange is not None:
                exchange = client.protocol.exchange
                reply = BUSY if exchange.node.id == "a" else OK
                backend_of(world, client).send(reply)
            self.assertEqual(client.take(), OK)
            client = world.client()
            client.send(GET)
            if client.protocol.exchange.node.id == "a":
                backend_of(world, client).send(BUSY)
            backend_of(world, client).send(OK)
            self.assertEqual(client.take(), OK)
        node = world.pool.nodes["a"]
        self.assertEqual(node.ejection, "ejected")
        self.assertIn("status 503", node.last_change.cause)  # type: ignore[union-attr]  # it has one

    def test_others_do_not(self) -> None:
        """A 500 that is neither listed nor retried is an answer like any other."""
        world = configured(self, targets="ab")
        for _ in range(12):
            ask(world, reply=answer(b"oops", 500))
        self.assertEqual({n.ejection for n in world.pool.nodes.values()}, {"up"})

    def test_client_errors_do_not(self) -> None:
        """A 404 or 429 in `retry.on` says nothing about its node."""
        world = configured(self, '[pool.app.retry]\non = ["404", "429"]\n', "ab")
        for status in (404, 429) * 4:
            client = world.client()
            client.send(GET)
            while client.protocol.exchange is not None:
                backend_of(world, client).send(answer(b"no", status))
        self.assertEqual({n.ejection for n in world.pool.nodes.values()}, {"up"})

    def test_listed_statuses(self) -> None:
        """`passive.statuses` makes any answer a failure, without a retry."""
        text = '[pool.app.passive]\nstatuses = ["500-599", "!501"]\n'
        world = configured(self, text, "ab")
        for _ in range(6):
            ask(world, reply=answer(b"oops", 501))
        self.assertEqual({n.ejection for n in world.pool.nodes.values()}, {"up"})
        for _ in range(6):
            _, got = ask(world, reply=answer(b"oops", 500))
            self.assertTrue(got.endswith(b"oops"))
        words = sorted(n.ejection for n in world.pool.nodes.values())
        # The last one is kept.
        self.assertEqual(words, ["ejected", "up"])

    def test_gateway_errors(self) -> None:
        """So many 502, 503, 504 in a row eject, good ones in between do not."""
        text = "[pool.app.passive]\nmax_fails = 0\ngateway_errors = 2\n"
        world = configured(self, text, "ab")
        replies = {"a": [BUSY, OK, BUSY, BUSY], "b": [OK] * 9}
        for _ in range(7):
            client = world.client()
            client.send(GET)
            node = client.protocol.exchange.node.id
            backend_of(world, client).send(replies[node].pop(0))
        self.assertEqual(world.pool.nodes["a"].ejection, "ejected")


class EjectionTests(WorldTestCase):
    def test_single_target(self) -> None:
        """A pool of one: three refused connects, and the fourth client is refused without one."""
        world = configured(self, targets="a")
        self.assertIn(b"HTTP/1.1 502 ", fails(world, 3))
        client = world.client()
        client.send(GET)
        self.assertIn(b"HTTP/1.1 503 ", client.take())
        self.assertEqual(len(world.endpoints["a"].attempts), 3)
        world.pass_time(60.1)
        _, got = ask(world)
        self.assertEqual(got, OK)

    def test_last_of_several(self) -> None:
        """When none of several can be connected to, clients are refused at once, the last one's too."""
        world = configured(self, targets="abc")
        self.assertIn(b"HTTP/1.1 503 ", fails(world, 20))
        self.assertEqual(world.pool.available(world.clock.seconds()), ())

    def test_slow_pages_keep_the_last(self) -> None:
        """Pages that take longer than timeout.read are a 504 each, and the others of an only target go on."""
        for targets in ("a", "ab"):
            world = configured(self, targets=targets)
            if targets == "ab":
                world.pool.set_enabled("b", "drain", "for the test", 0.0)
            for _ in range(9):
                client = world.client()
                client.send(GET)
                backend_of(world, client)
                world.pass_time(30.6)
                self.assertIn(b"HTTP/1.1 504 ", client.take())
            self.assertEqual(ask(world), ("a", OK))

    def test_junk_keeps_the_last(self) -> None:
        """Answers that are no HTTP are a 502 each, and what the only target says next is passed on."""
        world = configured(self, targets="a")
        for _ in range(9):
            self.assertIn(b"HTTP/1.1 502 ", ask(world, reply=b"220 mail\r\n")[1])
        self.assertEqual(ask(world), ("a", OK))

    def test_keep_last_off(self) -> None:
        """With keep_last = false all may be out, and clients are refused at once."""
        world = configured(self, "[pool.app.passive]\nkeep_last = false\n", "ab")
        self.assertIn(b"HTTP/1.1 503 ", fails(world, 20))

    def test_retry_after(self) -> None:
        """With retry_after a 503 with Retry-After keeps requests for its path away for that time, no others."""
        for value, seconds in (
            ("3", 3.0),
            (formatdate(5.0, usegmt=True), 5.0),
            ("soon", 0.0),
            ("0", 0.0),
            ("-5", 0.0),
            ("99999999999999", 300.0),
        ):
            world = configured(self, '[pool.app.passive]\nretry_after = ["503"]\n')
            reply = answer(b"busy", 503, f"Retry-After: {value}\r\n")
            node, got = ask(world, get("/busy?x=1"), reply)
            self.assertTrue(got.endswith(b"busy"))
            self.assertEqual(world.pool.nodes[node].ejection, "up")
            self.assertIn(node, {ask(world, get("/busy/x"))[0] for _ in range(3)})
            for left in (seconds, seconds and 0.2):
                world.clock.advance(max(0.0, seconds - left - 0.1))
                seen = {ask(world, get("/busy?x=2"))[0] for _ in range(4)}
                self.assertEqual((value, node in seen), (value, not seconds))
                seconds = left
            world.clock.advance(0.5)
            self.assertIn(node, {ask(world, get("/busy"))[0] for _ in range(3)})

    def test_retry_after_of_others(self) -> None:
        """Without the setting, for other statuses and without the field, nobody is kept away."""
        off = configured(self)
        only = configured(self, '[pool.app.passive]\nretry_after = ["429"]\n')
        for world, status, extra in (
            (off, 503, "Retry-After: 9\r\n"),
            (only, 503, "Retry-After: 9\r\n"),
            (only, 429, ""),
        ):
            node, _ = ask(world, reply=answer(b"busy", status, extra))
            self.assertIn(node, {ask(world)[0] for _ in range(3)})
        node, _ = ask(only, reply=answer(b"slow", 429, "Retry-After: 9\r\n"))
        self.assertNotIn(node, {ask(only)[0] for _ in range(3)})

    def test_one_bad_page(self) -> None:
        """A page that answers so on every target is asked for all the same, in turn."""
        world = configured(self, '[pool.app.passive]\nretry_after = ["503"]\n')
        busy = answer(b"busy", 503, "Retry-After: 60\r\n")
        first = [ask(world, reply=busy)[0] for _ in range(3)]
        self.assertEqual(set(first), set("abc"))
        self.assertEqual({ask(world)[0] for _ in range(3)}, set("abc"))

    def outlier(self, text: str) -> World:
        """Node a answers 500 to every second request, the others are well."""
        world = configured(self, f"[pool.app.outlier]\n{text}")
        turn = 0
        for _ in range(150):
            client = world.client()
            client.send(GET)
            reply = OK
            if client.protocol.exchange.node.id == "a":
                turn += 1
                reply = answer(b"oops", 500) if turn % 2 else OK
            backend_of(world, client).send(reply)
            client.lose()
            world.pass_time(0.05)
        return world

    def test_outlier(self) -> None:
        """The one that does worse than its peers is ejected."""
        world = self.outlier("")
        node = world.pool.nodes["a"]
        self.assertEqual((node.ejection, node.kind), ("ejected", "outlier"))
        self.assertEqual(world.pool.nodes["b"].ejection, "up")

    def test_outlier_in_shadow(self) -> None:
        """In shadow mode it is only reported."""
        world = self.outlier("shadow = true\n")
        self.assertEqual(world.pool.nodes["a"].ejection, "up")
        self.assertGreater(world.pool.ejections.shadowed, 0)

    def test_shadow(self) -> None:
        """In shadow mode of the passive record nobody is ejected either."""
        world = configured(self, "[pool.app.passive]\nshadow = true\n")
        fails(world, 9)
        self.assertEqual({n.ejection for n in world.pool.nodes.values()}, {"up"})
        self.assertGreater(world.pool.ejections.shadowed, 0)

    def test_slow_start(self) -> None:
        """After recovery a target gets its share step by step, checks or not."""
        text = 'slow_start = "20s"\nslow_start_floor = 0.2\n'
        world = configured(self, text, "ab")
        for _ in range(3):
            ask(world)
        world.pool.mark("a", False, "test", world.clock.seconds())
        ask(world)
        world.pool.mark("a", True, "test", world.clock.seconds())
        shares = []
        for _ in range(3):
            nodes = [ask(world)[0] for _ in range(60)]
            shares.append(nodes.count("a") / 60)
            world.pass_time(12.0)
        self.assertTrue(shares[0] < shares[1] < shares[2], shares)
        self.assertAlmostEqual(shares[2], 0.5, delta=0.02)
        self.assertAlmostEqual(shares[0], 0.2 / 1.2, delta=0.04)


class TierTests(WorldTestCase):
    def test_refuse_and_least_bad(self) -> None:
        """With all targets down, `refuse` answers at once, `least_bad` tries one."""
        world = configured(self)
        other = configured(self, 'all_down = "least_bad"\n')
        for each in (world, other):
            for name in ABC:
                each.pool.mark(name, False, "test", 0.0)
        client = world.client()
        client.send(GET)
        self.assertIn(b"HTTP/1.1 503 ", client.take())
        self.assertEqual(ask(other)[1], OK)
        self.assertEqual(other.pool.choice.panics, 1)

    def test_refused_by_error(self) -> None:
        """A refused connect is told from an open one by its error."""
        world = configured(self)
        client = world.client()
        client.send(get("/x"))
        world.refuse("a", ConnectionRefusedError())
        backend_of(world, client).send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(world.pool.nodes["a"].stats.connect_failures, 1)


class AdmissionTests(WorldTestCase):
    TEXT = '[pool.app.admission]\nwindow = "12s"\nat_least = 0\nmost = 0.5\n'

    def refused(self, world: World, times: int, reply: bytes) -> int:
        """How many of so many exchanges are refused before any attempt."""
        refused = 0
        for _ in range(times):
            client = world.client()
            client.send(GET)
            if client.protocol.exchange is None:
                self.assertIn(b"HTTP/1.1 503 ", client.take())
                refused += 1
            else:
                backend_of(world, client).send(reply)
        return refused

    def test_too_few_succeed(self) -> None:
        """While most answers are server errors a part of the requests is refused at once."""
        world = configured(self, self.TEXT)
        self.assertEqual(self.refused(world, 40, OK), 0)
        self.refused(world, 200, answer(b"oops", 500))
        refused = self.refused(world, 100, answer(b"oops", 500))
        self.assertTrue(35 <= refused <= 65, refused)
        admission = world.forwarder.policy.admission
        assert admission is not None
        self.assertGreater(admission.refused, refused)
        world.pass_time(13.0)
        self.assertEqual(self.refused(world, 40, OK), 0)

    def test_clients_do_not_count(self) -> None:
        """Clients that hang up, and their own errors, refuse nobody."""
        world = configured(self, self.TEXT)
        for _ in range(40):
            client = world.client()
            client.send(GET)
            client.reset()
        for _ in range(40):
            client = world.client()
            client.send(post(8, b"x"))
            backend = backend_of(world, client)
            world.pass_time(1.1)
            backend.reset()  # it would not wait any longer
        self.assertEqual(self.refused(world, 60, answer(b"no", 404)), 0)


class TrialTests(WorldTestCase):
    def test_costs_nothing(self) -> None:
        """A 500 of a node on trial goes to nobody: another node is asked."""
        world = configured(self, "", "ab")
        a, b = world.pool.nodes.values()
        for _ in range(3):
            lease = world.pool.acquire(0.0, tried=[b])
            lease.failed(0.0, ConnectFailed("connection refused"))
            lease.release(0.0)
        world.pass_time(60.1)
        self.assertEqual(a.ejection, "ejected")
        b.capacity = 0  # the next one is for the trial
        client = world.client()
        client.send(GET)
        backend = world.accept("a")
        self.assertEqual(a.ejection, "trial")
        b.capacity = 10
        backend.send(answer(b"ill", 500))
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)

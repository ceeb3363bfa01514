"""Tests of what lolly_tx.testing gives to those who write plugins."""

import unittest
from random import Random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.net.library.eventlog import EventLog
from lolly_tx.proxy.chains.filters import BodyFilter
from lolly_tx.proxy.chains.link import ASKED, RESPONSE_BODY
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.service.records.journal import EverySink, Journal
from lolly_tx.testing import (
    BAD_CHECK,
    GOOD_CHECK,
    EventSinkContract,
    HealthCheckContract,
    MiddlewareContract,
    Passages,
    RecordedEvents,
    ScriptedCheck,
    ScriptedTraffic,
    fake_pool,
    fake_target,
)


class RecordedEventsContractTests(EventSinkContract, SynchronousTestCase):
    def make_sink(self):
        return RecordedEvents()


class JournalContractTests(EventSinkContract, SynchronousTestCase):
    def make_sink(self):
        return Journal()


class EverySinkContractTests(EventSinkContract, SynchronousTestCase):
    def make_sink(self):
        return EverySink([Journal(), RecordedEvents()])


class EventLogContractTests(EventSinkContract, SynchronousTestCase):
    def make_sink(self):
        return EventLog()


class ScriptedCheckContractTests(HealthCheckContract, SynchronousTestCase):
    def make_check(self):
        return ScriptedCheck({"t": [GOOD_CHECK, BAD_CHECK, GOOD_CHECK, BAD_CHECK]})

    def good(self, start):
        return start()

    bad = good


class ScriptedCheckTests(SynchronousTestCase):
    def test_answers(self):
        """It says what its script says, in order, and remembers who was asked."""
        check = ScriptedCheck({"a": [BAD_CHECK, GOOD_CHECK]})
        said = [self.successResultOf(check.check(fake_target(name))) for name in "aaab"]
        self.assertEqual([one.ok for one in said], [False, True, True, True])
        self.assertEqual(check.asked, ["a", "a", "a", "b"])


class ScriptedTrafficTests(SynchronousTestCase):
    def test_script(self):
        """Exchanges go where the pool sends them, fail as the script says, and move the clock."""
        pool = fake_pool("ab", RoundRobin(random=Random(1)), ConsecutiveFailures)
        traffic = ScriptedTraffic(
            pool, {"a": ConnectFailed("connection refused"), "b": 0.5}
        )
        self.assertEqual(traffic.send(6), ["a", "b"] * 3)
        self.assertEqual(traffic.now, 1.5)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")
        self.assertEqual(traffic.send(2), ["b", "b"])


class Hanging(Middleware):
    """Thinks for ever."""

    touches = frozenset((ASKED,))

    def request(self, passage):
        return Deferred()


class Cutting(BodyFilter):
    """Loses the last piece of a body."""

    def __init__(self):
        self.kept = b""

    def data(self, data):
        kept, self.kept = self.kept, data
        return kept


class Losing(Middleware):
    """Has such a filter."""

    touches = frozenset((RESPONSE_BODY,))

    def response_body(self, passage, answer):
        return Cutting()


class Waiting(Middleware):
    """Leaves a timer behind."""

    touches = frozenset((ASKED,))

    def __init__(self, clock):
        self.clock = clock

    def request(self, passage):
        self.clock.callLater(10, lambda: None)


class MiddlewareContractTests(SynchronousTestCase):
    """The contract finds what is wrong with a middleware."""

    def failures(self, make):
        """The tests of the contract that a middleware fails."""

        class Tests(MiddlewareContract, SynchronousTestCase):
            def make_middleware(self):
                return make(self.clock)

        names = [name for name in dir(Tests) if name.startswith("test_")]
        failed = []
        for name in names:
            result = unittest.TestResult()
            Tests(name).run(result)
            if not result.wasSuccessful():
                failed.append(name.removeprefix("test_contract_"))
        return failed

    def test_good(self):
        """One that lets everything pass keeps it."""
        self.assertEqual(self.failures(lambda clock: Middleware()), [])

    def test_hanging(self):
        """One that never says anything does not."""
        found = self.failures(lambda clock: Hanging())
        self.assertIn("whole_and_in_pieces", found)

    def test_losing(self):
        """One that makes something else of a body in pieces does not."""
        found = self.failures(lambda clock: Losing())
        self.assertEqual(found, ["whole_and_in_pieces"])

    def test_waiting(self):
        """One that leaves a timer behind does not."""
        self.assertIn("client_goes", self.failures(Waiting))

    def test_doors(self):
        """The door in memory has what a client would get, and the end what a target would."""
        passages = Passages()
        served = passages.ask(
            b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab", complete=False
        )
        served.send(b"cd", last=True)
        self.assertEqual((served.end.body, served.end.complete), (b"abcd", True))
        served.end.answer(201, b"hello")
        door = served.door
        self.assertEqual((door.status, door.body, door.over), (201, b"hello", True))
        self.assertEqual(door.field(b"content-length"), [b"5"])
        self.assertEqual(passages.told, [])

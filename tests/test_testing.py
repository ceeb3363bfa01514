"""Tests of what lolly_tx.testing gives to those who write plugins."""

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.net.library.eventlog import EventLog
from lolly_tx.service.journal import EverySink, Journal
from lolly_tx.testing import (
    BAD_CHECK,
    GOOD_CHECK,
    EventSinkContract,
    HealthCheckContract,
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

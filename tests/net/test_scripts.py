"""Tests of lolly_tx.net.checks.scripts: send and expect, step by step."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.config.checks import Health, Step
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.expectation import BODY_BYTES
from lolly_tx.net.checks.scripts import ScriptCheck, compile_steps, steps_of
from tests.net.connects import Attempt, FakeEndpoint

TARGET = Target("t", "http://10.0.0.1:6379", "http", "10.0.0.1", 6379)
PING = Step(send="PING\r\n", expect="+PONG")


class ScriptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[int] = []
        self.endpoint = FakeEndpoint()

    def connect_to(self, target: Target) -> FakeEndpoint:
        self.asked.append(target.port)
        return self.endpoint

    def made(self, *steps: Step, **settings: Any) -> ScriptCheck:
        return ScriptCheck(
            Health(type="script", steps=steps, **settings),
            self.connect_to,
            clock=self.clock,
            now=self.clock.seconds,
        )

    def check(
        self, *steps: Step, target: Target = TARGET, **settings: Any
    ) -> Deferred[Observation]:
        return self.made(*steps, **settings).check(target)

    @property
    def attempt(self) -> Attempt:
        return self.endpoint.last

    def say(self, data: bytes) -> None:
        self.attempt.protocol.dataReceived(data)

    def sent(self) -> bytes:
        return bytes(self.attempt.transport.value())

    def assertVerdict(
        self, checking: Deferred[Observation], ok: bool, cause: str
    ) -> Observation:
        observation = self.successResultOf(checking)
        self.assertEqual((observation.ok, observation.cause), (ok, cause))
        self.assertTrue(
            self.attempt.transport is None
            or self.attempt.transport.disconnecting
            or self.attempt.transport.disconnected
            or self.attempt.protocol.transport is None
        )
        for attempt in self.endpoint.attempts:
            attempt.part()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return observation

    def test_ask_and_answer(self) -> None:
        """A target that answers a question as expected is up."""
        made = self.made(PING)
        verifyObject(IHealthCheck, made)
        checking = made.check(TARGET)
        self.attempt.accept()
        self.assertEqual(self.sent(), b"PING\r\n")
        self.clock.advance(0.25)
        self.say(b"+PONG\r\n")
        observation = self.assertVerdict(checking, True, "every step went well")
        self.assertEqual(observation.latency, 0.25)
        self.assertTrue(self.attempt.transport.disconnecting)
        self.assertFalse(self.attempt.transport.disconnected)
        self.say(b"late")

    def test_several_steps(self) -> None:
        """Each step waits for its answer before the next one speaks; bytes can be sent and expected as such."""
        checking = self.check(
            Step(expect="220 "),
            Step(send="EHLO x\r\n", expect_regex="250[ -]"),
            Step(send_hex="00 ff"),
            Step(expect_hex="ff00"),
        )
        self.attempt.accept()
        self.assertEqual(self.sent(), b"")
        self.say(b"22")
        self.say(b"0 hello\r\n")
        self.assertEqual(self.sent(), b"EHLO x\r\n")
        self.say(b"250 fine\r\n")
        self.assertEqual(self.sent(), b"EHLO x\r\n\x00\xff")
        self.assertNoResult(checking)
        self.say(b"\xff\x00")
        self.assertVerdict(checking, True, "every step went well")

    def test_answers_that_come_together(self) -> None:
        """What comes after a match is kept for the next step; what a step took is gone."""
        checking = self.check(PING, PING)
        self.attempt.accept()
        self.say(b"+PONG and +PONG")
        self.assertVerdict(checking, True, "every step went well")
        checking = self.check(PING, PING)
        self.attempt.accept()
        self.say(b"+PONG and PONG")
        self.assertNoResult(checking)
        self.attempt.lose()
        self.assertVerdict(
            checking, False, 'step 2: "+PONG" did not come: connection closed'
        )

    def test_every_split(self) -> None:
        """However an answer arrives, it is found."""
        answer = b"x+PO+PONG\r\n"
        for at in range(1, len(answer)):
            for step in (PING, Step(expect_regex=r"\+PONG")):
                checking = self.check(step)
                self.attempt.accept()
                self.say(answer[:at])
                if not checking.called:
                    self.say(answer[at:])
                self.assertVerdict(checking, True, "every step went well")

    def test_only_said(self) -> None:
        """A script without an expectation is done when everything is said."""
        checking = self.check(Step(send="QUIT\r\n"))
        self.attempt.accept()
        self.assertEqual(self.sent(), b"QUIT\r\n")
        self.assertVerdict(checking, True, "every step went well")

    def test_refused(self) -> None:
        """A target that refuses is down."""
        checking = self.check(PING)
        self.attempt.refuse(ConnectionRefusedError())
        self.assertVerdict(checking, False, "connection refused")

    def test_in_vain(self) -> None:
        """What does not come in time is down, and the step is named."""
        checking = self.check(Step(expect="a"), Step(expect="b"), timeout=2.0)
        self.attempt.accept()
        self.say(b"a")
        self.clock.advance(2)
        self.assertVerdict(checking, False, 'step 2: "b" did not come in 2 s')
        checking = self.check(PING)
        self.clock.advance(5)
        self.assertVerdict(checking, False, "no connection in 5 s")

    def test_too_much(self) -> None:
        """No more than 256 KiB are read."""
        checking = self.check(PING)
        self.attempt.accept()
        for _ in range(4):
            self.say(b"x" * (BODY_BYTES // 4))
        self.assertNoResult(checking)
        self.say(b"x")
        self.assertVerdict(checking, False, 'step 1: "+PONG" not in the first 256 KiB')

    def test_dribble(self) -> None:
        """Every byte is looked at once, however many there are and however they come."""
        checking = self.check(Step(expect_regex="(x+x+)+y.*END$"))
        self.attempt.accept()
        self.say(b"x" * 100_000 + b"y")
        for _ in range(20000):
            self.say(b"x")
        self.say(b"EN")
        self.assertNoResult(checking)
        self.say(b"D")
        self.assertVerdict(checking, True, "every step went well")

    def test_shortest_match(self) -> None:
        """What is left after the shortest match is there for the next step."""
        checking = self.check(
            Step(expect_regex="220.*"), Step(expect_regex=r"mail\b"), Step(expect=" x")
        )
        self.attempt.accept()
        self.say(b"220 mail x")
        self.assertVerdict(checking, True, "every step went well")

    def test_several_connections(self) -> None:
        """A step may ask for a new connection, to another port or the same; one limit covers all."""
        checking = self.check(
            PING,
            Step(port=7000, send="A", expect="a"),
            Step(connect=True, expect="b"),
            timeout=3.0,
        )
        self.attempt.accept()
        self.say(b"+PONG")
        self.clock.advance(1)
        self.attempt.accept()
        self.assertEqual(self.sent(), b"A")
        self.say(b"a")
        self.clock.advance(1)
        self.attempt.accept()
        self.assertNoResult(checking)
        self.clock.advance(1)
        self.assertVerdict(checking, False, 'step 3: "b" did not come in 2 s')
        self.assertEqual(self.asked, [6379, 7000])

    def test_standstill(self) -> None:
        """A standstill of the process in one step does not eat up the time of the next."""
        checking = self.check(PING, Step(send="x", expect="y", port=7), timeout=2.0)
        self.attempt.accept()
        self.clock.advance(3.5)
        self.say(b"+PONG\r\n")
        self.clock.advance(1.9)
        self.attempt.accept()
        self.say(b"y")
        self.assertVerdict(checking, True, "every step went well")

    def test_connections_are_closed_in_turn(self) -> None:
        """Each connection is closed before the next one, and after a cancel none is left."""
        checking = self.check(Step(send="A"), Step(connect=True, expect="b"))
        first = self.attempt
        first.accept()
        self.assertTrue(first.transport.disconnecting)
        first.part()
        self.assertIsNot(self.attempt, first)
        self.attempt.accept()
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertTrue(self.attempt.transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_port_of_an_endpoint_string(self) -> None:
        """An endpoint string has no other port."""
        target = Target("t", "unix:/x", endpoint="unix:/x")
        checking = self.check(Step(port=1, expect="x"), target=target)
        self.assertIn("health.port", self.successResultOf(checking).cause)

    def test_port_of_the_whole(self) -> None:
        """The port of the check is where a script begins."""
        self.check(PING, port=7001)
        self.assertEqual(self.asked, [7001])

    def test_nonsense_is_refused(self) -> None:
        """Steps that cannot be meant are refused when the check is made."""
        self.assertRaises(ValueError, self.made)
        self.assertRaises(ValueError, self.made, Step(expect_regex="("))
        self.assertRaises(ValueError, self.made, Step(send_hex="zz"))

    def test_segments(self) -> None:
        """Steps are grouped by connection and keep their numbers."""
        segments = compile_steps((PING, PING, Step(port=9, expect="x" * 99)), 5)
        self.assertEqual([(s.port, len(s.lines)) for s in segments], [(5, 2), (9, 1)])
        self.assertEqual(segments[1].lines[0].number, 3)
        assert segments[1].lines[0].expected is not None
        self.assertLess(len(segments[1].lines[0].expected.shown), 45)
        self.assertEqual(len(steps_of(Health(steps=(PING, PING)))), 2)

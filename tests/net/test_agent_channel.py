"""Tests of lolly_tx.net.checks.agent_channel: one line of one agent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectBindError, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.checks import TargetAgent
from lolly_tx.domain.checks.target_agent import AgentReport
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.agent_channel import LONGEST_LINE, AgentChannel
from lolly_tx.net.sockets.endpoints import BadEndpoint
from tests.net.connects import FakeEndpoint

TARGET = Target("t", "https://10.0.0.1:443", "https", "10.0.0.1", 443)


class AgentChannelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = FakeEndpoint()
        self.asked: list[tuple[str, str, int]] = []

    def connect_to(self, target: Target) -> FakeEndpoint:
        self.asked.append((target.scheme, target.host, target.port))
        return self.endpoint

    def ask(self, target: Target = TARGET, **settings: Any) -> Deferred[AgentReport]:
        self.channel = AgentChannel(
            TargetAgent(8099, **settings),
            self.connect_to,
            clock=self.clock,
            now=self.clock.seconds,
        )
        return self.channel.ask(target)

    def say(self, *parts: bytes) -> None:
        self.endpoint.last.accept()
        for part in parts:
            self.endpoint.last.protocol.dataReceived(part)

    def refusal(self, asking: Deferred[AgentReport]) -> str:
        if self.endpoint.attempts:
            self.endpoint.last.part()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        detail: str = self.failureResultOf(asking, ProxyError).value.detail
        return detail

    def test_line(self) -> None:
        """The first line is the answer, however it arrives; the agent's port is asked in the clear."""
        asking = self.ask()
        self.say(b"up 7", b"5%\r\nand more")
        report = self.successResultOf(asking)
        self.assertEqual((report.up, report.share), (True, 0.75))
        self.assertEqual(self.asked, [("http", "10.0.0.1", 8099)])
        self.assertTrue(self.endpoint.last.transport.disconnecting)
        self.endpoint.last.protocol.dataReceived(b"late")
        self.endpoint.last.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_line_without_an_end(self) -> None:
        """The end of the connection ends the line too."""
        asking = self.ask()
        self.say(b"drain")
        self.assertNoResult(asking)
        self.endpoint.last.lose()
        self.assertEqual(self.successResultOf(asking).admin, "drain")

    def test_asked_first(self) -> None:
        """What the settings say is sent first; endpoints are kept."""
        self.ask(send="state?\n")
        self.endpoint.last.accept()
        self.assertEqual(self.endpoint.last.transport.value(), b"state?\n")
        self.channel.ask(TARGET)
        self.assertEqual(len(self.asked), 1)

    def test_one_agent_for_all(self) -> None:
        """The agent may be on another host, also for targets that are endpoint strings."""
        asking = self.ask(Target("t", "unix:/x", endpoint="unix:/x"), host="boss")
        self.assertEqual(self.asked, [("http", "boss", 8099)])
        self.say(b"up\n")
        self.successResultOf(asking)
        asking = self.ask(Target("u", "unix:/x", endpoint="unix:/x"))
        self.assertIn("agent.host", self.refusal(asking))

    def test_silence(self) -> None:
        """Whoever cannot be reached, hangs up or says nothing in time has said nothing."""
        asking = self.ask()
        self.endpoint.last.refuse(ConnectionRefusedError())
        self.assertEqual(self.refusal(asking), "connection refused")
        asking = self.ask()
        self.endpoint.last.refuse(ConnectBindError(24))
        self.assertEqual(self.refusal(asking), "no file descriptor left")
        asking = self.ask()
        self.say()
        self.endpoint.last.lose()
        self.assertEqual(self.refusal(asking), "connection closed before an answer")
        asking = self.ask(timeout=2.0)
        self.say(b"up")
        self.clock.advance(2)
        self.assertEqual(self.refusal(asking), "no answer in 2 s")

    def test_nonsense(self) -> None:
        """Words without meaning, and lines without end, say nothing."""
        asking = self.ask()
        self.say(b"HTTP/1.1 400 Bad Request\r\n")
        self.assertIn("means nothing", self.refusal(asking))
        asking = self.ask()
        self.say(b"x" * (LONGEST_LINE + 1))
        self.assertIn("means nothing", self.refusal(asking))

    def test_cancelled(self) -> None:
        """A cancel leaves neither socket nor timer."""
        asking = self.ask()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(self.endpoint.last.cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bad_endpoint(self) -> None:
        """A host no endpoint can be made of says nothing."""

        def connect_to(target: Target) -> Any:
            raise BadEndpoint("no such thing")

        self.connect_to = connect_to  # type: ignore[method-assign]
        self.assertEqual(self.refusal(self.ask()), "no such thing")

"""Tests of `lolly_tx.domain.retries.retry`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.errors import (
    BadResponse,
    ConnectFailed,
    ConnectionReset,
    ConnectTimedOut,
    DownstreamGone,
    ProxyError,
    ResponseTimedOut,
)
from lolly_tx.domain.interfaces import IRetryPolicy
from lolly_tx.domain.retries.retry import RetryPolicy

FAILURES: list[ProxyError | int] = [
    ConnectFailed(),
    ConnectTimedOut(),
    ConnectionReset(),
    ConnectionReset(nothing_sent=True),
    ResponseTimedOut(),
    BadResponse(),
    DownstreamGone(),
    502,
    404,
]


def decide(
    failure: ProxyError | int, policy: RetryPolicy | None = None, **facts: Any
) -> bool:
    usual: dict[str, Any] = {
        "attempts": 1,
        "method": b"GET",
        "replayable": True,
        "response_started": False,
    }
    return (policy or RetryPolicy()).decide(failure, **{**usual, **facts})


class RetryPolicyTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """The policy keeps the contract of retry policies."""
        verifyObject(IRetryPolicy, RetryPolicy())

    def test_idempotent(self) -> None:
        """A GET that was reset is tried again, and so are the other idempotent methods."""
        for method in (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE", "GET"):
            self.assertTrue(decide(ConnectionReset(), method=method))

    def test_post_is_not_repeated(self) -> None:
        """A POST that may have been executed is not sent twice."""
        for failure in (ConnectionReset(), ResponseTimedOut()):
            self.assertFalse(decide(failure, method=b"POST"))

    def test_post_with_key(self) -> None:
        """A POST with an Idempotency-Key may be repeated."""
        self.assertTrue(decide(ConnectionReset(), method=b"POST", idempotency_key=True))

    def test_nothing_sent(self) -> None:
        """When no byte reached the backend, any method is tried elsewhere."""
        for failure in (ConnectFailed(), ConnectTimedOut()):
            self.assertTrue(decide(failure, method=b"POST"))
        self.assertTrue(decide(ConnectionReset(nothing_sent=True), method=b"POST"))

    def test_body_that_is_gone(self) -> None:
        """A request whose body can not be sent again is not repeated."""
        self.assertFalse(decide(ConnectionReset(), method=b"PUT", replayable=False))

    def test_response_started(self) -> None:
        """Once the client has seen a byte of a response nothing is repeated."""
        self.assertFalse(decide(ConnectFailed(), response_started=True))

    def test_tries(self) -> None:
        """Tries counts all attempts."""
        policy = RetryPolicy(tries=3)
        self.assertTrue(decide(ConnectFailed(), policy, attempts=2))
        self.assertFalse(decide(ConnectFailed(), policy, attempts=3))
        self.assertFalse(decide(ConnectFailed(), RetryPolicy(tries=1)))

    def test_only_what_is_named(self) -> None:
        """Failures that `on` does not name are passed on."""
        policy = RetryPolicy(on=("connect",))
        self.assertTrue(decide(ConnectFailed(), policy))
        self.assertFalse(decide(ConnectTimedOut(), policy))
        self.assertFalse(decide(ConnectionReset(), policy))

    def test_bad_response_never(self) -> None:
        """A backend's nonsense is never asked for twice."""
        self.assertFalse(decide(BadResponse()))

    def test_clients_fault_never(self) -> None:
        """A client that went away gets no second attempt."""
        self.assertFalse(decide(DownstreamGone()))

    def test_statuses(self) -> None:
        """Statuses named one by one or by class are tried elsewhere, for idempotent requests only."""
        self.assertFalse(decide(503))
        for on in (("503",), ("5xx",)):
            policy = RetryPolicy(on=on)
            self.assertTrue(decide(503, policy))
            self.assertFalse(decide(503, policy, method=b"POST"))
            self.assertFalse(decide(404, policy))

    def test_wrong_words(self) -> None:
        """A word that names neither an error nor a status is refused and shown."""
        error = self.assertRaises(ValueError, RetryPolicy, on=("conect",))
        self.assertIn("'conect'", str(error))
        self.assertRaises(ValueError, RetryPolicy, on=("600",))
        self.assertRaises(ValueError, RetryPolicy, tries=0)

    @given(
        st.integers(1, 6),
        st.sampled_from(FAILURES),
        st.sampled_from([b"GET", b"POST", b"PATCH"]),
        st.booleans(),
        st.booleans(),
    )
    def test_always_ends(
        self, tries: int, failure: Any, method: bytes, replayable: bool, key: bool
    ) -> None:
        """Whatever fails however often, there are at most `tries` attempts."""
        policy = RetryPolicy(tries=tries, on=("connect", "timeout", "reset", "5xx"))
        attempts = 1
        while decide(
            failure,
            policy,
            attempts=attempts,
            method=method,
            replayable=replayable,
            idempotency_key=key,
        ):
            attempts += 1
            self.assertLessEqual(attempts, tries)

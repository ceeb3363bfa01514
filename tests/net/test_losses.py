"""What the loss of a connection to a target means."""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.error import ConnectionLost as Lost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import (
    CLIENT_SECONDS,
    ConnectionReset,
    HungUpOnClient,
    ResponseTimedOut,
    StaleConnection,
)
from lolly_tx.net.http1.losses import cut_short, excused, lost


class LossTests(SynchronousTestCase):
    def test_stale(self) -> None:
        """A connection that had served before and brought nothing was closed while idle."""
        self.assertIsInstance(cut_short(False, True), StaleConnection)
        for why in (ConnectionDone(), Lost()):
            self.assertIsInstance(lost(Failure(why), False, True), StaleConnection)

    def test_within(self) -> None:
        """Once an answer has begun, its end is a reset, whoever was served before."""
        for reused in (False, True):
            error = cut_short(True, reused)
            self.assertIsInstance(error, ConnectionReset)
            self.assertIn("within", error.detail)

    def test_first(self) -> None:
        """A new connection that brings nothing is blamed."""
        self.assertIn("before", cut_short(False, False).detail)
        self.assertTrue(lost(Failure(Lost()), False, False).blames)

    def test_nobody_cancelled(self) -> None:
        """What reads like a cancel of ours was the peer's doing: ours leaves nobody to tell."""
        error = lost(Failure(ConnectionAborted()), True, False)
        self.assertIsInstance(error, ConnectionReset)
        self.assertTrue(error.blames)

    def test_excused(self) -> None:
        """A backend that had to wait for the client may hang up, and only that."""
        reset = ConnectionReset("closed")
        self.assertIs(excused(reset, CLIENT_SECONDS / 2), reset)
        error = excused(reset, CLIENT_SECONDS)
        self.assertIsInstance(error, HungUpOnClient)
        self.assertEqual(error.detail, "closed")
        late = ResponseTimedOut("no byte")
        self.assertIs(excused(late, CLIENT_SECONDS), late)

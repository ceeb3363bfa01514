"""Tests of our own answers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain import errors
from lolly_tx.proxy.replies import reason_of, reply, status_of


class Door:
    """Keeps what it is told."""

    def __init__(self):
        self.calls = []

    def answer(self, *words):
        self.calls.append(words)


class ReplyTests(SynchronousTestCase):
    def test_statuses(self):
        """502, 503 and 504 are told apart; a client's doing is 4xx, ours 500."""
        for error, status in (
            (errors.ConnectFailed(), 502),
            (errors.ConnectionReset(), 502),
            (errors.BadResponse(), 502),
            (errors.TLSFailed(), 502),
            (errors.ConnectTimedOut(), 504),
            (errors.ResponseTimedOut(), 504),
            (errors.WriteTimedOut(), 504),
            (errors.AllDown(), 503),
            (errors.AllFull(), 503),
            (errors.AllTried(), 503),
            (errors.Shutdown(), 503),
            (errors.OutOfResources(), 503),
            (errors.DownstreamError(), 400),
            (errors.DownstreamError("too large", 413), 413),
            (errors.ProxyError(), 500),
        ):
            self.assertEqual(status_of(error), status, error)

    def test_page(self):
        """A small page with the reason for machines in a field."""
        door = Door()
        size = reply(door, 502, token="connection_refused", extra=b"X: y\r\n")
        [(status, reason, fields, body)] = door.calls
        self.assertEqual((status, reason), (502, b"Bad Gateway"))
        self.assertEqual(size, len(body))
        self.assertTrue(fields.startswith(b"\r\nContent-Type: text/plain"))
        self.assertIn(b"\r\nContent-Length: %d\r\n" % size, fields)
        self.assertIn(
            b"\r\nProxy-Status: lolly_tx; error=connection_refused\r\n", fields
        )
        self.assertTrue(fields.endswith(b"X: y\r\n"))

    def test_head(self):
        """For HEAD the fields alone."""
        door = Door()
        self.assertEqual(reply(door, 404, is_head=True), 0)
        [(_, _, fields, body)] = door.calls
        self.assertEqual(body, b"")
        self.assertNotIn(b"Proxy-Status", fields)
        self.assertIn(b"Content-Length: 14\r\n", fields)

    def test_reasons(self):
        """An unusual status has a reason, too."""
        self.assertEqual(reason_of(404), b"Not Found")
        self.assertEqual(reason_of(599), b"Error")

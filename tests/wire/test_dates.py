"""Tests of `lolly_tx.wire.dates`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.dates import DateLine, retry_after

WALL = 1795293660.25


class DateLineTests(SynchronousTestCase):
    def test_once_a_second(self) -> None:
        """The line is made anew when the second of the wall clock is over, not before."""
        asked: list[float] = []
        wall = WALL

        def clock() -> float:
            asked.append(wall)
            return wall

        date = DateLine(clock)
        first = date.at(10.0)
        self.assertTrue(first.startswith(b"Date: ") and first.endswith(b" GMT\r\n"))
        self.assertEqual(date.at(10.7), first)
        self.assertEqual(len(asked), 1)
        wall += 1.0
        self.assertNotEqual(date.at(10.8), first)
        self.assertEqual(len(asked), 2)


class RetryAfterTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Seconds, a date, or neither (RFC 9110 section 10.2.3)."""
        for value, seconds in (
            (b"120", 120.0),
            (b"0", 0.0),
            (b"9" * 30, 999999999.0),
            (b"Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
            (b"soon", 0.0),
            (b"-5", 0.0),
            (b"\xff", 0.0),
        ):
            self.assertEqual(retry_after(value, 10.0), seconds, value)

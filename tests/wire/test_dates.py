"""Tests of `lolly_tx.wire.dates`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.dates import DateLine, http_date, read_date, retry_after

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


class ReadDateTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """The three forms say the same moment (RFC 9110 section 5.6.7)."""
        for value in (
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
        ):
            self.assertEqual(read_date(value, WALL), 784111777, value)

    def test_round(self) -> None:
        """What is written is read again."""
        self.assertEqual(read_date(http_date(WALL), WALL), int(WALL))

    def test_short_years(self) -> None:
        """A year of two digits is at most 50 years ahead, else it is in the past."""
        for year, wanted in ((b"76", 2076), (b"77", 1977), (b"26", 2026)):
            value = b"Sunday, 06-Nov-%b 08:49:37 GMT" % year
            full = b"Sun, 06 Nov %d 08:49:37 GMT" % wanted
            self.assertEqual(read_date(value, WALL), read_date(full, WALL), year)

    def test_leap_second(self) -> None:
        """Second 60 is the first of the next minute, and there is no 61."""
        leap = read_date(b"Sat, 31 Dec 2016 23:59:60 GMT", WALL)
        self.assertEqual(leap, read_date(b"Sun, 01 Jan 2017 00:00:00 GMT", WALL))
        self.assertIsNone(read_date(b"Sat, 31 Dec 2016 23:59:61 GMT", WALL))

    def test_others(self) -> None:
        """Anything else is no date."""
        for value in (
            b"",
            b"0",
            b"-1",
            b"Sun, 06 Nov 1994 08:49:37",
            b"Sun, 06 Nov 1994 08:49:37 UTC",
            b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            b"sun, 06 nov 1994 08:49:37 gmt",
            b"Sun, 31 Feb 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 24:49:37 GMT",
            b"Sun, 06 Nov 0000 08:49:37 GMT",
            b"Sun,  06 Nov 1994 08:49:37 GMT",
            b"1994-11-06T08:49:37Z",
            b"\xff" * 40,
        ):
            self.assertIsNone(read_date(value, WALL), value)

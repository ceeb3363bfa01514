"""Plain values: durations, sizes, numbers, flags, choices."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.plain import (
    BALANCE,
    FLAG,
    SHARE,
    TEXT,
    Choice,
    Count,
    Duration,
    FromEnvironment,
    Size,
    duration_text,
    nearest,
    quoted,
    size_text,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.texts.reading import Names, Source, SourcePlace

PLACE = SourcePlace(Source("t", "/", Names(), lambda path: "no such file"))


class KindsTests(SynchronousTestCase):
    def refused(self, kind: Any, *values: Any) -> None:
        for value in values:
            with self.assertRaises(Rejected, msg=repr(value)):
                kind.read(value, PLACE)

    def test_durations(self) -> None:
        """A duration is a number of seconds or numbers with units, in any mix."""
        kind = Duration(0.0)
        for raw, seconds in (
            ("10s", 10.0),
            ("1m30s", 90.0),
            ("250ms", 0.25),
            ("1h", 3600.0),
            ("1d", 86400.0),
            ("1.5s", 1.5),
            (3, 3.0),
            (0.5, 0.5),
            (FromEnvironment("7"), 7.0),
            (FromEnvironment("7s"), 7.0),
        ):
            self.assertEqual(kind.read(raw, PLACE), seconds, raw)

    def test_no_durations(self) -> None:
        """Other texts, types, infinities and more than ten years are refused."""
        nan, inf = float("nan"), float("inf")
        self.refused(Duration(0.0), "10", "s", "10 s", "-1s", "", -1, nan, inf, True)
        self.refused(Duration(0.0), [1], "4000d", "１s")
        self.refused(Duration(0.01), 0, "1ms")

    def test_least_duration_is_named(self) -> None:
        """The message for a duration that is too short says what is enough."""
        with self.assertRaises(Rejected) as caught:
            Duration(0.01).read(0, PLACE)
        self.assertEqual(caught.exception.message, "must be 10ms or more")

    @given(st.integers(0, 10**9))
    def test_duration_text_reads_back(self, millis: int) -> None:
        """A duration that is written out means the same when it is read."""
        text = duration_text(millis / 1000)
        if millis <= 3 * 10**8:
            self.assertAlmostEqual(Duration(0.0).read(text, PLACE), millis / 1000, 3)

    def test_duration_text(self) -> None:
        """Durations are written as people do."""
        for seconds, text in (
            (0, "0s"),
            (0.25, "250ms"),
            (10, "10s"),
            (60, "1m"),
            (90.5, "1m30.5s"),
            (3600, "1h"),
        ):
            self.assertEqual(duration_text(seconds), text)

    def test_sizes(self) -> None:
        """A size is a number of bytes or a number with k, M or G."""
        kind = Size(0, 1 << 40)
        for raw, size in (
            ("16k", 16384),
            ("10M", 10 << 20),
            ("2G", 2 << 30),
            ("1kB", 1024),
            ("1KiB", 1024),
            ("100", 100),
            (7, 7),
        ):
            self.assertEqual(kind.read(raw, PLACE), size, raw)
        self.refused(kind, "k", "1.5k", "-1", -1, True, 1.5, "9" * 25, "9999G")

    def test_size_text(self) -> None:
        """Sizes are written in the largest unit that fits without a rest."""
        self.assertEqual([size_text(n) for n in (0, 1000, 1024)], ["0", "1000", "1k"])
        self.assertEqual(size_text(3 << 20), "3M")
        self.assertEqual(Size(0, 1).show(1000), "1000")
        self.assertEqual(Size(0, 1).show(2048), '"2k"')

    def test_counts(self) -> None:
        """A count is a whole number within its bounds, also from the environment."""
        kind = Count(1, 5)
        self.assertEqual(kind.read(5, PLACE), 5)
        self.assertEqual(kind.read(FromEnvironment("3"), PLACE), 3)
        self.refused(kind, 0, 6, True, 1.0, "3", FromEnvironment("x"))
        self.assertEqual(kind.word, "number, 1 to 5")
        self.assertEqual(Count(0, 10**9).word, "number, 0 or more")

    def test_shares(self) -> None:
        """A share is a number within its bounds."""
        self.assertEqual(SHARE.read(0.25, PLACE), 0.25)
        self.assertEqual(SHARE.read(FromEnvironment("0.1"), PLACE), 0.1)
        self.refused(SHARE, 0.6, -0.1, True, "0.1")
        self.assertEqual(SHARE.show(0.1), "0.1")

    def test_flags(self) -> None:
        """A flag is true or false, also from the environment."""
        self.assertIs(FLAG.read(True, PLACE), True)
        self.assertIs(FLAG.read(FromEnvironment("False"), PLACE), False)
        self.refused(FLAG, "true", 1, FromEnvironment("yes"))
        self.assertEqual([FLAG.show(True), FLAG.show(False)], ["true", "false"])

    def test_texts(self) -> None:
        """A text is in quotes and has no control characters."""
        self.assertEqual(TEXT.read("a b", PLACE), "a b")
        self.refused(TEXT, 1, "a\nb", "\x7f")

    def test_choices(self) -> None:
        """A wrong choice is answered with the nearest one, or with all."""
        kind = Choice("combined", "json")
        self.assertEqual(kind.read("json", PLACE), "json")
        for raw, part in (
            ("jsn", 'did you mean "json"?'),
            ("x", "known: combined, json"),
        ):
            with self.assertRaises(Rejected) as caught:
                kind.read(raw, PLACE)
            self.assertIn(part, caught.exception.message)
        with self.assertRaises(Rejected) as caught:
            Choice("refuse").read("any", PLACE)
        self.assertEqual(caught.exception.message, 'must be "refuse"')

    def test_balancers(self) -> None:
        """A balancer must be known, unless what is known is not known itself."""
        self.assertEqual(BALANCE.read("ip_hash", PLACE), "ip_hash")
        self.refused(BALANCE, "best")
        anything = Source("t", "/", Names(balance=None), lambda path: "no such file")
        self.assertEqual(BALANCE.read("best", SourcePlace(anything)), "best")

    def test_nearest_keeps_quiet_about_long_lists(self) -> None:
        """With nothing close and many names, no guess is made."""
        self.assertEqual(nearest("zzz", [f"name{n}" for n in range(20)]), "")

    def test_quoted(self) -> None:
        """Quotes, backslashes and control characters are escaped as TOML wants."""
        self.assertEqual(quoted('a"\\\n'), '"a\\"\\\\\\u000A"')

    def test_type_words(self) -> None:
        """Messages name types as TOML users know them."""
        words = [type_word(v) for v in (True, 1, 1.5, "", [], {}, object())]
        self.assertEqual(
            words,
            ["a boolean", "a number", "a number", "text", "a list", "a table"]
            + ["a date or time"],
        )

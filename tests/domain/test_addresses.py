"""Tests of `lolly_tx.domain.addresses`: which addresses are down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.addresses import (
    DOUBTFUL,
    DOWN,
    FINE,
    RISING,
    AddressHealth,
    AddressRecords,
    ConnectLimits,
)

A, B = ("10.0.0.1", 80), ("10.0.0.2", 80)


def play(health: AddressHealth, word: str, start: float = 0.0) -> str:
    """F a failure, S a success, B beaten, each a second after the last; the ranks that follow."""
    ranks = []
    for now, letter in enumerate(word, round(start)):
        happened = {
            "F": health.failed,
            "S": health.succeeded,
            "B": health.beaten,
        }[letter]
        happened(A, now)
        ranks.append("fdrD"[health.rank(A, now)])
    return "".join(ranks)


class AddressHealthTests(SynchronousTestCase):
    def test_third_failure(self) -> None:
        """Three failures in a row take an address down; another address is another matter."""
        health = AddressHealth()
        self.assertEqual(play(health, "FFF"), "ddD")
        self.assertEqual(
            (health.is_down(A, 2.0), health.is_down(B, 2.0)), (True, False)
        )

    def test_success_zeroes_the_failures(self) -> None:
        """A success in between begins the count anew."""
        self.assertEqual(play(AddressHealth(), "FFSFFF"), "ddfddD")

    def test_two_rises(self) -> None:
        """Two successes in a row bring it back, and a failure in between zeroes them."""
        self.assertEqual(play(AddressHealth(), "FFFSFSS"), "ddDrDrf")

    def test_old_record(self) -> None:
        """A record that is fail_timeout old is forgotten, down or not."""
        health = AddressHealth()
        play(health, "FFF")
        self.assertTrue(health.is_down(A, 61.9))
        self.assertFalse(health.is_down(A, 62.0))
        self.assertEqual(len(health), 0)
        play(health, "FF")
        self.assertEqual(play(health, "F", 61), "d")

    def test_beaten(self) -> None:
        """One that is overtaken is tried later for a while, but never down for it."""
        health = AddressHealth()
        self.assertEqual(play(health, "B" * 9), "d" * 9)
        self.assertEqual(health.rank(A, 99.0), FINE)

    def test_reprieve(self) -> None:
        """With reason to ask again, the next connect decides about an address that is down."""
        for word, ranks in (("S", "f"), ("F", "D")):
            health = AddressHealth()
            play(health, "FFF")
            health.reprieve(A, 3.0)
            health.reprieve(B, 3.0)
            self.assertEqual((health.rank(A, 3.0), health.rank(B, 3.0)), (RISING, FINE))
            self.assertEqual(play(health, word, 4), ranks)

    def test_never(self) -> None:
        """With max_fails 0 no address is ever down."""
        health = AddressHealth(ConnectLimits(max_fails=0))
        self.assertEqual(play(health, "F" * 9), "d" * 9)

    def test_bounded(self) -> None:
        """Of too many addresses in trouble the oldest trouble is forgotten; those in none take no room."""
        health = AddressHealth(ConnectLimits(max_fails=1), most=3)
        for port in range(5):
            health.failed(("10.0.0.1", port), float(port))
        health.succeeded(("10.0.0.9", 1), 5.0)
        self.assertEqual(len(health), 3)
        ranks = [health.rank(("10.0.0.1", port), 5.0) for port in range(5)]
        self.assertEqual(ranks, [FINE, FINE, DOWN, DOWN, DOWN])
        self.assertIn("3 in trouble", repr(health))

    @given(st.text("FSB", max_size=30))
    def test_only_failures_take_down(self, word: str) -> None:
        """Whatever happens, an address is down only after three failures that no success came between."""
        ranks = play(AddressHealth(), word)
        for at, rank in enumerate(ranks):
            if rank == "D" and (at == 0 or ranks[at - 1] not in "rD"):
                run = word[: at + 1].replace("B", "").rpartition("S")[2]
                self.assertGreaterEqual(len(run), 3)

    def test_bad_limits(self) -> None:
        """Limits that mean nothing are refused."""
        for wrong in ({"max_fails": -1}, {"fail_timeout": 0.0}, {"min_rises": 0}):
            self.assertRaises(ValueError, ConnectLimits, **wrong)


class AddressRecordsTests(SynchronousTestCase):
    def test_shared(self) -> None:
        """What one finds out all know, each by its own limits."""
        records = AddressRecords()
        usual = records.under(ConnectLimits())
        strict = records.under(ConnectLimits(max_fails=1, fail_timeout=5.0))
        self.assertIs(records.under(ConnectLimits()), usual)
        records.failed(A, 0.0)
        self.assertEqual((usual.rank(A, 0.0), strict.rank(A, 0.0)), (DOUBTFUL, DOWN))
        records.failed(A, 1.0)
        records.failed(A, 2.0)
        records.succeeded(A, 3.0)
        self.assertEqual((usual.rank(A, 3.0), strict.rank(A, 3.0)), (RISING, RISING))
        self.assertEqual((usual.rank(A, 9.0), strict.rank(A, 9.0)), (RISING, FINE))
        records.beaten(B, 9.0)
        self.assertEqual((usual.rank(B, 9.0), strict.rank(B, 9.0)), (DOUBTFUL,) * 2)

"""Tests of `lolly_tx.domain.checks.quorum`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.health import Health, Observation, Thresholds
from lolly_tx.domain.checks.quorum import Member, Opinion, needed, verdict

GOOD = Observation(True, "fine")
BAD = Observation(False, "refused")
LAME = Observation(False, "404 from /health", status=404, drain=True)


def opinion(up: bool, name: str = "c", advisory: bool = False) -> Opinion:
    return Opinion(Member(name, advisory=advisory), Health(up=up), GOOD if up else BAD)


class VerdictTests(SynchronousTestCase):
    def test_two_of_three(self) -> None:
        """Two of three are enough, one is not."""
        self.assertTrue(verdict([opinion(u) for u in (True, True, False)], 2).ok)
        self.assertFalse(verdict([opinion(u) for u in (True, False, False)], 2).ok)

    def test_all_by_default(self) -> None:
        """Without a quorum every check has to be up."""
        self.assertTrue(verdict([opinion(True)] * 3, 0).ok)
        self.assertFalse(verdict([opinion(True), opinion(False)], 0).ok)

    def test_advisory(self) -> None:
        """An advisory check neither helps nor harms."""
        some = [opinion(True), opinion(False, "a", True), opinion(False, "b", True)]
        self.assertTrue(verdict(some, 1).ok)
        self.assertFalse(verdict([opinion(False), opinion(True, advisory=True)], 1).ok)
        self.assertEqual(needed(3, [one.member for one in some]), 1)

    def test_cause(self) -> None:
        """The cause counts the votes and says who is against, and why."""
        got = verdict([opinion(True, "web"), opinion(False, "db")], 2)
        self.assertEqual(
            got.cause, "1 of 2 checks up, 2 needed; db: down (refused)", got
        )
        first = Opinion.first(Member("new", initial="down"))
        self.assertEqual(first.text, "new: down")

    @given(
        st.lists(st.tuples(st.booleans(), st.booleans()), max_size=7), st.integers(0, 8)
    )
    def test_counts(self, drawn: list[tuple[bool, bool]], quorum: int) -> None:
        """Ok exactly when so many of the voters are up; one more up never harms."""
        opinions = [opinion(up, advisory=advisory) for up, advisory in drawn]
        votes = [up for up, advisory in drawn if not advisory]
        most = min(quorum or len(votes), len(votes))
        self.assertEqual(verdict(opinions, quorum).ok, sum(votes) >= most)
        for index, one in enumerate(opinions):
            better = [*opinions[:index], opinion(True, advisory=one.member.advisory)]
            better += opinions[index + 1 :]
            if verdict(opinions, quorum).ok:
                self.assertTrue(verdict(better, quorum).ok)


class OpinionTests(SynchronousTestCase):
    def test_thresholds_are_each_checks_own(self) -> None:
        """Each check changes its mind after as many results as its own settings say."""
        one = Opinion.first(Member("c", Thresholds(rise=2, fall=3)))
        flips = []
        for result in (BAD, BAD, GOOD, BAD, BAD, BAD, GOOD, GOOD):
            one, flipped = one.after(result, 1.0)
            flips.append(flipped)
        self.assertEqual(flips, [False] * 5 + [True, False, True])

    def test_initial(self) -> None:
        """Before its first result a check thinks what its settings say."""
        for word, up in (("up", True), ("down", False), ("probation", False)):
            member = Member("c", Thresholds(rise=3), word)  # type: ignore[arg-type]
            self.assertIs(Opinion.first(member).health.up, up)
        probation, _ = Opinion.first(Member("c", Thresholds(3), "probation")).after(
            GOOD, 1.0
        )
        self.assertTrue(probation.health.up)

    def test_drain(self) -> None:
        """A check that asks for no new clients keeps an up target up, and a down one down."""
        up, flipped = Opinion.first(Member("c")).after(LAME, 1.0)
        self.assertFalse(flipped)
        self.assertTrue(verdict([up, opinion(True)], 0).drain)
        down, flipped = Opinion.first(Member("c", initial="down")).after(LAME, 1.0)
        self.assertFalse(flipped or down.health.up)
        self.assertFalse(verdict([down, opinion(True)], 0).drain)

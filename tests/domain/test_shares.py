"""Tests of numbers that several processes hold together."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.shares import Share, Shares


def columns(count: int, rows: int = 4) -> list[Shares]:
    """The views of `count` processes of the same memory."""
    cells = [0] * (rows * count)
    views = [Shares(cells, count, column) for column in range(count)]
    for view in views:
        assert view.claim("a") and view.claim("b")
    return views


def share(view: Shares, name: str = "a") -> Share:
    """A row that is there."""
    found = view.share(name)
    assert found is not None
    return found


class ShareTests(SynchronousTestCase):
    """One row."""

    def test_what_counts_is_the_sum(self) -> None:
        """Each process sees its own part and that of all."""
        one, two = map(share, columns(2))
        one.take()
        two.take()
        two.take()
        self.assertEqual((one.held, one.total, two.held, two.total), (1, 3, 2, 3))
        two.give()
        self.assertEqual((one.total, two.held), (2, 1))
        self.assertEqual(repr(one), "<Share 1 of 2>")

    def test_limit_holds_for_all_together(self) -> None:
        """What one process holds is not to be had by another."""
        one, two = map(share, columns(2))
        self.assertTrue(one.reserve(2))
        self.assertTrue(two.reserve(2))
        self.assertFalse(one.reserve(2))
        self.assertFalse(two.reserve(2))
        self.assertEqual(one.total, 2)
        two.give()
        self.assertTrue(one.reserve(2))

    def test_rows_are_apart(self) -> None:
        """One name's number is none of another's."""
        view = columns(2)[0]
        share(view, "a").take()
        self.assertEqual(share(view, "b").total, 0)

    @given(
        st.integers(1, 4),
        st.integers(0, 6),
        st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60),
    )
    def test_limit_is_never_exceeded(
        self, count: int, limit: int, steps: list[tuple[int, bool]]
    ) -> None:
        """Whoever takes and gives back in whichever order: the sum stays within the limit."""
        shares = [share(view) for view in columns(count)]
        for who, take in steps:
            one = shares[who % count]
            if take:
                one.reserve(limit)
            elif one.held:
                one.give()
            self.assertLessEqual(one.total, limit)

    def test_two_at_once_never_both_get_the_last_place(self) -> None:
        """Another process that reserves between the two steps of the first sees it, and is refused."""
        got: list[bool] = []

        class Racing(list[int]):
            """Memory in which the other process acts before the first one looks."""

            def __getitem__(self, at: Any) -> Any:
                if isinstance(at, slice) and not got:
                    got.append(False)
                    got[0] = other.reserve(1)
                return super().__getitem__(at)

        cells = Racing([0, 0])
        other = Share(cells, 0, 2, 1)
        self.assertFalse(Share(cells, 0, 2, 0).reserve(1) and got[0])
        self.assertEqual(got, [False])
        self.assertLessEqual(other.total, 1)


class SharesTests(SynchronousTestCase):
    """The rows by name."""

    def test_name_keeps_its_row(self) -> None:
        """Asked for twice it is the same row."""
        view = columns(2)[0]
        share(view).take()
        self.assertTrue(view.claim("a"))
        self.assertEqual(share(view).total, 1)

    def test_unknown_name_has_no_row(self) -> None:
        """Nobody shares what nobody asked for."""
        self.assertIsNone(columns(2)[0].share("c"))

    def test_memory_has_an_end(self) -> None:
        """When all rows are given out there is no more, until one is taken back."""
        view = Shares([0] * 4, 2)
        self.assertTrue(view.claim("a") and view.claim("b"))
        self.assertFalse(view.claim("c"))
        view.keep({"b"})
        self.assertTrue(view.claim("c"))
        self.assertEqual(view.rows, {"b": 1, "c": 0})

    def test_row_in_use_is_not_taken_back(self) -> None:
        """A target that left keeps its row while a process holds something there."""
        one, two = columns(2)
        share(two).take()
        one.keep(())
        self.assertEqual(one.rows, {"a": 0})
        share(two).give()
        one.keep(())
        self.assertEqual(one.rows, {})

    def test_rows_learned_are_not_given_out_again(self) -> None:
        """Whoever goes by the rows of another gives out those between and after them."""
        view = Shares([0] * 8, 2)
        view.learn({"b": 2, "a": 0})
        self.assertTrue(view.claim("c") and view.claim("d"))
        self.assertEqual(view.rows, {"b": 2, "a": 0, "c": 1, "d": 3})

    def test_another_process_learns_the_rows(self) -> None:
        """The same name is the same row in every process."""
        cells = [0] * 8
        one, two = Shares(cells, 2, 0), Shares(cells, 2, 1)
        one.claim("x")
        one.claim("y")
        two.learn(one.rows)
        share(one, "y").take()
        self.assertEqual(share(two, "y").total, 1)

    def test_column_of_a_dead_process_is_cleared(self) -> None:
        """What it held is free again; what others hold stays."""
        one, two = columns(2)
        share(one).take()
        share(two).take()
        share(two, "b").take()
        one.clear(1)
        self.assertEqual(share(one).total, 1)
        self.assertEqual(share(one, "b").total, 0)

    def test_column_has_to_exist(self) -> None:
        """A process without a column would write into another's."""
        with self.assertRaises(ValueError):
            Shares([0] * 4, 2, 2)

    def test_repr_says_whose_it_is(self) -> None:
        """For a person who debugs."""
        self.assertEqual(repr(columns(2)[1]), "<Shares 2 rows, column 1 of 2>")

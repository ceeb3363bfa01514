"""Numbers that several processes hold together: each has a column of its own, and what counts is the sum.

Imports: nothing of ours. Used by: domain.caps, domain.holding, domain.shared,
service.workers.

    row 0    [ worker 0 | worker 1 | worker 2 ]   leases of target a
    row 1    [ worker 0 | worker 1 | worker 2 ]   leases of target b

Nobody writes into another's column, so no lock is needed. A limit holds by the order of two steps: "reserve, then
look" (raise one's own number, sum up, take it back when that is too much). Of two that do so at once at least one sees
the other; so the limit is never exceeded, and for the last place both may be refused. The other order, "look, then
take", lets both in.

When a process dies its column is cleared by who started it: what it held is free again.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Protocol

CELL_BYTES = 8
"""Of memory for one number; whole and aligned, so that nobody reads half of one."""


class Cells(Protocol):
    """The memory: a view of it, or a list where there is one process."""

    def __len__(self) -> int:
        """How many numbers there are."""

    def __getitem__(self, at: Any, /) -> Any:
        """One of them, or a stretch."""

    def __setitem__(self, at: int, value: int, /) -> None:
        """Write one."""


class Share:
    """One row, as the process of one column sees it. `held`: what this process holds of it."""

    __slots__ = ("_at", "_cells", "_end", "_start")

    def __init__(self, cells: Cells, row: int, columns: int, column: int) -> None:
        self._cells = cells
        self._start = row * columns
        self._end = self._start + columns
        self._at = self._start + column

    def __repr__(self) -> str:
        return f"<Share {self.held} of {self.total}>"

    @property
    def held(self) -> int:
        """Of this process."""
        return int(self._cells[self._at])

    @property
    def total(self) -> int:
        """Of all of them, now."""
        return sum(self._cells[self._start : self._end])

    def take(self) -> None:
        """One more, without a limit."""
        self._cells[self._at] += 1

    def reserve(self, limit: int) -> bool:
        """One more, unless all of them would hold more than `limit`; whether it was had."""
        cells, at = self._cells, self._at
        cells[at] += 1
        if sum(cells[self._start : self._end]) <= limit:
            return True
        cells[at] -= 1
        return False

    def hold(self, number: int) -> None:
        """So many, from now on."""
        self._cells[self._at] = number

    def give(self) -> None:
        """One less of this process's."""
        self._cells[self._at] -= 1


class Shares:
    """The rows by name, as the process of `column` sees them.

    `cells`: zeros to begin with, memory that the processes share; a row takes `columns` of them. All processes have to
    ask for the same names, each name before any process uses it: rows are given out in the order of `names`.
    """

    def __init__(self, cells: Cells, columns: int, column: int = 0) -> None:
        if not 0 <= column < columns:
            raise ValueError(f"there is no column {column} of {columns}")
        self._cells = cells
        self._columns = columns
        self._column = column
        self._rows: dict[str, int] = {}
        self._used = 0
        """Rows that have been given out at some time: those beyond are zeros, and the kernel has no memory for them."""
        self._free: list[int] = []

    def __repr__(self) -> str:
        return (
            f"<Shares {len(self._rows)} rows, column {self._column} of {self._columns}>"
        )

    @property
    def rows(self) -> dict[str, int]:
        """The rows that are given out, by name, to `learn` elsewhere."""
        return dict(self._rows)

    def learn(self, rows: dict[str, int]) -> None:
        """Go by the rows that another process gave out."""
        self._rows = dict(rows)
        self._used = max(rows.values(), default=-1) + 1
        self._free = sorted(set(range(self._used)).difference(rows.values()))

    def claim(self, name: str) -> bool:
        """See that there is a row of that name; False: no memory is left for it."""
        if name not in self._rows:
            if self._free:
                row = self._free.pop()
            elif self._used < len(self._cells) // self._columns:
                row = self._used
                self._used += 1
            else:
                return False
            self._rows[name] = row
        return True

    def keep(self, names: Container[str]) -> None:
        """Take back the rows of all other names, unless a process holds something there still."""
        for name, row in list(self._rows.items()):
            start = row * self._columns
            if name in names or any(self._cells[start : start + self._columns]):
                continue
            del self._rows[name]
            self._free.append(row)

    def share(self, name: str) -> Share | None:
        """The row of that name, None when there is none."""
        row = self._rows.get(name)
        if row is None:
            return None
        return Share(self._cells, row, self._columns, self._column)

    def clear(self, column: int) -> None:
        """The process of `column` is gone, and holds nothing any more."""
        for at in range(column, self._used * self._columns, self._columns):
            if self._cells[at]:
                self._cells[at] = 0

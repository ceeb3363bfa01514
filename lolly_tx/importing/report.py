"""What became of each statement of a configuration that is carried over.

Imports: importing. Used by: importing.fitting, importing.imported, importing.largest,
importing.lolly, importing.nginx, importing.variables.

Whoever turns a statement into a setting takes it; whoever cannot says why. What nobody has spoken of in the end is
left out as well, so nothing gets lost without a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import attrs

from lolly_tx.importing.statements import Statement

Fate = Literal["left out", "not needed", "note"]


@attrs.frozen
class Finding:
    """A line of the report. `fate`: a note is of what was carried over, but not to the letter."""

    file: str
    line: int
    fate: Fate
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.fate}: {self.what}: {self.why}"


class NotThere(Exception):
    """There is no setting for a statement or a value, and why."""


class Report:
    """What was carried over, and what was not.

    `silent`: why a statement that nobody has spoken of was left out, or not needed.
    """

    def __init__(self, silent: Callable[[Statement], tuple[Fate, str]]) -> None:
        self._silent = silent
        self._taken: set[Statement] = set()
        self._entered: set[Statement] = set()
        self._whole: set[Statement] = set()
        self._spoken: set[Statement] = set()
        self._findings: list[tuple[Statement, Finding]] = []

    def take(self, *statements: Statement) -> None:
        """They were carried over."""
        self._taken.update(statements)

    def carry(
        self, statements: Iterable[Statement], how: Callable[[Statement], None]
    ) -> None:
        """Have each carried over; one that `how` has no setting for is left out. `how` raises `NotThere`."""
        for one in statements:
            try:
                how(one)
            except NotThere as error:
                self.leave(one, str(error))
            else:
                self.take(one)

    def enter(self, statement: Statement) -> None:
        """What is inside of it is carried over bit by bit."""
        self._entered.add(statement)

    def leave(self, statement: Statement, why: str, part: str = "") -> None:
        """It is not carried over, or only `part` of it is not."""
        self._say(statement, "left out", why, part)

    def leave_whole(self, statement: Statement, why: str) -> None:
        """It is not carried over, and there is no more to say of what is inside of it."""
        self._whole.add(statement)
        self._say(statement, "left out", why, "")

    def needless(self, statement: Statement, why: str, part: str = "") -> None:
        """There is nothing to carry over."""
        self._say(statement, "not needed", why, part)

    def note(self, statement: Statement, why: str, part: str = "") -> None:
        """It was carried over, with a difference."""
        self._say(statement, "note", why, part)
        self.take(statement)

    def was_taken(self, statement: Statement) -> bool:
        """Whether somebody has carried it over."""
        return statement in self._taken

    def was_left(self, statement: Statement) -> bool:
        """Whether something was said of it."""
        return statement in self._spoken

    def _say(self, statement: Statement, fate: Fate, why: str, part: str) -> None:
        what = statement.text
        if part and part != what:
            what = f"{part} (of {what})"
        finding = Finding(statement.file, statement.line, fate, what, why)
        self._spoken.add(statement)
        if (statement, finding) not in self._findings:
            self._findings.append((statement, finding))

    def findings(self, tree: Iterable[Statement]) -> list[Finding]:
        """All that is to say of the statements of a file, in their order."""
        order: dict[Statement, int] = {}
        self._settle(tree, order)
        last = len(order)
        found = sorted(self._findings, key=lambda each: order.get(each[0], last))
        return [finding for _, finding in found]

    def carried(self, tree: Iterable[Statement]) -> int:
        """How many statements of `tree` and inside of it were carried over."""
        return sum(one in self._taken and one not in self._whole for one in _all(tree))

    def _settle(
        self,
        tree: Iterable[Statement],
        order: dict[Statement, int],
        quiet: bool = False,
    ) -> None:
        for one in tree:
            order[one] = len(order)
            if one not in self._taken | self._spoken | self._entered and not quiet:
                fate, why = self._silent(one)
                self._say(one, fate, why, "")
            if one in self._entered:
                self._settle(one.block or (), order, one in self._whole)


def _all(tree: Iterable[Statement]) -> Iterator[Statement]:
    for one in tree:
        yield one
        yield from _all(one.block or ())

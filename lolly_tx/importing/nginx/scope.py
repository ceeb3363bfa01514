"""A block of an nginx configuration, and what it has from the blocks around it.

Imports: importing. Used by: importing.nginx.
"""

from __future__ import annotations

from collections.abc import Iterable

from lolly_tx.importing.statements import Statement


class Scope:
    """`http`, a server, a location. `around`: the block that it stands in."""

    def __init__(
        self, statements: Iterable[Statement], around: Scope | None = None
    ) -> None:
        self.around = around
        self.statements = tuple(statements)
        self._own: dict[str, list[Statement]] = {}
        for one in self.statements:
            self._own.setdefault(one.name, []).append(one)

    def own(self, name: str) -> list[Statement]:
        """The statements called `name` of this very block."""
        return self._own.get(name, [])

    def nearest(self, name: str) -> list[Statement]:
        """Those that hold here: of this block, or else of the nearest around it that has any, as nginx does it."""
        own = self.own(name)
        return own if own or self.around is None else self.around.nearest(name)

    def last(self, name: str) -> Statement | None:
        """The one that holds of those that may stand but once."""
        found = self.nearest(name)
        return found[-1] if found else None

"""`lolly drain`, `lolly enable` and `lolly disable`: the operator's word about a target.

May import: lolly_tx.commands. Used by: lolly_tx.cli.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.commands.base import AskingCommand
from lolly_tx.commands.client import AdminClient, path_of


class WordCommand(AskingCommand):
    """Says one word about a target, and shows what has become of it."""

    word = ""
    synopsis = "POOL TARGET"

    def parseArgs(self, pool: str, target: str) -> None:  # type: ignore[override]  # a command has words of its own
        """Take the names."""
        self["pool"], self["target"] = pool, target

    def ask(self, client: AdminClient) -> Any:
        """One change."""
        return client.post(
            path_of("api", "pools", self["pool"], self["target"], self.word)
        )

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """What it is now."""
        state = answer["why_not"] or "available"
        return [
            f"{self['pool']}/{answer['id']}: {state},"
            f" {answer['in_flight']} exchanges in flight"
        ]


class DrainCommand(WordCommand):
    """`lolly drain`: no new exchanges; those that run, and bound clients, go on."""

    word = "drain"
    longdesc = "Sends a target no new exchanges; clients bound to it still get there."


class EnableCommand(WordCommand):
    """`lolly enable`: take `drain` or `disable` back."""

    word = "enable"
    longdesc = "Takes `drain` or `disable` back."


class DisableCommand(WordCommand):
    """`lolly disable`: no exchanges at all."""

    word = "disable"
    longdesc = "Sends a target no exchanges at all; those that run end as they like."

"""`lolly upgrade`: new code for a running proxy.

Imports: commands. Used by: commands.catalog.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.commands.base import AskingCommand
from lolly_tx.commands.client import AdminClient, path_of

PATIENCE_SECONDS = 90.0
"""Longer than new code is given to be ready."""


class UpgradeCommand(AskingCommand):
    """`lolly upgrade`."""

    name = "upgrade"
    summary = "Have new code take over, losing nothing."
    longdesc = (
        "Has new code take over the running proxy: same process id, same sockets. The old"
        " code serves the connections it has to their end. When the new code does not"
        " start, it says why, and nothing has changed."
    )

    def ask(self, client: AdminClient) -> Any:
        """One change."""
        return client.post(path_of("api", "upgrade"), patience=PATIENCE_SECONDS)

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """It has been done: else there were no answer."""
        assert answer["upgraded"]
        return ["new code serves; the old one ends with its connections"]

"""`lolly weight`: another share of the traffic for a target of a running proxy.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

from typing import Any

from twisted.python import usage

from lolly_tx.commands.base import AskingCommand
from lolly_tx.commands.client import AdminClient, path_of
from lolly_tx.commands.declared import Takes

HIGHEST = 65535


class WeightCommand(AskingCommand):
    """`lolly weight POOL TARGET N`."""

    name = "weight"
    summary = "Give a target another share of the traffic."
    words = (Takes("POOL"), Takes("TARGET"), Takes("N"))
    synopsis = "POOL TARGET N"
    longdesc = (
        "Gives a target, named by its id or its address, another weight, from the next"
        " request on. It holds until the configuration has another word on that target;"
        " over a restart if there is a state_dir. For no share at all there is"
        " `lolly drain`."
    )

    def parseArgs(self, *words: str) -> None:
        """Take the names and the weight."""
        if len(words) != 3:
            raise usage.UsageError(
                "Wrong number of arguments: a pool, a target and a weight are needed."
            )
        self["pool"], self["target"], number = words
        if not (number.isascii() and number.isdigit() and len(number) < 6):
            raise usage.UsageError(_NO_WEIGHT)
        self["weight"] = int(number)
        if not 1 <= self["weight"] <= HIGHEST:
            raise usage.UsageError(_NO_WEIGHT)

    def ask(self, client: AdminClient) -> Any:
        """One change."""
        path = path_of("api", "pools", self["pool"], self["target"])
        return client.patch(path, {"weight": self["weight"]})

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """What it is now."""
        said = f"{self['pool']}/{answer['id']}: weight {answer['weight']}"
        if answer["slow_start"]:
            said += f", {answer['effective_weight']:g} of it in slow start"
        found = [f"{said}, generation {answer['generation']}"]
        return found + [
            f"worker {one} has not said yet that it follows: see the log"
            for one in answer["late_workers"]
        ]


_NO_WEIGHT = f"N is a weight, a whole number from 1 to {HIGHEST}"

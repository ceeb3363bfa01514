"""`lolly drain`, `lolly enable` and `lolly disable`: the operator's word about a target.

Imports: commands, Twisted. Used by: cli.
"""

from __future__ import annotations

import math
import time
from typing import Any, ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import AskingCommand, shown
from lolly_tx.commands.client import AdminClient, CannotAsk, path_of

POLL_SECONDS = 0.5
"""Between two looks at a target that is being drained."""


class WordCommand(AskingCommand):
    """Says one word about a target, named by its id or its address, and shows what has become of it."""

    word = ""
    synopsis = "POOL TARGET"
    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

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
    synopsis = "[--deadline DURATION] [--wait [--timeout SECONDS]] POOL TARGET"
    longdesc = (
        "Sends a target no new exchanges; clients bound to it still get there. With"
        " --wait it says how many are in flight there, and returns when none is any more."
        " With --deadline nobody gets there any more when that time is over, and what is"
        " in flight then is cut."
    )
    optFlags: ClassVar[list[list[Any]]] = [
        ["wait", "w", "Wait until no exchange is in flight there."]
    ]
    optParameters: ClassVar[list[list[Any]]] = [
        ["timeout", None, 0.0, "Wait so many seconds at most, then exit 1.", float],
        ["deadline", "d", "", "How long the drain has, such as 10m; else for ever."],
    ]
    _err: TextIO | None = None

    def postOptions(self) -> None:
        """A time that can pass."""
        super().postOptions()
        if not 0 <= self["timeout"] < math.inf:
            raise usage.UsageError("--timeout is a number of seconds from 0 on")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Ask, and say meanwhile how far it is."""
        self._err = err
        return super().run(out, err)

    def ask(self, client: AdminClient) -> Any:
        """One change, and then questions until nobody is there any more."""
        path = ("api", "pools", self["pool"], self["target"], self.word)
        answer = client.post(path_of(*path, deadline=self["deadline"]))
        began, said = self.now(), 0
        while self["wait"] and answer["in_flight"]:
            if self["timeout"] and self.now() - began >= self["timeout"]:
                raise CannotAsk(
                    f"{answer['in_flight']} exchanges are still in flight at"
                    f" {answer['id']} after {self['timeout']:g} s; it stays drained"
                )
            if answer["in_flight"] != said and self._err is not None:
                said = answer["in_flight"]
                self._err.write(f"{shown(answer['id'])}: {said} in flight\n")
                self._err.flush()
            self.sleep(POLL_SECONDS)
            answer = self._look(client, answer["id"])
        return answer

    def _look(self, client: AdminClient, target: str) -> Any:
        """The target as it is now; CannotAsk when it is not being drained any more."""
        pool = client.get(path_of("api", "pools", self["pool"]))
        for one in pool["targets"]:
            if one["id"] == target:
                if one["enabled"] == "up":
                    raise CannotAsk(f"{target} was enabled again meanwhile")
                return one
        raise CannotAsk(f"pool {self['pool']} has no target {target} any more")


class EnableCommand(WordCommand):
    """`lolly enable`: take `drain` or `disable` back."""

    word = "enable"
    longdesc = "Takes `drain` or `disable` back."


class DisableCommand(WordCommand):
    """`lolly disable`: no exchanges at all."""

    word = "disable"
    longdesc = "Sends a target no exchanges at all; those that run end as they like."

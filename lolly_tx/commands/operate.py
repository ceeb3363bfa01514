"""`lolly drain`, `lolly enable` and `lolly disable`: the operator's word about a target or a listener.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import AskingCommand, seconds_of, shown
from lolly_tx.commands.client import AdminClient, CannotAsk, path_of
from lolly_tx.commands.declared import Takes
from lolly_tx.commands.status import listener_line

POLL_SECONDS = 0.5
"""Between two looks at what is being drained."""

_LISTENER: list[Any] = ["listener", "l", "", "Say it of this listener."]


class WordCommand(AskingCommand):
    """Says one word about a target, named by its id or its address, and shows what has become of it."""

    words = (Takes("POOL"), Takes("TARGET"))
    takes: ClassVar = {"listener": Takes("NAME")}
    word = ""
    synopsis = "POOL TARGET"
    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def parseArgs(self, *names: str) -> None:
        """Take the names; those of a target, unless a listener is named."""
        named = self.get("listener")
        if len(names) != (0 if named else 2):
            raise usage.UsageError(
                "--listener takes no pool and target"
                if named
                else "Wrong number of arguments: a pool and a target are needed."
            )
        self["pool"], self["target"] = names or ("", "")

    @property
    def path(self) -> tuple[str, ...]:
        """Where the word is said."""
        if self.get("listener"):
            return "api", "listeners", self["listener"], self.word
        return "api", "pools", self["pool"], self["target"], self.word

    def ask(self, client: AdminClient) -> Any:
        """One change."""
        return client.post(path_of(*self.path))

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """What it is now."""
        if self.get("listener"):
            return [f"listener {answer['name']}: {listener_line(answer)}"]
        state = answer["why_not"] or "available"
        flying = answer["in_flight"]
        said = f"{flying} exchange{'' if flying == 1 else 's'} in flight"
        return [f"{self['pool']}/{answer['id']}: {state}, {said}"]


class DrainCommand(WordCommand):
    """`lolly drain`: nobody new; what is under way, and bound clients, go on."""

    name = "drain"
    summary = "Send a target, or take at a listener, nobody new."
    takes: ClassVar = {"timeout": Takes("SECONDS"), "deadline": Takes("DURATION")}
    word = "drain"
    synopsis = (
        "[--deadline DURATION] [--wait [--timeout SECONDS]]"
        " (POOL TARGET | --listener NAME)"
    )
    longdesc = (
        "Sends a target no new exchanges; clients bound to it still get there. With"
        " --wait it says how many are in flight there, and returns when none is any more."
        " With --deadline nobody gets there any more when that time is over, and what is"
        " in flight then is cut. With --listener no new connections are taken there, until"
        " `lolly enable --listener`; those that are there end with their next answer, and"
        " tunnels when they like or the time is over."
    )
    optFlags: ClassVar[list[list[Any]]] = [
        ["wait", "w", "Wait until nothing is in flight or connected there."]
    ]
    optParameters: ClassVar[list[list[Any]]] = [
        _LISTENER,
        [
            "timeout",
            None,
            0.0,
            "Wait so many seconds at most, then exit 1.",
            seconds_of,
        ],
        ["deadline", "d", "", "How long the drain has, such as 10m; else for ever."],
    ]
    _err: TextIO | None = None

    def postOptions(self) -> None:
        """No limit to a wait that there is not."""
        super().postOptions()
        if self["timeout"] and not self["wait"]:
            raise usage.UsageError("--timeout is how long --wait waits, and needs it")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Ask, and say meanwhile how far it is."""
        self._err = err
        return super().run(out, err)

    def ask(self, client: AdminClient) -> Any:
        """One change, and then questions until nobody is there any more."""
        answer = client.post(path_of(*self.path, deadline=self["deadline"]))
        began, said = self.now(), 0
        while self["wait"] and (left := self._left(answer)):
            what, name = self._what(answer)
            if self["timeout"] and self.now() - began >= self["timeout"]:
                raise CannotAsk(
                    f"{left} {what} at {name} after {self['timeout']:g} s;"
                    " it stays drained"
                )
            if left != said and self._err is not None:
                said = left
                self._err.write(f"{shown(self._progress(answer))}\n")
                self._err.flush()
            self.sleep(POLL_SECONDS)
            answer = self._look(client, name)
        return answer

    def _left(self, answer: dict[str, Any]) -> int:
        return int(answer["open" if self["listener"] else "in_flight"])

    def _what(self, answer: dict[str, Any]) -> tuple[str, str]:
        """What is waited for, and where."""
        if self["listener"]:
            return "connections are still open", answer["name"]
        return "exchanges are still in flight", answer["id"]

    def _progress(self, answer: dict[str, Any]) -> str:
        if self["listener"]:
            return f"{answer['name']}: {listener_line(answer)}"
        return f"{answer['id']}: {answer['in_flight']} in flight"

    def _look(self, client: AdminClient, name: str) -> Any:
        """The target or listener as it is now; CannotAsk when it is not being drained any more."""
        if self["listener"]:
            found, key = client.get(path_of("api", "listeners"))["listeners"], "name"
            gone = f"there is no listener {name} any more"
        else:
            pool = client.get(path_of("api", "pools", self["pool"]))
            found, key = pool["targets"], "id"
            gone = f"pool {self['pool']} has no target {name} any more"
        for one in found:
            if one[key] == name:
                if "up" in (one.get("state"), one.get("enabled")):
                    raise CannotAsk(f"{name} was enabled again meanwhile")
                return one
        raise CannotAsk(gone)


class EnableCommand(WordCommand):
    """`lolly enable`: take `drain` or `disable` back."""

    name = "enable"
    summary = "Take drain or disable back."
    word = "enable"
    synopsis = "(POOL TARGET | --listener NAME)"
    longdesc = "Takes `drain` or `disable` back."
    optParameters: ClassVar[list[list[Any]]] = [_LISTENER]


class DisableCommand(WordCommand):
    """`lolly disable`: no exchanges at all."""

    name = "disable"
    summary = "Send a target no exchanges at all."
    word = "disable"
    longdesc = "Sends a target no exchanges at all; those that run end as they like."

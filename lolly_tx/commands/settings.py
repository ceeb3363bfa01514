"""`lolly reload`, `plan`, `apply`, `confirm` and `rollback`: other settings for a running proxy.

Imports: commands, config, config.facts, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import AskingCommand, print_errors, shown
from lolly_tx.commands.client import PATIENCE_SECONDS, AdminClient, CannotAsk, path_of
from lolly_tx.commands.declared import TOML_FILE, Takes
from lolly_tx.commands.installed import installed_names
from lolly_tx.config import ConfigErrors, load
from lolly_tx.config.facts.plan import planned
from lolly_tx.config.load import DISK
from lolly_tx.config.model import Config


class ReloadCommand(AskingCommand):
    """`lolly reload`: have the running proxy read its file again."""

    name = "reload"
    summary = "Have the proxy read its file again."
    longdesc = (
        "Has the running proxy read its configuration again. What is wrong with it is"
        " printed, every error, and changes nothing."
    )

    def ask(self, client: AdminClient) -> Any:
        """One change."""
        return client.post(path_of("api", "reload"), patience=PATIENCE_SECONDS)

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """What has changed."""
        found = [_line(one) for one in answer["changes"]]
        late = [f"needs a restart: {_line(one)}" for one in answer["restart"]]
        late += [
            f"worker {one} has not said yet that it follows: see the log"
            for one in answer.get("late_workers", ())
        ]
        said = f"generation {answer['generation']} is in force"
        late += [
            f"the file has another word on {one['pool']}/{one['target']}, which was"
            f" {one['action']} at run time"
            for one in answer.get("ended", ())
        ]
        return [said if found else f"{said}: nothing has changed", *found, *late]


class ApplyCommand(ReloadCommand):
    """`lolly apply FILE`: let a file be in force in the running proxy."""

    name = "apply"
    summary = "Let a file be in force, for good or on trial."
    words = (TOML_FILE,)
    takes: ClassVar = {"confirm": Takes("DURATION")}
    synopsis = "[--confirm DURATION] FILE"
    longdesc = (
        "Lets the settings of FILE be in force in the running proxy, whose own file stays"
        " as it is: they hold until that file changes or is reloaded. With --confirm they"
        " are taken back after that time unless `lolly confirm` is said, and at once when"
        " errors or latency leave the guardrails."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        [
            "confirm",
            None,
            "",
            "Take them back after so long, such as 5m, unless confirmed.",
        ]
    ]

    def parseArgs(self, file: str) -> None:  # type: ignore[override]  # a command has words of its own
        """Take the file's name."""
        self["file"] = file

    def ask(self, client: AdminClient) -> Any:
        """One change."""
        path = path_of("api", "apply", confirm=self["confirm"])
        return _send(client, path, self["file"])

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """What has changed, and what is to be done."""
        found = super().lines(answer)
        if self["confirm"]:
            seconds = " s" if self["confirm"].isdigit() else ""
            found.append(
                f"it goes in {self['confirm']}{seconds} without `lolly confirm`"
            )
        return found


class ConfirmCommand(AskingCommand):
    """`lolly confirm`: what was applied on trial stays."""

    name = "confirm"
    summary = "What is on trial stays."
    longdesc = "What was applied with --confirm stays in force."

    def ask(self, client: AdminClient) -> Any:
        """One change."""
        return client.post(path_of("api", "confirm"))

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """That it is done."""
        return ["confirmed"]


class RollbackCommand(ReloadCommand):
    """`lolly rollback`: what was in force before the last apply is again."""

    name = "rollback"
    summary = "Go back to before the last apply."
    longdesc = "What was in force before the last `lolly apply` is in force again."

    def ask(self, client: AdminClient) -> Any:
        """One change."""
        return client.post(path_of("api", "rollback"), patience=PATIENCE_SECONDS)


class PlanCommand(AskingCommand):
    """`lolly plan FILE`: what would change, and what follows from it."""

    name = "plan"
    summary = "Show what a configuration would change."
    words = (TOML_FILE,)
    takes: ClassVar = {"from": TOML_FILE}
    synopsis = "[--from OLD | --admin URL] FILE"
    longdesc = (
        "Prints what FILE would change, object by object, and what its settings imply,"
        " before and after: against OLD, or with --admin against what the running proxy"
        " has in force. With neither everything is new. Nothing is changed."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["from", "f", None, "Compare with this configuration; no proxy is asked."]
    ]

    def parseArgs(self, file: str) -> None:  # type: ignore[override]  # a command has words of its own
        """Take the file's name."""
        self["file"] = file

    def postOptions(self) -> None:
        """One thing to compare with."""
        super().postOptions()
        if self["from"] and (self["admin"] or self["config"]):
            raise usage.UsageError("give --from or a running proxy, not both")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Compare here, or have it compared."""
        if self["admin"] or self["config"]:
            return super().run(out, err)
        try:
            after = load(self["file"], os.environ, names=installed_names())
            before = Config(self["file"])
            if self["from"]:
                before = load(self["from"], os.environ, names=installed_names())
        except ConfigErrors as errors:
            return print_errors(errors.problems, out, err)
        self._print(planned(before, after), out)
        return 0

    def ask(self, client: AdminClient) -> Any:
        """The running proxy compares."""
        return _send(client, path_of("api", "plan"), self["file"])

    def _print(self, answer: dict[str, Any], out: TextIO) -> None:
        if self["json"]:
            out.write(json.dumps(answer, indent=2) + "\n")
        else:
            out.write("".join(f"{shown(line)}\n" for line in self.lines(answer)))

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """The changes, then the consequences that differ."""
        found = [_line(one) for one in answer["changes"]] or ["nothing would change"]
        found += [f"needs a restart: {_line(one)}" for one in answer["restart"]]
        before = answer["consequences"]["before"]
        after = answer["consequences"]["after"]
        found += [f"before: {one}" for one in before if one not in after]
        found += [f"after:  {one}" for one in after if one not in before]
        return found


def _send(client: AdminClient, path: str, file: str) -> Any:
    """Send what stands in `file`; errors name it, for the proxy does not know what it is called."""
    text = _content(file)
    try:
        return client.post(path, text, PATIENCE_SECONDS)
    except CannotAsk as error:
        said = [
            f"{file}{one.removeprefix(_SENT)}" if one.startswith(_SENT) else one
            for one in error.errors
        ]
        raise CannotAsk(said[0], said) from None


_SENT = "the text sent"
"""What the proxy calls it (`service.changes.applying.SENT`)."""


def _content(file: str) -> bytes:
    """What stands in `file`. Raises CannotAsk."""
    try:
        return DISK.read(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotAsk(f"cannot read {file}: {reason}") from None


_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _line(change: dict[str, Any]) -> str:
    """One change: "+ target app/a", "~ pool app: max_conns: 0 -> 5"."""
    said = f"{_SIGNS.get(change['action'], '?')} {change['kind']} {change['name']}"
    keys = []
    for key in change["keys"]:
        before, after = (
            "none" if one is None else one for one in (key["before"], key["after"])
        )
        keys.append(f"{key['key']}: {before} -> {after}".removeprefix(": "))
    return f"{said}: {', '.join(keys)}" if keys else said

"""The `lolly` command: finds the subcommand that is asked for and runs it.

Imports: commands, lolly_tx, Twisted. Used by: programs.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import ClassVar, TextIO

from twisted.python import usage

from lolly_tx import __version__
from lolly_tx.commands.base import Command
from lolly_tx.commands.check import CheckCommand
from lolly_tx.commands.events import EventsCommand
from lolly_tx.commands.explain import ExplainCommand
from lolly_tx.commands.operate import DisableCommand, DrainCommand, EnableCommand
from lolly_tx.commands.replay import ReplayCommand
from lolly_tx.commands.run import RunCommand
from lolly_tx.commands.settings import (
    ApplyCommand,
    ConfirmCommand,
    PlanCommand,
    ReloadCommand,
    RollbackCommand,
)
from lolly_tx.commands.simulate import SimulateCommand
from lolly_tx.commands.status import StatusCommand
from lolly_tx.commands.upgrade import UpgradeCommand


class LollyOptions(usage.Options):
    """`lolly`: what comes before the subcommand."""

    synopsis = "Usage: lolly [options] COMMAND"
    longdesc = "A reverse proxy and load balancer on Twisted."
    subCommands: ClassVar = [
        ["run", None, RunCommand, "Run the proxy that a configuration describes."],
        [
            "check",
            None,
            CheckCommand,
            "Validate a configuration, print what it implies.",
        ],
        ["status", None, StatusCommand, "Show what the running proxy is doing."],
        ["explain", None, ExplainCommand, "Tell why a target is in or out, or chosen."],
        ["events", None, EventsCommand, "Show the latest changes of availability."],
        [
            "drain",
            None,
            DrainCommand,
            "Send a target, or take at a listener, nobody new.",
        ],
        ["disable", None, DisableCommand, "Send a target no exchanges at all."],
        ["enable", None, EnableCommand, "Take drain or disable back."],
        ["plan", None, PlanCommand, "Show what a configuration would change."],
        ["reload", None, ReloadCommand, "Have the proxy read its file again."],
        ["upgrade", None, UpgradeCommand, "Have new code take over, losing nothing."],
        ["apply", None, ApplyCommand, "Let a file be in force, for good or on trial."],
        ["confirm", None, ConfirmCommand, "What is on trial stays."],
        ["rollback", None, RollbackCommand, "Go back to before the last apply."],
        [
            "replay",
            None,
            ReplayCommand,
            "Try other settings on what was recorded.",
        ],
        [
            "simulate",
            None,
            SimulateCommand,
            "Try a configuration against modelled outages.",
        ],
    ]

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"lolly_tx {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """A command is needed."""
        if not self.subCommand:
            raise usage.UsageError("which command?")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0, 1 for a failure, 2 for misuse, 130 for Ctrl-C.

    Whatever bytes it is given, it ends with a line, not with a traceback; that a reader such as `head` has enough is no
    failure.
    """
    out, err = _writable(sys.stdout), _writable(sys.stderr)
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv, out, err)
        finally:
            out.flush()
    except BrokenPipeError:
        status = 0 if _is_broken(out) else 1
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        status = 1
        with suppress(OSError):
            err.write(f"lolly: {_one_line(error)}\n")
    _forget(out)
    return status


def _run(argv: Sequence[str], out: TextIO, err: TextIO) -> int:
    options = LollyOptions()
    try:
        options.parseOptions(list(argv))
    except usage.UsageError as error:
        err.write(f"{getattr(options, 'subOptions', options)}\nlolly: {error}\n")
        return 2
    command: Command = options.subOptions
    return command.run(out, err)


def _writable(stream: TextIO | None) -> TextIO:
    """`stream` so that every text can be written to it, or a hole when it is closed."""
    if stream is None:
        return open(os.devnull, "w")
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _is_broken(stream: TextIO) -> bool:
    """Whether it is `stream` whose reader is gone."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False
    return bool(poll.poll(0))


def _one_line(error: Exception) -> str:
    """What went wrong; of a mistake of ours also where."""
    if isinstance(error, OSError):
        return str(error)
    *_, last = traceback.extract_tb(error.__traceback__)
    where = f"{Path(last.filename).name}:{last.lineno}"
    return f"this is a mistake in lolly: {type(error).__name__}: {error} ({where})"


def _forget(stream: TextIO) -> None:
    """Nobody reads `stream`: leave nothing for the interpreter to write there at its end."""
    with suppress(OSError, ValueError):
        hole = os.open(os.devnull, os.O_WRONLY)
        os.dup2(hole, stream.fileno())
        os.close(hole)


if __name__ == "__main__":
    sys.exit(main())

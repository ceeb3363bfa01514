"""The `lolly` command: finds the subcommand that is asked for and runs it.

Imports: _version, commands, config.kinds, Twisted. Used by: programs.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from twisted.python import usage

from lolly_tx._version import described
from lolly_tx.commands.base import Command, is_broken, shown
from lolly_tx.commands.declared import declared
from lolly_tx.commands.running import RunCommand
from lolly_tx.config.kinds.plain import nearest

_UNKNOWN = "Unknown command: "
_NO_NUMBER = "Parameter type enforcement failed: "
"""What Twisted says first."""
_ELSEWHERE = {
    **dict.fromkeys(("undrain", "ready", "undisable"), "lolly enable POOL TARGET"),
    **dict.fromkeys(("eject", "maint", "down"), "lolly disable POOL TARGET"),
    **dict.fromkeys(("validate", "test", "verify", "lint"), "lolly check FILE"),
    "diff": "lolly plan --from OLD FILE, or lolly plan --admin URL FILE",
    **dict.fromkeys(("start", "serve"), "lolly run FILE"),
    **dict.fromkeys(
        ("stop", "quit"), "a signal, SIGTERM or SIGQUIT (docs/operations.md)"
    ),
    "restart": "lolly reload, or lolly upgrade for new code",
    "revert": "lolly rollback",
    "purge": "POST /api/cache/purge (docs/cache.md)",
}
"""What others call what we call otherwise; some are nearer to a word of ours that means the opposite."""


class LollyOptions(usage.Options):
    """`lolly`: what comes before the subcommand."""

    synopsis = "Usage: lolly [options] COMMAND"
    longdesc = "A reverse proxy and load balancer on Twisted."

    def __init__(self, known: Sequence[type[Command]]) -> None:
        self.subCommands = [[one.name, None, one, one.summary] for one in known]
        super().__init__()

    def getUsage(self, width: int | None = None) -> str:
        """The commands, in groups."""
        from lolly_tx.commands.catalog import CATALOG

        lines = ["", self.longdesc]
        for title, group in CATALOG:
            lines += ["", f"{title}:"]
            lines += [f"  {one.name:15} {one.summary}" for one in group]
        lines += [
            "",
            "`lolly COMMAND --help` tells more, `lolly --version` the version.",
        ]
        return "\n".join(lines) + "\n"

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(described())
        raise SystemExit(0)

    def postOptions(self) -> None:
        """A command is needed."""
        if not self.subCommand:
            raise usage.UsageError("a command is needed")


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
        status = 0 if is_broken(out) else 1
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        status = 1
        with suppress(OSError):
            err.write(f"lolly: {_one_line(error)}\n")
    _forget(out)
    return status


def _run(argv: Sequence[str], out: TextIO, err: TextIO) -> int:
    options = LollyOptions(_known(argv))
    try:
        options.parseOptions(list(argv))
    except usage.UsageError as error:
        err.write(f"{shown(_misuse(options, str(error)))}\n")
        return 2
    command: Command = options.subOptions
    return command.run(out, err)


def _known(argv: Sequence[str]) -> Sequence[type[Command]]:
    """The commands there are. A proxy that is to run is not to have the modules of all the others in memory."""
    if argv[:1] == [RunCommand.name]:
        return [RunCommand]
    from lolly_tx.commands.catalog import commands

    return commands()


def _misuse(options: LollyOptions, said: str) -> str:
    """What is wrong with the command line, and how it is right, in one line."""
    command: Command | None = getattr(options, "subOptions", None)
    if command is not None:
        usage = declared(type(command)).usage
        said = said.removeprefix(_NO_NUMBER)
        if said[1:2].islower():
            said = said[:1].lower() + said[1:]
        said = said.rstrip(".")
        return f"lolly {command.name}: {said}; usage: {usage}"
    if said.startswith(_UNKNOWN):
        word = said.removeprefix(_UNKNOWN)
        known = [one.name for one in _known([])]
        if word in _ELSEWHERE:
            return f"lolly: there is no command {word}; here it is {_ELSEWHERE[word]}"
        return f"lolly: there is no command {word}{nearest(word, known)}"
    return f"lolly: {said}; usage: lolly COMMAND, and lolly --help lists them"


def _writable(stream: TextIO | None) -> TextIO:
    """`stream` so that every text can be written to it, or a hole when it is closed."""
    if stream is None:
        return open(os.devnull, "w")
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


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

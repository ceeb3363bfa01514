"""The `lolly` command: one class of options per subcommand, each able to run itself.

May import: everything; the reactor only inside a command that needs it, so that
`lolly check` works where no reactor can. Used by: the console script `lolly`.
"""

from __future__ import annotations

import getopt
import os
import select
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import ClassVar, TextIO

from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import getPlugins
from twisted.python import usage

from lolly_tx import __version__, plugins
from lolly_tx.commands.base import Command
from lolly_tx.commands.explain import ExplainCommand
from lolly_tx.commands.operate import DisableCommand, DrainCommand, EnableCommand
from lolly_tx.commands.run import RunCommand
from lolly_tx.commands.status import EventsCommand, StatusCommand
from lolly_tx.config import ConfigErrors, Names, load
from lolly_tx.config.consequences import consequences
from lolly_tx.config.problems import Problem
from lolly_tx.config.reference import defaults_toml, reference_page
from lolly_tx.service.registry import Registry

# Twisted has these in the code, not as plugins.
_BUILT_IN_ENDPOINTS = frozenset({"tcp", "ssl", "unix"})


def installed_registry() -> Registry:
    """The plugins this installation has."""
    registry = Registry()
    registry.discover(plugins)
    return registry


def installed_names(registry: Registry | None = None) -> Names:
    """The plugins and the types of endpoint strings this installation has."""
    registry = registry or installed_registry()
    servers = getPlugins(IStreamServerEndpointStringParser)
    clients = getPlugins(IStreamClientEndpointStringParserWithReactor)
    return registry.known_names(
        server=_BUILT_IN_ENDPOINTS | {str(plugin.prefix) for plugin in servers},
        client=_BUILT_IN_ENDPOINTS | {str(plugin.prefix).lower() for plugin in clients},
    )


class CheckCommand(Command):
    """`lolly check`: validate a file, or print what there is to set."""

    synopsis = "FILE | --defaults | --reference"
    longdesc = (
        "Report every error of a configuration, of the files it includes and of the"
        " certificates, keys and endpoints it names, or print what its settings imply."
        " Exits 0 when all of it is right, else 1."
    )
    optFlags: ClassVar = [
        ["defaults", None, "Print every setting with its default, as TOML."],
        ["reference", None, "Print the reference of all settings, as Markdown."],
    ]

    def parseArgs(self, file: str = "") -> None:
        """Take the file's name."""
        self["file"] = file

    def postOptions(self) -> None:
        """One thing at a time."""
        asked = [name for name in ("file", "defaults", "reference") if self[name]]
        if len(asked) != 1:
            raise usage.UsageError("needs a FILE, --defaults or --reference")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print the defaults, the reference, the errors or the consequences."""
        if self["defaults"] or self["reference"]:
            out.write(defaults_toml() if self["defaults"] else reference_page())
            return 0
        try:
            config = load(self["file"], os.environ, names=installed_names())
        except ConfigErrors as errors:
            return _errors(errors.problems, out, err)
        for one in consequences(config):
            out.write(f"{one}\n")
        # Only this command needs both all that a start needs and none of its effects.
        from lolly_tx.service.materials import findings, problem_of

        wrong = []
        for found in findings(config, time.time()):
            problem = problem_of(found, config.file)
            if found.warning:
                out.write(f"warning: {problem}\n")
            else:
                wrong.append(problem)
        if wrong:
            return _errors(wrong, out, err)
        out.write(f"{config.file}: valid\n")
        return 0


def _errors(problems: Sequence[Problem], out: TextIO, err: TextIO) -> int:
    """Print what is wrong, one a line, and how many it are; the exit status."""
    out.write("".join(f"{problem}\n" for problem in problems))
    count = len(problems)
    err.write(f"{count} error{'' if count == 1 else 's'}\n")
    return 1


class SimulateCommand(Command):
    """`lolly simulate`: how a configuration does when things go wrong."""

    synopsis = "[options] CONFIG SCENARIO"
    longdesc = (
        "Run a pool of a configuration under a virtual clock against the targets and"
        " the clients that a scenario describes, and report what happens. The pool, its"
        " checks and its retries are the real ones. The same seed gives the same output."
    )
    optParameters: ClassVar = [
        ["pool", "p", "", "The pool, in place of the scenario's."],
        ["seed", "s", 0, "What chance begins with.", int],
        ["diff", "d", "", "Another configuration, to be set beside the first one."],
    ]
    optFlags: ClassVar = [["json", "j", "Print everything, as JSON."]]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Take options after the names of the files as well as before them."""
        words = list(options or ())
        try:
            found, files = getopt.gnu_getopt(words, self.shortOpt, self.longOpt)
        except getopt.error as error:
            raise usage.UsageError(str(error)) from error
        ordered = [
            f"{name}={value}" if value and name.startswith("--") else name + value
            for name, value in found
        ]
        super().parseOptions([*ordered, "--", *files])

    def parseArgs(self, config: str = "", scenario: str = "") -> None:
        """Take the names of the files."""
        self["config"], self["scenario"] = config, scenario

    def postOptions(self) -> None:
        """Both files are needed."""
        if not self["scenario"]:
            raise usage.UsageError("needs a CONFIG and a SCENARIO")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print the report, the comparison, or the errors of the files."""
        # Only this command needs all that a running proxy needs.
        from lolly_tx.simulate.command import simulation

        registry = installed_registry()
        try:
            text = simulation(
                self["config"],
                self["scenario"],
                environ=os.environ,
                names=installed_names(registry),
                registry=registry,
                pool=self["pool"],
                seed=self["seed"],
                other=self["diff"],
                as_json=bool(self["json"]),
            )
        except ConfigErrors as errors:
            return _errors(errors.problems, out, err)
        out.write(text)
        return 0


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
        ["drain", None, DrainCommand, "Send a target no new exchanges."],
        ["disable", None, DisableCommand, "Send a target no exchanges at all."],
        ["enable", None, EnableCommand, "Take drain or disable back."],
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
        err.write(f"{options}\nlolly: {error}\n")
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

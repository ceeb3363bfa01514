"""What every subcommand is, and what those that ask a running proxy share.

Imports: _version, commands, config, config.kinds, Twisted. Used by: cli, commands.
"""

from __future__ import annotations

import getopt
import json
import math
import os
import re
import select
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TextIO

from twisted.python import usage

from lolly_tx._version import described
from lolly_tx.commands.client import AdminClient, CannotAsk, admin_url
from lolly_tx.commands.declared import FILE, TOML_FILE, Takes, declared, help_text
from lolly_tx.config import ConfigErrors, Names, load
from lolly_tx.config.kinds.problems import Problem
from lolly_tx.config.load import DISK

DEFAULT_ADMIN = "http://127.0.0.1:8081"
NOT_AS_EXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer of another shape ends in."""
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


class Command(usage.Options):
    """A subcommand: options that can be run.

    `name`, `summary` (a sentence) and `synopsis`: how it is called, what for, and with what; `longdesc` says it at
    length. `words`: what follows the options, the last of them any number of times. `takes`: what stands
    for the values of `optParameters` and of `opt_` methods.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    synopsis: ClassVar[str] = ""
    longdesc: ClassVar[str] = ""
    words: ClassVar[tuple[Takes, ...]] = ()
    takes: ClassVar[Mapping[str, Takes]] = {}

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; options may also follow the words, as in `lolly drain app a --json`."""
        words = list(options or ())
        try:
            found, rest = getopt.gnu_getopt(words, self.shortOpt, self.longOpt)
        except getopt.GetoptError:
            super().parseOptions(words)  # says the same in its own way
            return
        sorted_out = []
        for name, value in found:
            takes_value = f"{name[2:]}=" in self.longOpt
            sorted_out += [f"{name}={value}" if takes_value else f"{name}{value}"]
        super().parseOptions([*sorted_out, "--", *rest])

    def getSynopsis(self) -> str:
        """How it is called."""
        return f"Usage: {declared(type(self)).usage}"

    def getUsage(self, width: int | None = None) -> str:
        """What it is for, and its options."""
        width = width or min(100, shutil.get_terminal_size().columns)
        return help_text(declared(type(self)), width)

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(described())
        raise SystemExit(0)

    def run(self, out: TextIO, err: TextIO) -> int:
        """Do it; the exit status. `out` and `err`: where to print."""
        raise NotImplementedError


class AskingCommand(Command):
    """A subcommand that asks the admin endpoint of a running proxy.

    Exits 1 with one line when nothing answers, or the answer is a refusal.
    """

    optParameters: ClassVar[list[list[Any]]] = [
        [
            "admin",
            "a",
            None,
            "The admin endpoint: http://HOST:PORT or unix:PATH; else LOLLY_ADMIN is used,"
            f" else {DEFAULT_ADMIN}.",
        ],
        ["config", "c", None, "Take the admin endpoint from this configuration."],
        ["token-file", "t", None, "File with the token; else LOLLY_TOKEN is used."],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["json", "j", "Print the answer as JSON, for programs."]
    ]
    takes: ClassVar[Mapping[str, Takes]] = {
        "admin": Takes("URL"),
        "config": TOML_FILE,
        "token-file": FILE,
    }

    def postOptions(self) -> None:
        """One way to say where."""
        if self["admin"] and self["config"]:
            raise usage.UsageError("give --admin or --config, not both")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Ask, and print the answer."""
        try:
            client = self.client()
            try:
                answer = self.ask(client)
                lines = [] if self["json"] else self.lines(answer)
            except NOT_AS_EXPECTED:
                raise CannotAsk(
                    f"what answers at {client.url} is no lolly admin endpoint of this"
                    " version"
                ) from None
        except CannotAsk as error:
            for one in error.errors:
                err.write(f"lolly: {shown(one)}\n")
            return 1
        if self["json"]:
            out.write(json.dumps(answer, indent=2) + "\n")
        out.write("".join(f"{shown(line)}\n" for line in lines))
        return self.status(answer)

    def client(self) -> AdminClient:
        """The client that the options describe. Raises CannotAsk."""
        url = self["admin"] or os.environ.get("LOLLY_ADMIN") or DEFAULT_ADMIN
        token = os.environ.get("LOLLY_TOKEN", "")
        if self["config"]:
            url, configured = _from_config(self["config"])
            token = token or configured
        if self["token-file"]:
            token = _token_from(self["token-file"])
        return AdminClient(url, token)

    def ask(self, client: AdminClient) -> Any:
        """The answer, as JSON-able values. Raises CannotAsk."""
        raise NotImplementedError

    def lines(self, answer: Any) -> list[str]:
        """The answer, for people."""
        raise NotImplementedError

    def status(self, answer: Any) -> int:
        """The exit status, when there is an answer."""
        return 0


def _token_from(file: str) -> str:
    """The token in a file. Raises CannotAsk."""
    try:
        return DISK.read(file).decode("ascii").strip()
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError:
        reason = "is not ASCII"
    raise CannotAsk(f"cannot read the token from {file}: {reason}")


def print_errors(problems: Sequence[Problem], out: TextIO, err: TextIO) -> int:
    """Print what is wrong, one a line, and how many it are; the exit status."""
    out.write("".join(f"{problem}\n" for problem in problems))
    count = len(problems)
    err.write(f"{count} error{'' if count == 1 else 's'}\n")
    return 1


def _from_config(file: str) -> tuple[str, str]:
    """The URL and the token of the admin endpoint in a configuration."""
    anything = Names(balance=None, check=None, middleware=None)
    try:
        admin = load(file, os.environ, names=anything).admin
    except ConfigErrors as errors:
        first, *more = errors.problems
        others = f" (and {len(more)} more; see lolly check)" if more else ""
        raise CannotAsk(f"{first}{others}") from None
    if admin is None:
        raise CannotAsk(f"{file} has no [admin] table")
    return admin_url(admin.endpoint), admin.token or admin.read_token


def whole_number_of(text: str) -> int:
    """The value of an option; ValueError in words for people."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'"{text}" is no whole number') from None


def seconds_of(text: str) -> float:
    """The value of an option, from 0 on; ValueError in words for people."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ValueError(f'"{text}" is no number of seconds from 0 on')
    return value


def shown(text: str) -> str:
    """`text` without what would drive a terminal: answers may quote what strangers sent."""
    return _CONTROLS.sub(lambda one: f"\\x{ord(one[0]):02x}", text)


def is_broken(stream: TextIO) -> bool:
    """Whether it is `stream` whose reader is gone."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False
    return bool(poll.poll(0))


def table(rows: list[list[str]], indent: str = "") -> list[str]:
    """Rows as lines, in columns; the last one is not padded."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        indent
        + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def size(count: float) -> str:
    """Bytes for people: "640 B", "1.5 MB"."""
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {word}"
    return f"{count:.0f} B"


def ago(seconds: float | None) -> str:
    """An age for people: "4.2 s ago", "3 min ago"."""
    if seconds is None:
        return "-"
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word} ago"
    return f"{seconds:.1f} s ago"

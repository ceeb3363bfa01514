"""The page docs/commands.md and the manual page lolly(1), made of what the commands declare.

Imports: commands. Used by: programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from lolly_tx.commands.base import AskingCommand, Command
from lolly_tx.commands.declared import Declared, Option, declared

Groups = Sequence[tuple[str, Sequence[type[Command]]]]
"""As in `catalog.CATALOG`."""

_STATUS = (
    ("0", "It is done."),
    (
        "1",
        "It was refused, or failed, or what was asked about is not as it should be: one line on standard"
        " error says why. `check` prints what is wrong with a file on standard output.",
    ),
    (
        "2",
        "Wrong usage: one line on standard error says what is wrong, and what is right.",
    ),
    ("130", "Interrupted by Ctrl-C."),
    ("128 + N", "A server that signal N has ended at once, because it came again."),
)
_ENVIRONMENT = (
    (
        "LOLLY_ADMIN",
        "The admin endpoint that is asked, where neither --admin nor --config says it.",
    ),
    (
        "LOLLY_TOKEN",
        "The token for changes, or for reading where that needs one; --token-file goes first.",
    ),
    ("COLUMNS", "How wide --help writes."),
)
_FILES = (
    ("lolly.toml", "A configuration; `lolly init` writes one to start from."),
    (
        "/etc/lolly/lolly.toml",
        "Where the systemd unit and the container image look for it.",
    ),
)
_SIGNALS = (
    (
        "TERM, INT",
        "End in good order, within `timeouts.shutdown`; a second one ends at once.",
    ),
    ("QUIT", "The same, but tunnels and downloads have `timeouts.drain`."),
    ("HUP", "Read the configuration again."),
    ("USR1", "Open the log files anew."),
    ("USR2", "Have new code take over, with the same sockets and process id."),
)
_SUMMARY = "a reverse proxy and load balancer that checks the health of its backends"
_ASKING = (
    "Commands that ask or steer a running proxy ask its admin endpoint (the table [admin] of a"
    " configuration), and have these options beside their own. Options stand after the"
    " name of the command, before or after its words."
)


def _shared() -> tuple[Declared, Declared]:
    """What every command has, and what those that ask have."""
    return declared(Command), declared(AskingCommand)


def commands_page(groups: Groups) -> str:
    """docs/commands.md."""
    every, asking = _shared()
    out = [
        "# Commands",
        "",
        "This page is generated from the declarations in `lolly_tx/commands`, as are `lolly --help`, the manual"
        " page lolly(1) (`docs/man`) and the completion of shells (`lolly completion`).",
        "",
        "## Exit status",
        "",
        "| status | meaning |",
        "|---|---|",
        *(f"| {number} | {text} |" for number, text in _STATUS),
        "",
        "## Environment",
        "",
        "| variable | meaning |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in _ENVIRONMENT),
        "",
        "## Options of commands that ask a running proxy",
        "",
        _ASKING,
        "",
        *_option_table(asking.own(every)),
    ]
    for title, commands in groups:
        out += ["", f"## {title}"]
        for command in commands:
            found = declared(command)
            asks = issubclass(command, AskingCommand)
            out += ["", f"### lolly {found.name}", "", f"    {found.usage}", ""]
            out += [_escaped(found.summary), "", _escaped(found.description)]
            own = list(found.own(asking if asks else every))
            out += ["", *_option_table(own)] if own else []
            if asks:
                out += [
                    "",
                    "It asks a running proxy, and has the options of those that do.",
                ]
    return "\n".join(out) + "\n"


def _option_table(options: Iterable[Option]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for option in options:
        value = f" {option.takes.word}" if option.takes else ""
        default = f" Default: {option.default}." if option.default else ""
        names = ", ".join(option.names)
        yield f"| `{names}{value}` | {_escaped(option.doc)}{default} |"


def _escaped(text: str) -> str:
    """`text` within Markdown; what stands within backquotes there stays as it is."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([|<>*_])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def man_page(groups: Groups) -> str:
    """The manual page lolly(1), for man(1)."""
    every, asking = _shared()
    out = [
        '.\\" Made of the declarations in lolly_tx/commands.',
        '.TH LOLLY 1 "" lolly_tx "User Commands"',
        ".SH NAME",
        f"lolly \\- {_SUMMARY}",
        ".SH SYNOPSIS",
        ".B lolly",
        _roff("COMMAND [options] [words]"),
        ".SH DESCRIPTION",
        _roff(
            "lolly runs the proxy that a configuration describes, asks a running one what it is doing"
            " and why, and changes it. Each command tells of itself with --help."
        ),
    ]
    for title, commands in groups:
        out.append(f".SH {_quoted(title.upper())}")
        for command in commands:
            found = declared(command)
            asks = issubclass(command, AskingCommand)
            out += [f".SS {_quoted(found.usage)}", _roff(found.summary)]
            out += [".PP", _roff(found.description)]
            own = list(found.own(asking if asks else every))
            out += _roff_options(own)
            if asks:
                out += [".PP", "It asks a running proxy: see"]
                out += [".BR OPTIONS", "below."]
    out += [".SH OPTIONS", _roff(_ASKING), *_roff_options(asking.own(every))]
    out += [
        ".PP",
        "Every command and lolly itself have:",
        *_roff_options(every.options),
    ]
    for title, rows in (
        ("EXIT STATUS", _STATUS),
        ("ENVIRONMENT", _ENVIRONMENT),
        ("SIGNALS", _SIGNALS),
        ("FILES", _FILES),
    ):
        out.append(f".SH {_quoted(title)}")
        for name, text in rows:
            out += [".TP", f".B {_roff(name)}", _roff(text)]
    out += [
        ".SH SEE ALSO",
        ".BR twistd (1)",
        ".PP",
        _roff("`lolly check --reference` prints every setting of a configuration."),
    ]
    return "\n".join(out) + "\n"


def _roff_options(options: Iterable[Option]) -> Iterator[str]:
    for option in options:
        names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in option.names)
        value = f" \\fI{_roff(option.takes.word)}\\fR" if option.takes else ""
        default = f" Default: {option.default}." if option.default else ""
        yield from (".TP", names + value, _roff(option.doc + default))


def _roff(text: str) -> str:
    """`text` as a line of roff that stands for itself; what is between backquotes is bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return f"\\&{text}" if text.startswith((".", "\\(aq")) else text


def _quoted(text: str) -> str:
    """`text` as one argument of a macro."""
    return '"' + _roff(text).replace('"', "\\(dq") + '"'

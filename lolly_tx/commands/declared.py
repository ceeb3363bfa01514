"""What a command says of itself, as values: help, completion and manuals are made of nothing else.

Imports: Twisted. Used by: cli, commands.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from twisted.python import usage


@attrs.frozen
class Takes:
    """What a word of the command line is, or the value of an option.

    `word`: how synopses call it, "FILE". `files`: of which pattern, "*" for any; "" for no file. `choices`: there are
    no others.
    """

    word: str
    files: str = ""
    choices: tuple[str, ...] = ()


FILE = Takes("FILE", "*")
TOML_FILE = Takes("FILE", "*.toml")

_COLUMN = 28
"""Where help says what an option is for."""


@attrs.frozen
class Option:
    """`long`: without dashes; `short`: its letter, or "". `takes`: None for a flag. `default`: "" for none.

    `repeated`: it may be given again.
    """

    long: str
    short: str
    takes: Takes | None
    doc: str
    default: str = ""
    repeated: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """As it is written: "-j", "--json"."""
        short = (f"-{self.short}",) if self.short else ()
        return (*short, f"--{self.long}")


@attrs.frozen
class Declared:
    """A command. `synopsis`: what follows its name; `words`: what they are, of which the last may be repeated."""

    name: str
    summary: str
    synopsis: str
    description: str
    options: tuple[Option, ...]
    words: tuple[Takes, ...]

    @property
    def usage(self) -> str:
        """How it is called."""
        return f"lolly {self.name} {self.synopsis}".rstrip()

    def own(self, others: Declared) -> Iterator[Option]:
        """The options that `others` does not have."""
        return (one for one in self.options if one not in others.options)


def declared(command: type[Any]) -> Declared:
    """What the class of a command (`base.Command`) declares."""
    return Declared(
        command.name,
        command.summary,
        command.synopsis,
        command.longdesc,
        options_of(command(), _taken(command)),
        tuple(command.words),
    )


def _taken(command: type[Any]) -> Mapping[str, Takes]:
    """What the options take, those of the bases as well."""
    found: dict[str, Takes] = {}
    for cls in reversed(command.__mro__):
        found.update(vars(cls).get("takes", {}))
    return found


def options_of(parser: usage.Options, takes: Mapping[str, Takes]) -> tuple[Option, ...]:
    """The options that `parser` understands, by name; each that has a value is in `takes`."""
    letters = {
        long: short for short, long in parser.synonyms.items() if len(short) == 1
    }
    found = []
    for name in sorted(parser.longOpt):
        long, has_value, _ = name.partition("=")
        default = parser.defaults.get(long)
        found.append(
            Option(
                long,
                letters.get(long, ""),
                takes[long] if has_value else None,
                _sentence(parser.docs[long] or ""),
                str(default) if has_value and default else "",
                bool(has_value) and long not in parser.defaults,
            )
        )
    return tuple(found)


def _sentence(doc: str) -> str:
    return " ".join(doc.split())


def help_text(declared: Declared, width: int) -> str:
    """What `--help` prints below the synopsis, in lines of up to `width` characters."""
    lines = ["", *textwrap.wrap(declared.description, width), "", "Options:"]
    for option in declared.options:
        lines += _help_of(option, width)
    return "\n".join(lines) + "\n"


def _help_of(option: Option, width: int) -> list[str]:
    value = f" {option.takes.word}" if option.takes else ""
    written = "  " + ("" if option.short else "    ") + ", ".join(option.names) + value
    default = f" [default: {option.default}]" if option.default else ""
    said = textwrap.wrap(option.doc + default, max(20, width - _COLUMN))
    if len(written) + 2 > _COLUMN:
        first = [written]
    else:
        first = [written.ljust(_COLUMN) + said.pop(0)]
    return first + [" " * _COLUMN + line for line in said]

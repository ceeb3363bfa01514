"""`lolly hash-password`: what stands in a configuration in place of a password.

Imports: commands, domain.access, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from typing import Any, ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import Command
from lolly_tx.commands.declared import Takes
from lolly_tx.domain.access.passwords import (
    ALGORITHMS,
    SALT_BYTES,
    Unusable,
    hash_of,
    matches,
)

_LONGEST_BYTES = 4096


class HashPasswordCommand(Command):
    """`lolly hash-password`: of what is typed, or comes by standard input."""

    name = "hash-password"
    summary = "Make a hash of a password, or compare one with it."
    synopsis = "[--algorithm NAME | --verify HASH]"
    longdesc = (
        "Asks for a password, twice and without showing it, or reads a line of standard"
        " input, and prints its hash, for where a configuration wants one: a new one each"
        " time, because of its salt. scrypt needs nothing else; argon2 and bcrypt need"
        " `pip install 'lolly-tx[auth]'`. With --verify it says whether the password is that of"
        " HASH, and exits 1 if it is not."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["algorithm", "a", ALGORITHMS[0], f"How: {', '.join(ALGORITHMS)}."],
        ["verify", None, "", "Compare the password with this hash."],
    ]
    takes: ClassVar = {
        "algorithm": Takes("NAME", choices=ALGORITHMS),
        "verify": Takes("HASH"),
    }
    ask: Callable[[str], str] = staticmethod(getpass.getpass)

    def postOptions(self) -> None:
        """An algorithm that there is."""
        if self["algorithm"] not in ALGORITHMS:
            raise usage.UsageError(f"--algorithm is one of {', '.join(ALGORITHMS)}")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print the hash, or whether it is the one."""
        try:
            if self["verify"]:
                right = matches(self["verify"], self._password(once=True))
                out.write("it is the password\n" if right else "it is another one\n")
                return 0 if right else 1
            password = self._password(once=False)
            out.write(
                f"{hash_of(password, os.urandom(SALT_BYTES), self['algorithm'])}\n"
            )
        except Unusable as error:
            err.write(f"lolly hash-password: {error}\n")
            return 1
        return 0

    def _password(self, once: bool) -> bytes:
        """What was typed, or the first line of standard input. Raises Unusable."""
        if sys.stdin is None:
            raise Unusable("there is no standard input to read the password from")
        if not sys.stdin.isatty():
            line = sys.stdin.buffer.readline(_LONGEST_BYTES + 1)
            if len(line) > _LONGEST_BYTES:
                raise Unusable(f"more than {_LONGEST_BYTES} bytes are no password")
            return line.rstrip(b"\r\n")
        try:
            typed = self.ask("Password: ")
            if not once and self.ask("Again: ") != typed:
                raise Unusable("the two differ")
        except EOFError:
            raise Unusable("nothing was typed") from None
        return typed.encode("utf-8", "surrogateescape")

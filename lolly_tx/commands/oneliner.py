"""What commands have in common that serve without a file: they write its text themselves.

The text goes through the same loader as a file, so whatever it refuses is refused here.

Imports: commands, config, Twisted. Used by: commands.file_server,
commands.forward_proxy, commands.reverse_proxy, commands.tunnel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import Command, shown
from lolly_tx.commands.declared import FILE, Takes
from lolly_tx.commands.installed import installed_names
from lolly_tx.commands.places import Place, literal, place
from lolly_tx.commands.running import COMMAND_LINE, serve
from lolly_tx.config import ConfigErrors, parse

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
ADDRESS = Takes("ADDR")
LOCAL = "127.0.0.1"


class FromText(Command):
    """A command that serves what its options say, by the `text` of a configuration."""

    optFlags: ClassVar[list[list[Any]]] = [
        ["print-config", "p", "Print the same as a configuration, and do not serve."]
    ]

    def where(self, option: str) -> Place:
        """The address that an option has. Raises UsageError."""
        return _read(option, self[option])

    def places(self, option: str) -> list[Place]:
        """The addresses that an option has that may be repeated. Raises UsageError."""
        return [_read(option, one) for one in self[option]]

    def run(self, out: TextIO, err: TextIO) -> int:
        """Serve, or print the configuration."""
        text = self.text()
        try:
            parse(text, COMMAND_LINE, os.environ, names=installed_names())
        except ConfigErrors as errors:
            for one in errors.problems:
                got = f" (got {one.value})" if one.value else ""
                said = f"{one.key}: {one.message}{got}"
                err.write(f"lolly {self.name}: {shown(said)}\n")
            return 2
        if self["print-config"]:
            out.write(text)
            return 0
        return serve("--settings", text)

    def text(self) -> str:
        """The configuration."""
        raise NotImplementedError


class OneLiner(FromText):
    """A command that serves what its options say, at the address of --from, as listener `web`.

    A command of this kind adds routes and what they lead to by `served`.
    """

    optParameters: ClassVar[list[list[Any]]] = [
        ["from", "f", f"{LOCAL}:8080", "Where to listen."],
        ["certificate", None, "", "PEM file: serve https with it."],
        ["key", None, "", "PEM file with its key, if that is not in the same file."],
        [
            "acme",
            None,
            "",
            "Serve https with certificates of Let's Encrypt, kept in this folder; port 443"
            " of the host of --from has to lead here.",
        ],
        ["access-log", "l", "", 'File for a line for each request; "-" to show them.'],
        [
            "admin",
            None,
            "",
            "Where the admin side listens, such as 8081; else nowhere.",
        ],
        ["workers", "w", "", 'Processes that serve; "auto" for one per core.'],
    ]
    takes: ClassVar[Mapping[str, Takes]] = {
        "from": ADDRESS,
        "certificate": FILE,
        "key": FILE,
        "acme": Takes("FOLDER", "*"),
        "access-log": FILE,
        "admin": ADDRESS,
        "workers": Takes("N"),
    }

    def postOptions(self) -> None:
        """What goes together."""
        where = self.where("from")
        if self["certificate"] and self["acme"]:
            raise usage.UsageError("give --certificate or --acme, not both")
        if self["key"] and not self["certificate"]:
            raise usage.UsageError("--key needs --certificate")
        if self["acme"] and not where.is_name:
            raise usage.UsageError("--acme needs a host in --from: https://example.com")
        secure = self["certificate"] or self["acme"]
        if where.scheme == "https" and not secure:
            raise usage.UsageError("https needs --certificate FILE, or --acme FOLDER")
        if where.scheme == "http" and secure:
            raise usage.UsageError("--certificate and --acme are for https")
        if self["admin"]:
            self.where("admin")

    def text(self) -> str:
        """The configuration."""
        where = self.where("from")
        lines = []
        if self["workers"]:
            number = self["workers"]
            lines.append(
                f"workers = {number if number.isdecimal() else literal(number)}"
            )
        if self["acme"]:
            lines.append(f"state_dir = {literal(self['acme'])}")
        if self["access-log"]:
            lines.append(f"access_log = {{ path = {literal(self['access-log'])} }}")
        if self["admin"]:
            listening = self.where("admin").listening(LOCAL)
            lines += ["", "[admin]", f"endpoint = {literal(listening)}"]
        lines += ["", "[listener.web]", f"endpoint = {literal(where.listening())}"]
        if self["certificate"]:
            lines.append(f"tls.certificate = {literal(self['certificate'])}")
        if self["key"]:
            lines.append(f"tls.key = {literal(self['key'])}")
        if self["acme"]:
            lines.append('tls.acme = "letsencrypt"')
            lines += ["", "[acme.letsencrypt]", f"directory = {literal(LETS_ENCRYPT)}"]
            lines.append('challenge = "tls-alpn-01"')
        lines += ["", "[[route]]"]
        if where.is_name:
            lines.append(f"host = {literal(where.host)}")
        lines += self.served()
        return "\n".join(lines).lstrip() + "\n"

    def served(self) -> list[str]:
        """The lines that follow `[[route]]` and its host: where it ends, and the tables of that."""
        raise NotImplementedError


def _read(option: str, text: str) -> Place:
    try:
        return place(text)
    except ValueError as error:
        raise usage.UsageError(f"--{option}: {error}") from None

"""`lolly forward-proxy`: a forward proxy in one line, without a file.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.python import usage

from lolly_tx.commands.declared import FILE, Takes
from lolly_tx.commands.oneliner import ADDRESS, LOCAL, FromText
from lolly_tx.commands.places import literal


class ForwardProxyCommand(FromText):
    """`lolly forward-proxy --from ADDR --user NAME:HASH`."""

    name = "forward-proxy"
    summary = "Go where clients say (HTTP, SOCKS5), without a file."
    synopsis = "[--from ADDR] [--user NAME:HASH ...] [--allow NETWORK ...] [options]"
    longdesc = (
        "Listens at --from for HTTP and SOCKS5, until it is interrupted. Clients log in as a --user, whose"
        " HASH is what lolly hash-password prints, or come from a network of --allow. With neither only this"
        " machine may use it, and it listens nowhere else. Clients may go to ports 80 and 443 of public"
        " addresses; --port and --allow-target open more."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["from", "f", f"{LOCAL}:3128", "Where to listen."],
        ["users-file", None, "", "File of lines NAME:HASH, as of htpasswd -B."],
        ["certificate", None, "", "PEM file: an HTTPS proxy with it."],
        ["key", None, "", "PEM file with its key, if that is not in the same file."],
        ["access-log", "l", "", 'File for a line for each request; "-" to show them.'],
        [
            "admin",
            None,
            "",
            "Where the admin side listens, such as 8081; else nowhere.",
        ],
    ]
    takes: ClassVar = {
        "from": ADDRESS,
        "user": Takes("NAME:HASH"),
        "users-file": FILE,
        "allow": Takes("NETWORK"),
        "port": Takes("PORT"),
        "allow-target": Takes("NETWORK"),
        "certificate": FILE,
        "key": FILE,
        "access-log": FILE,
        "admin": ADDRESS,
    }

    def __init__(self) -> None:
        super().__init__()
        for option in ("user", "allow", "port", "allow-target"):
            self[option] = []

    def opt_user(self, user: str) -> None:
        """A name and the hash of a password; may be repeated."""
        self["user"].append(user)

    def opt_allow(self, network: str) -> None:
        """A network that clients may come from; may be repeated."""
        self["allow"].append(network)

    def opt_port(self, port: str) -> None:
        """A port that clients may go to, or any; may be repeated. Else 80 and 443."""
        self["port"].append(port)

    def opt_allow_target(self, target: str) -> None:
        """A network or name that clients may go to although it is private; may be repeated."""
        self["allow-target"].append(target)

    def postOptions(self) -> None:
        """What is needed, and what goes together."""
        self.where("from")
        if self["key"] and not self["certificate"]:
            raise usage.UsageError("--key needs --certificate")
        if self["admin"]:
            self.where("admin")
        for user in self["user"]:
            if ":" not in user:
                raise usage.UsageError("--user: must be NAME:HASH")

    def text(self) -> str:
        """The configuration."""
        lines = []
        if self["access-log"]:
            lines.append(f"access_log = {{ path = {literal(self['access-log'])} }}")
        if self["admin"]:
            listening = self.where("admin").listening(LOCAL)
            lines += ["", "[admin]", f"endpoint = {literal(listening)}"]
        where = self.where("from").listening(LOCAL)
        lines += ["", "[forward.proxy]", f"endpoint = {literal(where)}"]
        users = dict(user.split(":", 1) for user in self["user"])
        if users:
            pairs = (f"{literal(name)} = {literal(one)}" for name, one in users.items())
            lines.append(f"users = {{ {', '.join(pairs)} }}")
        if self["users-file"]:
            lines.append(f"users_file = {literal(self['users-file'])}")
        allow = self["allow"]
        if not (allow or users or self["users-file"]):
            allow = ["127.0.0.0/8", "::1"]
        if allow:
            lines.append(f"allow = [{', '.join(map(literal, allow))}]")
        if self["port"]:
            ports = (one if one.isdecimal() else literal(one) for one in self["port"])
            lines.append(f"ports = [{', '.join(ports)}]")
        if self["allow-target"]:
            opened = ", ".join(map(literal, self["allow-target"]))
            lines.append(f"allow_targets = [{opened}]")
        for key in ("certificate", "key"):
            if self[key]:
                lines.append(f"tls.{key} = {literal(self[key])}")
        return "\n".join(lines).lstrip() + "\n"

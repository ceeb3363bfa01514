"""`lolly tunnel`: a connector in one line, without a file.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from twisted.python import usage

from lolly_tx.commands.declared import FILE, Takes
from lolly_tx.commands.oneliner import ADDRESS, LOCAL, FromText
from lolly_tx.commands.places import Place, literal, place

SECRET = "LOLLY_TUNNEL_SECRET"
_PUBLISHED = Takes("WHERE=ADDR")


class TunnelCommand(FromText):
    """`lolly tunnel --server HOST:PORT --name NAME --http HOST=ADDR ...`."""

    name = "tunnel"
    summary = "Publish services at a server, without a file."
    synopsis = (
        "--server ADDR --name NAME [--http [SERVICE@]HOST=ADDR ...]"
        " [--tcp [SERVICE@]PORT=ADDR ...] [options]"
    )
    longdesc = (
        "Connects to the [tunnel] of a server and has services published there, until it is"
        " interrupted: --http at a host, --tcp at a port of the server, as far as the server"
        " permits it. SERVICE is what it is called there; else the first of --http is web, the"
        " second web-2, and those of --tcp are port-PORT. An ADDR is 3000 (a port of this machine), host:3000 or"
        f" unix:PATH. The secret is taken from the environment, {SECRET}."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["server", "s", "", "The server: HOST:PORT with TLS, or unix:PATH."],
        ["name", "n", "", "What this connector is called at the server."],
        ["ca", None, "", "PEM file of authorities to trust; else those of the system."],
        ["certificate", None, "", "PEM file with a certificate to show to the server."],
        ["key", None, "", "PEM file with its key, if that is not in the same file."],
        ["connections", None, "", "How many to keep open; else one."],
        [
            "admin",
            None,
            "",
            "Where the admin side listens, such as 8081; else nowhere.",
        ],
    ]
    takes: ClassVar = {
        "server": ADDRESS,
        "name": Takes("NAME"),
        "http": _PUBLISHED,
        "tcp": _PUBLISHED,
        "ca": FILE,
        "certificate": FILE,
        "key": FILE,
        "connections": Takes("N"),
        "admin": ADDRESS,
    }

    def __init__(self) -> None:
        super().__init__()
        self["http"] = []
        self["tcp"] = []

    def opt_http(self, published: str) -> None:
        """A host to serve, and what serves it; may be repeated."""
        self["http"].append(published)

    def opt_tcp(self, published: str) -> None:
        """A port of the server, and where it leads; may be repeated."""
        self["tcp"].append(published)

    def postOptions(self) -> None:
        """What is needed."""
        for option in ("server", "name"):
            if not self[option]:
                raise usage.UsageError(f"--{option} is needed")
        if not self["http"] and not self["tcp"]:
            raise usage.UsageError("--http or --tcp is needed")
        if self["key"] and not self["certificate"]:
            raise usage.UsageError("--key needs --certificate")
        if not self["certificate"] and not os.environ.get(SECRET):
            raise usage.UsageError(f"the environment needs {SECRET}")
        for kind in ("http", "tcp"):
            for one in self[kind]:
                self._published(kind, one)
        server = self.where("server")
        if server.scheme == "http" and "://" in self["server"]:
            raise usage.UsageError("--server: TLS is not to be left out")
        if self["admin"]:
            self.where("admin")

    def _published(self, kind: str, text: str) -> tuple[str, str, Place]:
        """The service, where it is to be, and what serves it. Raises UsageError."""
        at, equals, address = text.partition("=")
        service, named, where = at.rpartition("@")
        if not equals or not where or (kind == "tcp" and not where.isdecimal()):
            form = "PORT" if kind == "tcp" else "HOST"
            raise usage.UsageError(f"--{kind}: must be {form}=ADDR")
        if not named:
            number = self[kind].index(text) + 1
            service = f"port-{where}" if kind == "tcp" else "web"
            if kind == "http" and number > 1:
                service = f"web-{number}"
        try:
            return service, where, place(address)
        except ValueError as error:
            raise usage.UsageError(f"--{kind}: {error}") from None

    def text(self) -> str:
        """The configuration."""
        lines = []
        if self["admin"]:
            listening = self.where("admin").listening(LOCAL)
            lines += ["[admin]", f"endpoint = {literal(listening)}", ""]
        lines += ["[connector.tunnel]", f"server = {literal(self._server())}"]
        lines.append(f"name = {literal(self['name'])}")
        otherwise = ":-" if self["certificate"] else ""
        lines.append(f'secret = "${{{SECRET}{otherwise}}}"')
        for key in ("ca", "certificate", "key"):
            if self[key]:
                lines.append(f"tls.{key} = {literal(self[key])}")
        if self["connections"]:
            number = self["connections"]
            lines.append(
                f"connections = {number if number.isdecimal() else literal(number)}"
            )
        services, published = [], []
        for kind in ("http", "tcp"):
            for one in self[kind]:
                name, at, address = self._published(kind, one)
                name = literal(name)
                services.append(f"{name} = {literal(_endpoint(address))}")
                where = f"port = {at}" if kind == "tcp" else f"host = {literal(at)}"
                published.append(f"{{ service = {name}, {where} }}")
        lines.append(f"services = {{ {', '.join(services)} }}")
        lines.append(f"publish = [{', '.join(published)}]")
        return "\n".join(lines) + "\n"

    def _server(self) -> str:
        where = self.where("server")
        if where.path:
            return f"unix:{where.path}"
        host = (where.host or LOCAL).replace(":", "\\:")
        return f"tls:{host}:{where.port}"


def _endpoint(address: Place) -> str:
    """Where a service is."""
    if address.path:
        return f"unix:{address.path}"
    host = (address.host or LOCAL).replace(":", "\\:")
    return f"tcp:{host}:{address.port}"

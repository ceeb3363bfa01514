"""Where servers listen: addresses, which several of them may share, and the names they are told apart by.

Imports: importing, importing.nginx. Used by: importing.nginx.securing,
importing.nginx.servers, importing.nginx.streams.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from lolly_tx.importing.draft import plain_name
from lolly_tx.importing.fitting import fits_host
from lolly_tx.importing.listened import (
    listened_at,
    name_of_port,
    together,
    unix_endpoint,
)
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.values import expression, network, split_port
from lolly_tx.importing.nginx.work import Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_KERNEL = re.compile(
    r"(?:reuseport|bind|deferred|sndbuf|rcvbuf|so_keepalive|fastopen|setfib)(?:=.*)?"
)
_EVERYBODY = ["0.0.0.0/0", "::/0"]


@attrs.define
class Listen:
    """One `listen` of a server. `name`: of the listener."""

    statement: Statement
    name: str
    endpoint: str
    default: bool


@attrs.define
class Server:
    """A server. `names`: as routes have them; without any only the default of an address is reached."""

    statement: Statement
    scope: Scope
    names: list[str] = attrs.field(factory=list)
    listens: list[Listen] = attrs.field(factory=list)


def listens_of(work: Work, server: Server) -> None:
    """Have the listeners of a server made, as far as they are not there."""
    found = server.scope.own("listen")
    if not found:
        unsaid = Statement("listen", ("80",), *_place(server.statement))
        server.listens.append(_listen(work, unsaid, server))
        return
    work.report.carry(
        found, lambda one: server.listens.append(_listen(work, one, server))
    )


def _place(statement: Statement) -> tuple[str, int]:
    return statement.file, statement.line


def _listen(work: Work, one: Statement, server: Server) -> Listen:
    name, endpoint = _address(one.args[0] if one.args else "80")
    words = list(one.args[1:])
    backlog = [word for word in words if word.startswith("backlog=")]
    if backlog and "backlog=" not in endpoint:
        endpoint += f":{backlog[0]}"
    listener = work.draft.listeners.setdefault(name, {"endpoint": endpoint})
    listener["endpoint"] = together(listener["endpoint"], endpoint)
    listen = Listen(one, name, endpoint, False)
    for word in words:
        if word in ("default_server", "default"):
            listen.default = True
        elif word == "ssl":
            listener.setdefault("tls", {})
        elif word == "http2":
            listener["http2"] = True
        elif word == "proxy_protocol":
            listener["proxy_protocol"] = balancers(work, one, server.scope)
        elif word.startswith("ipv6only="):
            if word.endswith("off"):
                work.report.leave(one, "IPv4 needs a listener of its own", word)
        elif is_of_the_kernel(word):
            work.report.needless(
                one, "of the kernel's socket, which is set for you", word
            )
        elif not word.startswith("backlog="):
            work.report.leave(one, "there is no such setting of a listener", word)
    return listen


def _address(text: str) -> tuple[str, str]:
    """Name and endpoint of what is listened on. Raises `NotThere`."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        name = path.rpartition("/")[2].partition(".")[0]
        return plain_name(f"unix-{name}"), unix_endpoint(path)
    if text.isdigit():
        text = f"*:{text}"
    host, port = split_port(text)
    port = port or 80
    return listened_at(name_of_port(port), "tcp", host, port)


def is_of_the_kernel(word: str) -> bool:
    """Whether a word of `listen` is about the socket alone."""
    return _KERNEL.fullmatch(word) is not None


def balancers(work: Work, one: Statement, scope: Scope) -> list[str]:
    """Who has to begin with a PROXY header."""
    found = []
    for real in scope.nearest("set_real_ip_from"):
        try:
            found.append(network(real.args[0]))
        except NotThere as error:
            work.report.leave(real, str(error))
    if not found:
        why = "nothing says of whom; now anybody may, and say who the client is: write their networks"
        work.report.note(one, why, "proxy_protocol")
    return found or list(_EVERYBODY)


def defaults(servers: Iterable[Server]) -> None:
    """Where nobody is the default of an address, the first server is."""
    by_name: dict[str, list[Listen]] = {}
    for server in servers:
        for listen in server.listens:
            by_name.setdefault(listen.name, []).append(listen)
    for listens in by_name.values():
        if not any(listen.default for listen in listens):
            listens[0].default = True


def names_of(work: Work, server: Server) -> None:
    """The names of a server, as routes have them."""
    for one in server.scope.own("server_name"):
        for name in one.args:
            if name in ("", "_"):
                continue
            name = expression(name)
            names = [name[1:], f"*{name}"] if name.startswith(".") else [name]
            try:
                if name == "$hostname":
                    raise NotThere("what this machine is called is not said in files")
                for pattern in names:
                    fits_host(pattern)
            except NotThere as error:
                work.report.leave(one, str(error), name)
                continue
            server.names += [n if n.startswith("~") else n.lower() for n in names]
        work.report.take(one)
    server.names = list(dict.fromkeys(server.names))

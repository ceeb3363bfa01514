"""The servers of lolly: listeners, and a route for each of their `proxy` blocks.

Imports: config.kinds, importing, importing.lolly. Used by: importing.lolly.convert,
importing.lolly.streams.

`table_of` has a line for each key that is carried over.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence

import attrs

from lolly_tx.config.kinds.plain import duration_text, size_text
from lolly_tx.importing.draft import Draft, Table, plain_name
from lolly_tx.importing.largest import Largest
from lolly_tx.importing.listened import (
    listened_at,
    name_of_port,
    together,
    unix_endpoint,
)
from lolly_tx.importing.lolly.proxies import Block, path_of, pool_of
from lolly_tx.importing.lolly.reading import Carry, Value, walk
from lolly_tx.importing.lolly.values import count, seconds, size_bytes, tls_version
from lolly_tx.importing.report import NotThere, Report

LISTEN = re.compile(r"(.*):(\d{1,5})")
_CLIENT = {
    "on": "require",
    "require": "require",
    "optional": "request",
    "request": "request",
    "off": "off",
}


def _bytes(value: float) -> object:
    return size_text(int(value))


def _whole(value: float) -> object:
    return int(value)


@attrs.define
class Work:
    """`folder`: what names of files are relative to."""

    draft: Draft
    report: Report
    folder: str
    whole: dict[str, Largest] = attrs.field(factory=dict)
    trusted: list[str] = attrs.field(factory=list)

    def path(self, value: Value) -> str:
        """The file that `value` names. Raises `NotThere`."""
        return os.path.normpath(os.path.join(self.folder, value.text))

    def largest(
        self,
        table: str,
        key: str,
        read: Callable[[Value], float],
        write: Callable[[float], object],
    ) -> Carry:
        """A setting that is one for all servers; 0 is no limit."""

        def carry(value: Value) -> None:
            kept = self.whole.setdefault(f"{table}.{key}", Largest(table, key, write))
            kept.add(value.statement, read(value) or math.inf)

        return carry


@attrs.define
class Site:
    """A server. `listener`: its name."""

    value: Value
    work: Work
    listener: str = ""
    names: list[str] = attrs.field(factory=list)
    default: bool = False

    @property
    def table(self) -> Table:
        """The listener itself."""
        return self.work.draft.listeners[self.listener]

    def tls(self, key: str, found: object) -> None:
        """Set one key of the listener's TLS, if nobody has before."""
        tls = self.table.setdefault("tls", {})
        if tls.setdefault(key, found) != found:
            raise NotThere("one for a listener: that of its first server")


def serve(work: Work, servers: Sequence[Value]) -> None:
    """Have all servers carried over."""
    sites = []
    for value in servers:
        site = Site(value, work)
        work.report.enter(value.statement)
        listen = value.at("listen")
        if listen is None:
            work.report.leave_whole(value.statement, "listens nowhere")
            continue
        work.report.carry([listen.statement], lambda _, s=site, v=listen: _listen(s, v))  # type: ignore[misc]
        if not site.listener:
            continue
        work.report.take(value.statement)
        walk(value, table_of(site), work.report)
        if (name := value.at("name")) is not None:
            work.report.take(name.statement)
            if not site.names and "." in name.text:
                site.names = [name.text.lower()]
        sites.append(site)
    for kept in work.whole.values():
        kept.settle(work.draft, work.report)
    for site in sites:
        here = [one for one in sites if one.listener == site.listener]
        _routes(site, alone=len(here) == 1)


def _listen(site: Site, value: Value) -> None:
    text, draft = value.text, site.work.draft
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        name = plain_name(f"unix-{os.path.basename(path).partition('.')[0]}")
        endpoint = unix_endpoint(path)
    else:
        match = LISTEN.fullmatch(text)
        if match is None:
            raise NotThere(f"{text} is no address to listen on")
        port = int(match[2])
        name, endpoint = listened_at(name_of_port(port), "tcp", match[1], port)
    listener = draft.listeners.setdefault(name, {"endpoint": endpoint})
    listener["endpoint"] = together(listener["endpoint"], endpoint)
    site.listener = name


def _names(site: Site) -> Carry:
    def carry(value: Value) -> None:
        for name in value.texts:
            if name.startswith("~") or name.endswith("*"):
                why = "a host is a name, or *. and the rest of one"
                site.work.report.leave(value.statement, why, name)
            elif name:
                site.names.append(name.lower())

    return carry


def _default(site: Site) -> Carry:
    def carry(value: Value) -> None:
        site.default = value.flag

    return carry


def _mode(site: Site) -> Carry:
    def carry(value: Value) -> None:
        if not site.table["endpoint"].startswith("unix:"):
            raise NotThere("it listens on no UNIX socket")
        mode = value.text.removeprefix("0o").lstrip("0")
        if not re.fullmatch("[0-7]{3}", mode):
            raise NotThere(f"{value.text} is no mode of a file")
        site.table["endpoint"] += f":mode={mode}"

    return carry


def secured(work: Work, put: Callable[[str, object], None]) -> dict[str, Carry]:
    """What each key becomes that says how TLS is spoken to clients. `put`: sets one of ours."""

    def client(value: Value) -> None:
        if value.text not in _CLIENT:
            raise NotThere(
                "a certificate of a client that nobody has signed is refused"
            )
        put("client", _CLIENT[value.text])

    files = {
        f"ssl.{key}": lambda v, k=ours: put(k, work.path(v))
        for key, ours in (
            ("cert", "certificate"),
            ("key", "key"),
            ("client_verify.client_ca", "client_ca"),
            ("client_verify.crl", "client_crl"),
        )
    }
    return {
        **files,
        "ssl.protocols": lambda v: put("minimum", tls_version(v)),
        "ssl.client_verify.mode": client,
        "ssl.client_verify.enabled": lambda v: None,
    }


def table_of(site: Site) -> dict[str, Carry]:
    """What each key of a server becomes."""
    work = site.work
    return {
        "server_names": _names(site),
        "default": _default(site),
        "unix_socket.mode": _mode(site),
        **secured(work, site.tls),
        "ssl.ocsp_stapling": lambda v: site.tls("ocsp", v.flag),
        "ssl.http2.enabled": lambda v: site.table.update(http2=v.flag),
        "client_max_body_size": work.largest("limits", "body_size", size_bytes, _bytes),
        "read_buffer_size": work.largest("limits", "head_size", size_bytes, _bytes),
        "read_timeout": work.largest("timeouts", "body", seconds, duration_text),
        "write_timeout": work.largest("timeouts", "write", seconds, duration_text),
        "idle_timeout": work.largest("timeouts", "keepalive", seconds, duration_text),
        "max_conns_per_ip": work.largest(
            "limits", "connections_per_client", count, _whole
        ),
        "max_requests_per_conn": work.largest(
            "limits", "requests_per_connection", count, _whole
        ),
        "concurrency": work.largest("limits", "connections", count, _whole),
        "security.access.trusted_proxies": lambda v: work.trusted.extend(v.texts),
    }


def _routes(site: Site, alone: bool) -> None:
    work, proxies = site.work, site.value.at("proxy")
    if proxies is None:
        return
    work.report.enter(proxies.statement)
    work.report.take(proxies.statement)
    for value in proxies.items:
        work.report.enter(value.statement)
        block = Block(value, work.report)
        try:
            path = path_of(block)
            name, pool = pool_of(block)
        except NotThere as error:
            work.report.leave_whole(value.statement, str(error))
            continue
        hosts = [] if alone or site.default or not site.names else site.names
        if not work.draft.claim([site.listener], hosts, path):
            why = "another server has the same names, address and path, and comes first"
            work.report.leave_whole(value.statement, why)
            continue
        work.report.take(value.statement)
        route: Table = {}
        if len(work.draft.listeners) > 1:
            route["listener"] = site.listener
        if hosts:
            route["host"] = hosts[0] if len(hosts) == 1 else hosts
        if path != "/":
            route["path"] = path
        route["pool"] = work.draft.pool(name, pool)
        work.draft.comment(route, f"{value.statement.file}:{value.statement.line}")
        work.draft.routes.append(route)

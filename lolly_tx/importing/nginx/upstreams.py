"""Where requests go: the address of a `proxy_pass`, and the group of servers that it may name.

Imports: importing, importing.nginx. Used by: importing.nginx.guards,
importing.nginx.locations, importing.nginx.streams.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import attrs

from lolly_tx.importing.draft import Table
from lolly_tx.importing.listened import unix_endpoint
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.values import (
    count,
    has_variable,
    host,
    seconds,
    split_port,
    time_text,
)
from lolly_tx.importing.nginx.work import Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_MAX_FAILS, _FAIL_TIMEOUT = 1, "10s"
"""What nginx has where nothing is said."""
_PASS = re.compile(
    r"(https?|grpcs?)://(?:unix:([^:]+)(?::(/.*)?)?|([^/]*)(/.*)?)", re.S
)


@attrs.frozen
class Address:
    """`where`: a name with or without a port, or that of a group; `unix`: the path of a socket in its place.

    `path`: what takes the place of the location in the path; None when it says nothing of paths. `scheme`: of targets
    that are none of HTTP's, which have no port of their own.
    """

    tls: bool
    grpc: bool
    where: str
    unix: str
    path: str | None
    scheme: str = ""


def address_of(text: str) -> Address:
    """What `proxy_pass` and `grpc_pass` name. Raises `NotThere`."""
    if has_variable(text):
        raise NotThere("targets are those of the file, not another for each request")
    if "://" not in text:
        text = f"grpc://{text}"
    match = _PASS.fullmatch(text)
    if match is None:
        raise NotThere(f"{text} is no address of a target")
    scheme, unix, unix_path, where, path = match.groups()
    return Address(
        scheme in ("https", "grpcs"),
        scheme.startswith("grpc"),
        where or "",
        unix or "",
        unix_path if unix else path,
    )


def pool_at(work: Work, address: Address) -> tuple[str, Table, str]:
    """The name of the pool for an address, the pool, and the Host that nginx sends there, "" = the target's.

    Raises `NotThere`.
    """
    pool: Table = {}
    group = work.upstreams.get(address.where)
    if group is not None:
        _group(work, group, address, pool)
        name, sent = address.where, address.where
    else:
        pool["targets"] = [_target(address.unix or address.where, address)]
        name = address.unix.rpartition("/")[2] or address.where
        sent = "localhost" if address.unix else ""
    if address.grpc:
        pool["protocol"] = "h2" if address.tls else "h2c"
    return name, pool, sent


def _target(text: str, address: Address, port: int | None = None) -> str | Table:
    if address.unix or text.startswith("unix:"):
        if address.tls:
            raise NotThere("no TLS is spoken to UNIX sockets")
        return {"endpoint": unix_endpoint(text.removeprefix("unix:"))}
    name, own = split_port(text)
    if has_variable(text) or not name:
        raise NotThere(f"{text} is no address of a target")
    if address.scheme:
        if own is None:
            raise NotThere(f"{text} has no port")
        return f"{address.scheme}://{host(name)}:{own}"
    scheme = "https" if address.tls else "http"
    port = own or port or (443 if address.tls else 80)
    return f"{scheme}://{host(name)}:{port}"


@attrs.define
class _Servers:
    """What the servers of a group say that a pool says once for all."""

    fails: Counter[tuple[int, str]] = attrs.field(factory=Counter)
    slow_start: Counter[str] = attrs.field(factory=Counter)


def _group(work: Work, group: Statement, address: Address, pool: Table) -> None:
    work.report.enter(group)
    scope = Scope(group.block or ())
    pool["targets"] = []
    said = _Servers()
    servers = scope.own("server")
    work.report.carry(servers, lambda one: _server(work, one, address, pool, said))
    if not pool["targets"]:
        raise NotThere(f"upstream {address.where} has no server that can be carried")
    _failures(work, servers, pool, said)
    for one in scope.statements:
        if one.name in GROUP:
            work.report.carry([one], lambda one: GROUP[one.name](work, one, pool))
    work.report.take(group)


def _server(
    work: Work, one: Statement, address: Address, pool: Table, said: _Servers
) -> None:
    if not one.args:
        raise NotThere("names no server")
    target = _target(one.args[0], address, port=80)
    table: Table = dict(target) if isinstance(target, dict) else {"url": target}
    fails, fail_timeout = _MAX_FAILS, _FAIL_TIMEOUT
    for word in one.args[1:]:
        key, _, value = word.partition("=")
        if key in ("weight", "max_conns"):
            if count(value) or key == "weight":
                table[key] = count(value)
        elif word in ("backup", "down"):
            table[word] = True
        elif key == "max_fails":
            fails = count(value)
        elif key == "fail_timeout":
            fail_timeout = time_text(value)
        elif key == "slow_start":
            said.slow_start[time_text(value)] += 1
        elif word == "resolve":
            work.report.needless(one, "names are looked up while it runs", word)
        else:
            work.report.leave(one, "there is no such setting of a target", word)
    said.fails[(fails, fail_timeout)] += 1
    pool["targets"].append(table["url"] if list(table) == ["url"] else table)


def _failures(
    work: Work, servers: list[Statement], pool: Table, said: _Servers
) -> None:
    """`max_fails`, `fail_timeout` and `slow_start`: those of most servers are those of the pool."""
    if said.slow_start:
        pool["slow_start"] = said.slow_start.most_common(1)[0][0]
    named = ("max_fails=", "fail_timeout=")
    saying = [one for one in servers if any(w.startswith(named) for w in one.args)]
    if len(pool["targets"]) == 1:
        for one in saying:
            why = "nginx does not go by it where there is but one server"
            work.report.needless(one, why, "max_fails, fail_timeout")
        return
    (fails, fail_timeout), _ = said.fails.most_common(1)[0]
    pool["passive"] = {"max_fails": fails}
    if fails:
        pool["passive"]["fail_timeout"] = fail_timeout
    if len(said.fails) > 1:
        most = f"max_fails={fails} fail_timeout={fail_timeout}"
        for one in saying:
            why = f"a pool has one of each: those of most servers, {most}"
            work.report.leave(one, why, "max_fails, fail_timeout")


def _balance(name: str) -> Callable[[Work, Statement, Table], None]:
    def carry(work: Work, one: Statement, pool: Table) -> None:
        if one.args and name != "random":
            why = "it has no parameters here"
            work.report.leave(one, why, " ".join(one.args))
        pool["balance"] = name

    return carry


_KEYS = (
    (r"\$(?:binary_)?remote_addr", "ip"),
    (r"\$(?:request_uri|uri)(?:\$is_args\$args)?", "uri"),
    (r"\$scheme\$proxy_host\$(?:request_)?uri", "uri"),
)


def _hash(work: Work, one: Statement, pool: Table) -> None:
    key = one.args[0]
    found = next((word for form, word in _KEYS if re.fullmatch(form, key)), "")
    if match := re.fullmatch(r"\$(http|cookie)_(\w+)", key):
        kind, name = match.groups()
        name = name.replace("_", "-") if kind == "http" else name
        found = f"{'header' if kind == 'http' else kind}:{name}"
    if not found:
        raise NotThere(f"{key} is no key that targets are chosen by")
    pool["balance"], pool["hash_key"] = "consistent_hash", found
    if "consistent" not in one.args[1:]:
        work.report.note(one, "hashing is consistent here: other targets than before")


def _least_time(work: Work, one: Statement, pool: Table) -> None:
    pool["balance"] = "least_time"
    metric = {"header": "header", "last_byte": "last_byte"}
    if one.args[:1] and one.args[0] in metric:
        pool["least_time"] = {"metric": metric[one.args[0]]}


def _connections(
    key: str, read: Callable[[str], object]
) -> Callable[[Work, Statement, Table], None]:
    def carry(work: Work, one: Statement, pool: Table) -> None:
        if key == "idle_timeout" and not seconds(one.args[0]):
            raise NotThere("write connections.idle = 0 to keep none")
        pool.setdefault("connections", {})[key] = read(one.args[0])

    return carry


GROUP: dict[str, Callable[[Work, Statement, Table], None]] = {
    "least_conn": _balance("least_conn"),
    "ip_hash": _balance("ip_hash"),
    "random": _balance("random"),
    "hash": _hash,
    "least_time": _least_time,
    "keepalive": _connections("idle", count),
    "keepalive_requests": _connections("requests", count),
    "keepalive_timeout": _connections("idle_timeout", time_text),
    "keepalive_time": _connections("lifetime", time_text),
}
"""What a group of servers may say beside its servers."""

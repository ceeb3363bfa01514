"""`stream` of nginx: a stream for each address of its servers, and the pools that they lead to.

Imports: importing, importing.nginx. Used by: importing.nginx.convert.
"""

from __future__ import annotations

import attrs

from lolly_tx.importing.draft import Table, plain_name
from lolly_tx.importing.listened import listened_at, together, unix_endpoint
from lolly_tx.importing.nginx import guards
from lolly_tx.importing.nginx.listening import balancers, is_of_the_kernel
from lolly_tx.importing.nginx.names import Names, names_of
from lolly_tx.importing.nginx.proxying import towards
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.securing import ended_here
from lolly_tx.importing.nginx.upstreams import Address, pool_at
from lolly_tx.importing.nginx.values import (
    flag,
    has_variable,
    seconds,
    size,
    split_port,
    time_text,
)
from lolly_tx.importing.nginx.work import Making, Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_UNSAID = "10m"
"""How long nginx keeps a session of datagrams without any, where nothing is said."""
_NEEDLESS = {
    "preread_buffer_size": "a ClientHello may have 64 KiB",
    "proxy_buffer_size": "bytes are passed on as they come",
    "proxy_half_close": "each direction ends by itself",
    "ssl_preread": "`sni` has the name read",
    "tcp_nodelay": "it is always on",
}
_LEFT = {
    "access_log": "write it by hand: the access_log of the stream, or of all",
    "preread_timeout": "timeouts.handshake is one for all",
    "proxy_next_upstream_timeout": "timeout.total of the pool would hold for its queue as well",
    "proxy_requests": "a session of datagrams ends by time",
    "proxy_responses": "a session of datagrams ends by time: session_timeout",
    "proxy_upload_rate": "what clients send is not slowed down",
    "ssl_handshake_timeout": "timeouts.handshake is one for all",
}


@attrs.define
class _Server:
    """`udp`: it passes datagrams on. `table`: the stream, without its endpoint."""

    making: Making
    udp: bool
    table: Table = attrs.field(factory=dict)

    @property
    def work(self) -> Work:
        return self.making.work

    @property
    def scope(self) -> Scope:
        return self.making.scope


def streams(work: Work, block: Statement) -> None:
    """Have all servers of a `stream` carried over. `work`: that of the whole file."""
    scope = Scope(block.block or ())
    inner = attrs.evolve(
        work,
        http=scope,
        upstreams={one.args[0]: one for one in scope.own("upstream") if one.args},
    )
    work.report.enter(block)
    work.report.take(block)
    for one in scope.own("server"):
        work.report.enter(one)
        try:
            _server(inner, one, Scope(one.block or (), scope))
        except NotThere as error:
            work.report.leave_whole(one, str(error))
        else:
            work.report.take(one)
    for name, why in _LEFT.items():
        for one in scope.own(name):
            work.report.leave(one, why)


def _server(work: Work, statement: Statement, scope: Scope) -> None:
    listens = scope.own("listen")
    places: dict[str, str] = {}
    for one in listens:
        name, endpoint = _address(one)
        places[name] = together(places.get(name, endpoint), endpoint)
    if not places:
        raise NotThere("listens nowhere")
    udp = {"udp" in one.args for one in listens}
    if len(udp) > 1:
        raise NotThere("write a server for TCP, and one for UDP")
    server = _Server(Making(work, scope, statement, {}), udp.pop())
    _lead(server)
    _take_turns(server)
    for one in listens:
        _listened(server, one)
    for name, endpoint in places.items():
        table = {"endpoint": endpoint, **server.table}
        work.draft.comment(table, f"{statement.file}:{statement.line}")
        work.draft.other("stream", name, table)
    work.report.take(*listens)


def _address(one: Statement) -> tuple[str, str]:
    """Name and endpoint of what is listened on. Raises `NotThere`."""
    text = one.args[0] if one.args else ""
    kind = "udp" if "udp" in one.args else "tcp"
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if kind == "udp":
            raise NotThere("no datagrams of UNIX sockets are passed on")
        return plain_name(f"unix-{path.rpartition('/')[2]}"), unix_endpoint(path)
    if text.isdigit():
        text = f"*:{text}"
    host, port = split_port(text)
    if port is None:
        raise NotThere(f"{text} has no port, or many: write a stream for each")
    return listened_at(f"{kind}-{port}", kind, host, port)


def _listened(server: _Server, one: Statement) -> None:
    """What a `listen` says beside its address."""
    report = server.work.report
    for word in one.args[1:]:
        if word == "ssl":
            if "sni" in server.table:
                raise NotThere("a name is read from TLS that goes through, or TLS ends")
            server.table["tls"] = ended_here(server.work, server.scope)
        elif word == "proxy_protocol":
            networks = balancers(server.work, one, server.scope)
            report.take(*server.scope.nearest("set_real_ip_from"))
            server.table["proxy_protocol"] = networks
        elif is_of_the_kernel(word) or word.startswith(("backlog=", "ipv6only=")):
            report.needless(one, "of the kernel's socket, which is set for you", word)
        elif word != "udp":
            report.leave(one, "there is no such setting of a stream", word)


def _lead(server: _Server) -> None:
    """The pools of a server. Raises `NotThere`."""
    found = server.scope.last("proxy_pass")
    if found is None or not found.args:
        raise NotThere("leads nowhere; nothing is answered here")
    [where] = found.args[:1]
    if not has_variable(where):
        server.table["pool"] = _pool(server, where)
    else:
        if server.udp:
            raise NotThere("datagrams ask for no name")
        names = names_of(server.work, where)
        _by_name(server, names)
    server.work.report.take(found)


def _by_name(server: _Server, names: Names) -> None:
    sni: Table = {}
    for pattern, (one, where) in names.pools.items():
        try:
            sni[pattern] = _pool(server, where)
        except NotThere as error:
            server.work.report.leave(one, str(error))
        else:
            server.work.report.take(one)
    if names.default is not None:
        one, where = names.default
        server.table["pool"] = _pool(server, where)
        server.work.report.take(one)
    if sni:
        server.table["sni"] = sni
    elif "pool" not in server.table:
        raise NotThere("no name of it leads to a pool")


def _pool(server: _Server, where: str) -> str:
    """The pool for what `proxy_pass` names. Raises `NotThere`."""
    making = attrs.evolve(server.making, pool={})
    secured = making.scope.last("proxy_ssl")
    tls = secured is not None and flag(secured.args[0])
    if server.udp and tls:
        raise NotThere("DTLS is not spoken")
    unix = where.removeprefix("unix:") if where.startswith("unix:") else ""
    if server.udp and unix:
        raise NotThere("no datagrams go to UNIX sockets")
    address = Address(
        tls, False, where, unix, None, "udp" if server.udp else "tls" if tls else "tcp"
    )
    name, pool, _ = pool_at(making.work, address)
    making.pool.update(pool)
    towards(making)
    if secured is not None:
        making.work.report.take(secured)
    _header(server, making)
    return making.work.draft.pool(name, making.pool)


def _header(server: _Server, making: Making) -> None:
    def carry(one: Statement) -> None:
        if flag(one.args[0]):
            if server.udp:
                raise NotThere(
                    'a header of datagrams is of version 2: send_proxy = "v2"'
                )
            making.pool["send_proxy"] = "v1"

    making.work.report.carry(making.scope.nearest("proxy_protocol")[-1:], carry)


def _take_turns(server: _Server) -> None:
    """What a server says of its sessions."""
    scope, report = server.scope, server.work.report
    if server.udp:
        server.table["session_timeout"] = _UNSAID

    def timeout(one: Statement) -> None:
        key = "session_timeout" if server.udp else "idle_timeout"
        if not seconds(one.args[0]):
            raise NotThere("a session without a byte has to end some time")
        server.table[key] = time_text(one.args[0])

    report.carry(scope.nearest("proxy_timeout")[-1:], timeout)
    use = [*guards.numbers(server.making), *guards.addresses(server.making)]
    use += _paced(server)
    if use:
        server.table["use"] = use
    for name, why in _NEEDLESS.items():
        for one in scope.nearest(name):
            report.needless(one, why)
    for name, why in _LEFT.items():
        for one in scope.own(name):
            if name == "access_log" and one.args == ("off",):
                server.table["access_log"] = False
                report.take(one)
            else:
                report.leave(one, why)


def _paced(server: _Server) -> list[str | Table]:
    table: Table = {}

    def carry(one: Statement) -> None:
        rate = size(one.args[0])
        if rate != "0":
            if server.udp:
                raise NotThere("who sends datagrams does not wait")
            table.update(type="bandwidth", rate=rate)

    found = server.scope.nearest("proxy_download_rate")[-1:]
    server.work.report.carry(found, carry)
    return [table] if table else []

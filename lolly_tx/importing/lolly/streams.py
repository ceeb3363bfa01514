"""The streams of lolly: each listens on one address and has one group of targets.

Imports: domain.routing, importing, importing.lolly. Used by: importing.lolly.convert.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from lolly_tx.domain.routing.hosts import valid_host
from lolly_tx.importing.draft import Table, plain_name
from lolly_tx.importing.listened import listened_at, unix_endpoint
from lolly_tx.importing.lolly.proxies import BALANCES, towards
from lolly_tx.importing.lolly.reading import Carry, Value, walk
from lolly_tx.importing.lolly.servers import LISTEN, Work, secured
from lolly_tx.importing.lolly.values import count
from lolly_tx.importing.report import NotThere

_CONNECT = "10s"
"""What lolly allows for a connect to a target of a stream."""


@attrs.define
class _Stream:
    """One of them. `udp`: it passes datagrams on; `secured`: TLS is spoken to its targets."""

    value: Value
    work: Work
    udp: bool = False
    secured: bool = False
    table: Table = attrs.field(factory=dict)
    pool: Table = attrs.field(factory=lambda: {"targets": []})

    def tls(self, key: str, found: object) -> None:
        """Set one key of its own TLS."""
        if self.udp:
            raise NotThere("DTLS is not spoken")
        self.table.setdefault("tls", {})[key] = found


def streams(work: Work, found: Sequence[Value]) -> None:
    """Have all streams carried over."""
    for value in found:
        work.report.enter(value.statement)
        try:
            _stream(_Stream(value, work))
        except NotThere as error:
            work.report.leave_whole(value.statement, str(error))
        else:
            work.report.take(value.statement)


def _stream(stream: _Stream) -> None:
    value, work = stream.value, stream.work
    protocol = value.at("protocol")
    kind = protocol.text.lower() if protocol is not None else "tcp"
    if kind not in ("tcp", "udp"):
        raise NotThere(f"{kind} is neither tcp nor udp")
    stream.udp = kind == "udp"
    listen = value.at("listen")
    if listen is None:
        raise NotThere("listens nowhere")
    name, stream.table["endpoint"] = _address(listen.text, kind)
    secured = value.at("proxy_ssl", "enabled")
    stream.secured = secured is not None and secured.flag
    if stream.secured and stream.udp:
        raise NotThere("DTLS is not spoken")
    _targets(stream)
    walk(value, _table(stream), work.report)
    own = value.at("ssl", "enabled")
    if own is not None and own.text.lower() == "false":
        stream.table.pop("tls", None)
    if not stream.secured:
        stream.pool.pop("tls", None)
    if not stream.udp:
        stream.pool["timeout"] = {"connect": _CONNECT}
    work.report.take(*(one.statement for one in (listen, protocol) if one is not None))
    stream.table["pool"] = work.draft.pool(name, stream.pool)
    work.draft.comment(stream.table, f"{value.statement.file}:{value.statement.line}")
    work.draft.other("stream", name, stream.table)


def _address(text: str, kind: str) -> tuple[str, str]:
    """Name and endpoint of what is listened on. Raises `NotThere`."""
    if text.startswith("unix:") and kind == "tcp":
        path = text.removeprefix("unix:")
        return plain_name(f"unix-{path.rpartition('/')[2]}"), unix_endpoint(path)
    match = LISTEN.fullmatch(text)
    if match is None:
        raise NotThere(f"{text} is no address to listen on")
    port = int(match[2])
    return listened_at(f"{kind}-{port}", kind, match[1], port)


def _targets(stream: _Stream) -> None:
    report = stream.work.report
    upstream = stream.value.at("upstream")
    targets = stream.value.at("upstream", "targets")
    if upstream is not None and targets is not None:
        report.enter(upstream.statement)
        report.enter(targets.statement)
        report.take(upstream.statement, targets.statement)
        for one in targets.items:
            report.enter(one.statement)
            try:
                _target(stream, one)
            except NotThere as error:
                report.leave_whole(one.statement, str(error))
            else:
                report.take(one.statement)
    if not stream.pool["targets"]:
        raise NotThere("has no target that can be carried over")


def _target(stream: _Stream, value: Value) -> None:
    address = value.at("addr")
    if address is None:
        raise NotThere("names no target")
    match = LISTEN.fullmatch(address.text)
    if match is None or not valid_host(match[1]):
        raise NotThere(f"{address.text} is no address of a target")
    scheme = "udp" if stream.udp else "tls" if stream.secured else "tcp"
    url = f"{scheme}://{match[1].lower()}:{match[2]}"
    target: Table = {"url": url}
    stream.work.report.take(address.statement)
    weight: dict[str, Carry] = {
        "weight": lambda v: target.update(weight=max(1, count(v)))
    }
    walk(value, weight, stream.work.report)
    stream.pool["targets"].append(url if list(target) == ["url"] else target)


def _table(stream: _Stream) -> dict[str, Carry]:
    """What each key of a stream becomes."""

    def balance(value: Value) -> None:
        if value.text not in BALANCES:
            raise NotThere("there is no such way of choosing")
        stream.pool["balance"] = BALANCES[value.text]

    return {
        "upstream.load_balance": balance,
        "ssl.enabled": lambda value: None,
        **secured(stream.work, stream.tls),
        **towards(stream.pool),
    }

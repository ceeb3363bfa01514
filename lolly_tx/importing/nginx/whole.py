"""What nginx has for each server or location, and we have once for all: limits and times of clients.

Imports: config.kinds, importing, importing.nginx. Used by: importing.nginx.convert.

A line of `WHOLE` for each statement, with the setting that it becomes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import attrs

from lolly_tx.config.kinds.plain import duration_text, size_text
from lolly_tx.importing.largest import Largest
from lolly_tx.importing.nginx.values import count, network, seconds, size_bytes
from lolly_tx.importing.nginx.work import Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_BLOCKS = ("server", "location")


@attrs.frozen
class Whole:
    """`table`, `key`: of the setting. `read` gives a number, `write` what stands in the file.

    `endless`: 0 has no limit. `zero`: why 0 is not carried over.
    """

    table: str
    key: str
    read: Callable[[str], float]
    write: Callable[[float], object]
    endless: bool = False
    zero: str = ""


def _integer(value: float) -> object:
    return int(value)


WHOLE: dict[str, Whole] = {
    "client_header_timeout": Whole("timeouts", "head", seconds, duration_text),
    "client_body_timeout": Whole("timeouts", "body", seconds, duration_text),
    "send_timeout": Whole("timeouts", "write", seconds, duration_text),
    "keepalive_timeout": Whole(
        "timeouts",
        "keepalive",
        seconds,
        duration_text,
        zero="limits.requests_per_connection = 1 has no connection kept",
    ),
    "keepalive_requests": Whole(
        "limits", "requests_per_connection", count, _integer, True
    ),
    "http2_max_concurrent_streams": Whole("limits", "streams", count, _integer),
}


def whole(work: Work) -> None:
    """Have each carried over: where they differ the largest holds."""
    tree = list(_statements(work.http.statements))
    for name, setting in WHOLE.items():
        _one(work, [one for one in tree if one.name == name], setting)
    _heads(work, [one for one in tree if one.name == "large_client_header_buffers"])
    _trusted(work, tree)


def _statements(tree: Iterable[Statement]) -> Iterator[Statement]:
    for one in tree:
        yield one
        if one.name in _BLOCKS:
            yield from _statements(one.block or ())


def _one(work: Work, found: list[Statement], setting: Whole) -> None:
    largest = Largest(setting.table, setting.key, setting.write)

    def carry(one: Statement) -> None:
        value = setting.read(one.args[0])
        if not value and setting.zero:
            raise NotThere(setting.zero)
        largest.add(one, math.inf if not value and setting.endless else value)
        if len(one.args) > 1:
            work.report.leave(
                one, "no Keep-Alive field is sent", " ".join(one.args[1:])
            )

    work.report.carry(found, carry)
    largest.settle(work.draft, work.report)


def _heads(work: Work, found: list[Statement]) -> None:
    def carry(one: Statement) -> None:
        number, each = count(one.args[0]), size_bytes(one.args[1])
        limits = work.draft.inner("limits")
        limits["line_size"] = size_text(each)
        limits["head_size"] = size_text(each * number)

    work.report.carry(found[:1], carry)
    for one in found[1:]:
        work.report.leave(one, "limits.head_size is one for all: the first")


_REAL = {"x-forwarded-for", "x-real-ip", "proxy_protocol"}


def _trusted(work: Work, tree: list[Statement]) -> None:
    """Proxies in front, whose word on the client is believed."""
    networks: list[str] = []

    def carry(one: Statement) -> None:
        networks.append(network(one.args[0]))

    def header(one: Statement) -> None:
        if one.args[0].lower() not in _REAL:
            raise NotThere(
                "clients are told of in X-Forwarded-For, X-Real-IP or Forwarded"
            )

    headers = [one for one in tree if one.name == "real_ip_header"]
    work.report.carry(headers, header)
    work.report.carry([one for one in tree if one.name == "set_real_ip_from"], carry)
    said = {one.args[0].lower() for one in headers}
    if networks and said != {"proxy_protocol"}:
        work.draft.top["trusted_proxies"] = list(dict.fromkeys(networks))

"""The `proxy` blocks of a server: each is a route, with a pool of its targets.

Imports: domain, domain.routing, importing, importing.lolly. Used by:
importing.lolly.servers, importing.lolly.streams.

`table_of` has a line for each key that is carried over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs

from lolly_tx.domain.routing.expressions import BadExpression
from lolly_tx.domain.routing.locations import path_expression
from lolly_tx.domain.routing.routes import BadPath, normal_path
from lolly_tx.domain.target import read_url
from lolly_tx.importing.draft import Table, plain_name
from lolly_tx.importing.lolly.reading import Carry, Value, walk
from lolly_tx.importing.lolly.values import count, seconds, time_text, tls_version
from lolly_tx.importing.report import NotThere, Report

_SIGNS = {
    "": "",
    "prefix": "",
    "exact": "=",
    "prefix_priority": "^~",
    "regex": "~",
    "regex_caseless": "~*",
}
BALANCES = {
    "round_robin": "round_robin",
    "weighted_round_robin": "round_robin",
    "least_conn": "least_conn",
    "ip_hash": "ip_hash",
    "consistent_hash": "consistent_hash",
    "random": "random",
    "least_time": "least_time",
}
_CODES = ("502", "503", "504")
"""What is asked of another target where `http_codes` says nothing."""


@attrs.define
class Block:
    """One of them on its way to a route."""

    value: Value
    report: Report
    pool: Table = attrs.field(factory=dict)
    fails: Counter[tuple[int, str]] = attrs.field(factory=Counter)

    def inner(self, key: str) -> Table:
        """A table of the pool, made when it is asked for."""
        table: Table = self.pool.setdefault(key, {})
        return table


def path_of(block: Block) -> str:
    """The path of the route. Raises `NotThere`."""
    path, kind = block.value.at("path"), block.value.at("location_type")
    sign = _SIGNS.get(kind.text if kind is not None else "")
    if sign is None:
        raise NotThere("a named location is only reached from inside of lolly")
    text = path.text if path is not None else "/"
    block.report.take(*(one.statement for one in (path, kind) if one is not None))
    if sign.startswith("~"):
        try:
            path_expression(sign + text)
        except BadExpression as error:
            raise NotThere(str(error)) from None
        return sign + text
    try:
        normal = normal_path(text.encode()).decode()
    except (BadPath, UnicodeDecodeError):
        normal = ""
    if normal != text or "?" in text:
        raise NotThere("matches no path in its normal form")
    return sign + text


def pool_of(block: Block) -> tuple[str, Table]:
    """The name of its pool, and the pool. Raises `NotThere`."""
    value, report = block.value, block.report
    targets = value.at("targets")
    block.pool["targets"] = []
    if targets is not None:
        report.enter(targets.statement)
        report.take(targets.statement)
        for one in targets.items:
            report.enter(one.statement)
            report.carry([one.statement], lambda _, v=one: _target(v, block))  # type: ignore[misc]
    if not block.pool["targets"]:
        raise NotThere("has no target that can be carried over")
    _failures(block)
    walk(value, table_of(block), report)
    if (check := value.at("health_check")) is not None:
        _health(check, block)
    block.pool.setdefault("host", "target")
    first = block.pool["targets"][0]
    url = first["url"] if isinstance(first, dict) else first
    return plain_name(url.partition("//")[2]), block.pool


def _target(value: Value, block: Block) -> None:
    url = value.at("url")
    if url is None:
        raise NotThere("names no target")
    text = url.text.rstrip("/")
    try:
        read_url(text)
    except ValueError as error:
        raise NotThere(str(error)) from None
    block.report.take(url.statement)
    target: Table = {"url": text}
    fails: list[int] = [0]
    timeout: list[str] = ["10s"]
    table: dict[str, Carry] = {
        "weight": lambda v: target.update(weight=max(1, count(v))),
        "max_conns": lambda v: target.update(max_conns=count(v)),
        "backup": lambda v: target.update(backup=v.flag),
        "down": lambda v: target.update(down=v.flag),
        "max_fails": lambda v: fails.append(count(v)),
        "fail_timeout": lambda v: timeout.append(time_text(v)),
    }
    walk(value, table, block.report)
    block.fails[fails[-1], timeout[-1]] += 1
    for key in ("max_conns", "backup", "down"):
        if not target.get(key):
            target.pop(key, None)
    block.pool["targets"].append(text if list(target) == ["url"] else target)


def _failures(block: Block) -> None:
    """`max_fails` and `fail_timeout`: those of most targets are those of the pool."""
    (fails, timeout), _ = block.fails.most_common(1)[0]
    if fails:
        block.pool["passive"] = {"max_fails": fails, "fail_timeout": timeout}
    targets = block.value.at("targets")
    if len(block.fails) > 1 and targets is not None:
        for one in targets.items:
            for key in ("max_fails", "fail_timeout"):
                if (said := one.at(key)) is not None:
                    why = "a pool has one of each: those of most targets"
                    block.report.leave(said.statement, why)


def _balance(block: Block) -> Carry:
    def carry(value: Value) -> None:
        if value.text == "sticky":
            fallback = block.value.at("sticky", "fallback_balance")
            name = fallback.text if fallback is not None else "round_robin"
            block.pool["balance"] = BALANCES.get(name, "round_robin")
            raise NotThere(
                "the cookie is signed here, with a key of yours: [pool.NAME.sticky]"
            )
        if value.text not in BALANCES:
            raise NotThere("there is no such way of choosing")
        block.pool["balance"] = BALANCES[value.text]

    return carry


def _hash_key(block: Block) -> Carry:
    def carry(value: Value) -> None:
        balance = block.value.at("load_balance")
        if balance is None or balance.text != "consistent_hash":
            raise NotThere("nothing is chosen by a key")
        block.pool["hash_key"] = value.text

    return carry


def _put(block: Block, table: str, key: str, read: Callable[[Value], object]) -> Carry:
    def carry(value: Value) -> None:
        block.inner(table)[key] = read(value)

    return carry


def _tries(block: Block) -> Carry:
    def carry(value: Value) -> None:
        tries = count(value)
        block.inner("retry")["tries"] = max(1, tries)
        if tries > 1 and block.value.at("next_upstream", "http_codes") is None:
            block.inner("retry")["on"] = ["connect", "timeout", "reset", *_CODES]

    return carry


def _codes(block: Block) -> Carry:
    def carry(value: Value) -> None:
        block.inner("retry")["on"] = ["connect", "timeout", "reset", *value.texts]

    return carry


def towards(pool: Table) -> dict[str, Carry]:
    """What each key becomes that says how TLS is spoken to targets."""

    def put(key: str, read: Callable[[Value], object]) -> Carry:
        return lambda value: pool.setdefault("tls", {}).update({key: read(value)})

    def no_verify(value: Value) -> None:
        if value.flag:
            pool.setdefault("tls", {})["verify"] = False

    return {
        "proxy_ssl.server_name": put("server_name", _text),
        "proxy_ssl.trusted_ca": put("ca", _text),
        "proxy_ssl.client_cert": put("certificate", _text),
        "proxy_ssl.client_key": put("key", _text),
        "proxy_ssl.min_version": put("minimum", tls_version),
        "proxy_ssl.insecure_skip_verify": no_verify,
        "proxy_ssl.enabled": lambda value: None,
    }


def _text(value: Value) -> str:
    return value.text


def table_of(block: Block) -> dict[str, Carry]:
    """What each key of a block becomes."""
    times = {
        f"timeout.{key}": _put(block, "timeout", ours, time_text)
        for key, ours in (
            ("connect", "connect"),
            ("dial", "connect"),
            ("read", "read"),
            ("write", "write"),
        )
    }
    return {
        "load_balance": _balance(block),
        "hash_key": _hash_key(block),
        "least_time.metric": _put(block, "least_time", "metric", _text),
        "next_upstream.tries": _tries(block),
        "next_upstream.http_codes": _codes(block),
        **towards(block.pool),
        **times,
    }


def _health(value: Value, block: Block) -> None:
    interval = value.at("interval")
    if interval is None or not seconds(interval):
        block.report.needless(value.statement, "without an interval nothing is checked")
        return
    block.report.enter(value.statement)
    block.report.take(value.statement)
    walk(
        value,
        {
            "interval": _put(block, "health", "interval", time_text),
            "timeout": _put(block, "health", "timeout", time_text),
            "path": _put(block, "health", "path", lambda v: v.text),
            "slow_start": lambda v: block.pool.update(slow_start=time_text(v)),
            "match.status": lambda v: _match(block, "status", v.texts),
            "match.body": lambda v: _match(block, "body", v.text),
            "match.headers": lambda v: _match(
                block, "headers", {name: one.text for name, one in v.table.items()}
            ),
        },
        block.report,
    )


def _match(block: Block, key: str, expected: object) -> None:
    block.inner("health").setdefault("match", {})[key] = expected

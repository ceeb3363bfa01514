"""What a location says of its target: times, attempts, TLS, and what the target is told.

Imports: importing, importing.nginx. Used by: importing.nginx.convert,
importing.nginx.locations, importing.nginx.streams.

A line of `PROXY` for each statement, without its prefix ("proxy_" or "grpc_"), with what it becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lolly_tx.importing.nginx.fields import request_field
from lolly_tx.importing.nginx.securing import minimum
from lolly_tx.importing.nginx.values import (
    count,
    flag,
    has_variable,
    host,
    split_port,
    time_text,
)
from lolly_tx.importing.nginx.work import Making
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

Found = Sequence[Statement]

_UNSAID = {"read": "1m", "write": "1m"}
"""What nginx allows where nothing is said, and more than we do."""


def proxied(making: Making, prefix: str) -> None:
    """Have all that `making` says of its target carried over."""
    for name, carry in PROXY.items():
        found = making.scope.nearest(prefix + name)
        if not found:
            continue
        try:
            carry(found, making)
        except NotThere as error:
            for one in found:
                making.work.report.leave(one, str(error))
        else:
            report = making.work.report
            report.take(*(one for one in found if not report.was_left(one)))
    timeout = making.inner("timeout")
    making.pool["timeout"] = {**_UNSAID, **timeout}
    if "host" not in making.pool:
        _sent_host(making)
    _tries(making)
    _unverified(making, prefix)
    if making.pool["host"] == "preserve":
        del making.pool["host"]


def towards(making: Making) -> None:
    """The same for a stream, whose targets get no requests."""
    report = making.work.report
    for name, carry in PROXY.items():
        if name in _OF_REQUESTS:
            continue
        found = making.scope.nearest(f"proxy_{name}")
        if found and name == "next_upstream" and found[-1].args == ("on",):
            report.take(*found)
            continue
        try:
            if found:
                carry(found, making)
        except NotThere as error:
            for one in found:
                report.leave(one, str(error))
        else:
            report.take(*(one for one in found if not report.was_left(one)))
    making.inner("retry")
    _tries(making)
    _unverified(making, "proxy_")


_OF_REQUESTS = ("read_timeout", "send_timeout", "set_header")


def _timeout(key: str) -> Callable[[Found, Making], None]:
    def carry(found: Found, making: Making) -> None:
        making.inner("timeout")[key] = time_text(found[-1].args[0])

    return carry


def _next_upstream(found: Found, making: Making) -> None:
    report, one = making.work.report, found[-1]
    retry = making.inner("retry")
    if "off" in one.args:
        retry["tries"] = 1
        return
    on: list[str] = []
    for word in one.args:
        if word in _CAUSES:
            on += _CAUSES[word]
        elif word.startswith("http_") and word[5:].isdigit():
            on.append(word[5:])
        elif word == "non_idempotent":
            why = "what is not idempotent is never sent twice, but when nothing of it had been sent"
            report.leave(one, why, word)
        else:
            report.leave(one, "no attempt goes by it", word)
    if on:
        retry["on"] = on


_CAUSES = {"error": ["connect", "reset"], "timeout": ["timeout"]}


def _next_tries(found: Found, making: Making) -> None:
    tries = count(found[-1].args[0])
    if tries:
        making.inner("retry")["tries"] = min(tries, 100)


def _tries(making: Making) -> None:
    """Without a number of tries nginx asks each server once."""
    retry = making.inner("retry")
    several = min(len(making.pool["targets"]), 100)
    if "tries" not in retry and several > 2:
        retry["tries"] = several
    if not retry:
        del making.pool["retry"]


def _sent_host(making: Making, value: str = "$proxy_host") -> None:
    """The Host that targets get."""
    if value in ("$host", "$http_host", "$host:$server_port", "$server_name"):
        making.pool["host"] = "preserve"
        return
    if value != "$proxy_host":
        if has_variable(value):
            raise NotThere(f"{value} is no Host that can be sent")
        making.host = value
    if not making.host:
        making.pool["host"] = "target"
        return
    name, _ = split_port(making.host)
    try:
        host(name)
    except NotThere:
        making.pool["host"] = "target"
        why = f"Host is that of the target, not {making.host}, which is no host name"
        making.work.report.note(making.statement, why, "proxy_pass")
    else:
        making.pool["host"] = making.host


_CLIENT = {
    ("x-real-ip", "$remote_addr"): "x-real-ip",
    ("x-forwarded-for", "$proxy_add_x_forwarded_for"): "x-forwarded",
    ("x-forwarded-for", "$remote_addr"): "x-forwarded",
    ("x-forwarded-proto", "$scheme"): "x-forwarded",
    ("x-forwarded-host", "$host"): "x-forwarded",
    ("x-forwarded-host", "$http_host"): "x-forwarded",
    ("x-forwarded-host", "$host:$server_port"): "x-forwarded",
}
"""Fields that targets get of us, by what nginx would put into them."""
_UPGRADE = ("upgrade", "connection")


def _set_header(found: Found, making: Making) -> None:
    for one in found:
        try:
            _one_header(one, making)
        except NotThere as error:
            making.work.report.leave(one, str(error))
        else:
            making.work.report.take(one)


def _one_header(one: Statement, making: Making) -> None:
    name, value = one.args[0].lower(), one.args[1] if len(one.args) > 1 else ""
    if name == "host":
        _sent_host(making, value)
    elif (name, value) in _CLIENT:
        making.work.forwarded.add(_CLIENT[name, value])
    elif name in _UPGRADE:
        making.work.report.needless(
            one, "WebSocket and kept connections are by default"
        )
    else:
        request_field(making, one.args[0], value)


def _pool_tls(
    key: str, read: Callable[[str], object]
) -> Callable[[Found, Making], None]:
    def carry(found: Found, making: Making) -> None:
        making.inner("tls")[key] = read(found[-1].args[0])

    return carry


def _file(key: str) -> Callable[[Found, Making], None]:
    def carry(found: Found, making: Making) -> None:
        making.inner("tls")[key] = making.work.path(found[-1].args[0])

    return carry


def _server_name(found: Found, making: Making) -> None:
    name = found[-1].args[0]
    if name == "$host":
        raise NotThere("the name that is asked for is one for all requests")
    if name != "$proxy_host":
        making.inner("tls")["server_name"] = host(name)


def _protocols(found: Found, making: Making) -> None:
    making.inner("tls")["minimum"] = minimum(making.work, found[-1])


def _unverified(making: Making, prefix: str) -> None:
    """Without a word on it nginx verifies nobody."""
    targets = making.pool["targets"]
    urls = [
        one["url"] if isinstance(one, dict) and "url" in one else one for one in targets
    ]
    secured = ("https:", "tls:")
    if not any(isinstance(one, str) and one.startswith(secured) for one in urls):
        making.pool.pop("tls", None)
        return
    tls = making.inner("tls")
    if "verify" not in tls:
        tls["verify"] = False
        why = "as in nginx nobody verifies who answers; write tls.verify = true, and tls.ca"
        making.work.report.note(making.statement, why, f"{prefix}ssl_verify off")
    elif tls["verify"]:
        del tls["verify"]
        if making.pool.get("host", "target") not in ("preserve", "target"):
            name, _ = split_port(making.pool["host"])
            tls.setdefault("server_name", name)


PROXY: dict[str, Callable[[Found, Making], None]] = {
    "connect_timeout": _timeout("connect"),
    "read_timeout": _timeout("read"),
    "send_timeout": _timeout("write"),
    "next_upstream": _next_upstream,
    "next_upstream_tries": _next_tries,
    "set_header": _set_header,
    "ssl_verify": _pool_tls("verify", flag),
    "ssl_trusted_certificate": _file("ca"),
    "ssl_certificate": _file("certificate"),
    "ssl_certificate_key": _file("key"),
    "ssl_name": _server_name,
    "ssl_protocols": _protocols,
}

"""Access logs, of everything and of single routes.

Imports: importing, importing.nginx. Used by: importing.nginx.answers,
importing.nginx.convert, importing.nginx.servers.
"""

from __future__ import annotations

import re

from lolly_tx.importing.draft import Table
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.values import NotThere, has_variable, size, time_text
from lolly_tx.importing.nginx.work import Work
from lolly_tx.importing.statements import Statement

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

VARIABLES = {
    "remote_addr": "client",
    "binary_remote_addr": "client",
    "remote_port": "client_port",
    "time_local": "time_local",
    "time_iso8601": "time",
    "request_method": "method",
    "request_uri": "uri",
    "uri": "path",
    "document_uri": "path",
    "args": "query",
    "query_string": "query",
    "host": "host",
    "scheme": "scheme",
    "server_protocol": "version",
    "status": "status",
    "body_bytes_sent": "bytes_sent",
    "bytes_sent": "bytes_sent",
    "request_time": "seconds",
    "request_id": "request_id",
    "upstream_addr": "upstream",
    "upstream_status": "upstream_status",
    "upstream_response_time": "upstream_seconds",
    "ssl_protocol": "tls_version",
    "ssl_cipher": "tls_cipher",
    "ssl_server_name": "tls_server_name",
    "ssl_client_s_dn": "tls_subject",
    "ssl_client_i_dn": "tls_issuer",
    "ssl_client_serial": "tls_serial",
    "ssl_client_verify": "tls_verify",
}
"""Our names for the variables of nginx; those of fields, cookies and parameters have a rule of their own."""
_WRITTEN_OUT = {"request": "$method $uri $version"}
_NOBODY = {"remote_user": "-"}
"""What they always are without authentication."""
_FAMILIES = (("http_", "header_"), ("cookie_", "cookie_"), ("arg_", "arg_"))


def translated(text: str) -> str:
    """A text with variables of nginx, with ours in their place. Raises `NotThere`."""

    def ours(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name in _WRITTEN_OUT or name in _NOBODY:
            return (_WRITTEN_OUT | _NOBODY)[name]
        found = VARIABLES.get(name, "")
        for theirs, family in _FAMILIES:
            if not found and name.startswith(theirs):
                found = family + name.removeprefix(theirs)
        if not found:
            raise NotThere(f"there is no variable for ${name}")
        after = text[match.end() : match.end() + 1]
        return f"${{{found}}}" if after.isalnum() or after == "_" else f"${found}"

    return _VARIABLE.sub(ours, text)


def everywhere(work: Work) -> None:
    """The log of all requests."""
    found = work.http.own("access_log")
    log = _log(work, found, work.http)
    if isinstance(log, dict):
        work.draft.top["access_log"] = log


def own(work: Work, scope: Scope) -> Table | bool | None:
    """The log of a route; False for none, None for that of all."""
    found = scope.nearest("access_log")
    if found == work.http.own("access_log"):
        return None
    log = _log(work, found, scope)
    return None if log is False and "access_log" not in work.draft.top else log


def _log(work: Work, found: list[Statement], scope: Scope) -> Table | bool | None:
    logs: list[Table | bool] = []

    def carry(one: Statement) -> None:
        if logs and one.args[0] != "off":
            raise NotThere("there is one log for a request, the first")
        logs.append(False if one.args[0] == "off" else _table(work, one))

    work.carry(found, carry)
    return logs[0] if logs else None


def _table(work: Work, one: Statement) -> Table:
    path, *words = one.args
    log: Table = {"path": _path(work, path)}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and word != "gzip":
            log["format"] = _format(work, one, word)
        elif key == "buffer":
            log["buffer_size"] = size(value)
        elif key == "flush":
            log["flush"] = time_text(value)
        else:
            work.report.leave(one, "there is no such setting of a log", word)
    return log


def _path(work: Work, text: str) -> str:
    if not text.startswith("syslog:"):
        if has_variable(text):
            raise NotThere("a log is one file, not another for each request")
        return work.path(text)
    server = re.search(r"server=([^,]+)", text)
    if server is None:
        raise NotThere("names no syslog daemon")
    if server[1].startswith("unix:"):
        return f"syslog:{server[1]}"
    has_port = re.search(r":\d+$", server[1])
    return f"syslog:udp:{server[1]}{'' if has_port else ':514'}"


def _format(work: Work, one: Statement, name: str) -> str:
    if name == "combined":
        return name
    for declared in work.http.own("log_format"):
        if declared.args[0] == name:
            parts = [arg for arg in declared.args[1:] if not arg.startswith("escape=")]
            if "escape=json" in declared.args:
                work.report.take(declared)
                work.report.note(one, "JSON with our names for what it says", name)
                return "json"
            try:
                text = translated("".join(parts))
            except NotThere as error:
                work.report.leave(declared, f"{error}; the log is combined")
                return "combined"
            work.report.take(declared)
            return text
    raise NotThere(f"no log_format is called {name}")

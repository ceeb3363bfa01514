"""Access logs, of everything and of single routes.

Imports: importing, importing.nginx. Used by: importing.nginx.convert,
importing.nginx.servers.
"""

from __future__ import annotations

import re

from lolly_tx.importing.draft import Table
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.values import has_variable, size, time_text
from lolly_tx.importing.nginx.work import Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement
from lolly_tx.importing.variables import translated


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

    work.report.carry(found, carry)
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

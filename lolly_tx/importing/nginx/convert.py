"""A configuration of nginx as one of ours.

Imports: importing, importing.nginx. Used by: commands.
"""

from __future__ import annotations

import os

from lolly_tx.importing.draft import Draft
from lolly_tx.importing.imported import Imported
from lolly_tx.importing.nginx import logs, reasons
from lolly_tx.importing.nginx.bodies import NAME, longest
from lolly_tx.importing.nginx.caching import CACHE
from lolly_tx.importing.nginx.proxying import PROXY
from lolly_tx.importing.nginx.reading import read
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.securing import TLS
from lolly_tx.importing.nginx.servers import serve
from lolly_tx.importing.nginx.streams import streams
from lolly_tx.importing.nginx.values import count
from lolly_tx.importing.nginx.whole import whole
from lolly_tx.importing.nginx.work import Work
from lolly_tx.importing.report import NotThere, Report
from lolly_tx.importing.statements import Statement

_KNOWN = frozenset(
    {f"{prefix}_{name}" for name in PROXY for prefix in ("proxy", "grpc")}
    | set(TLS)
    | {"add_header", "allow", "auth_basic", "auth_basic_user_file", "auth_request"}
    | {"deny", "limit_conn", "limit_conn_zone", "limit_rate", "limit_rate_after"}
    | {"limit_req", "limit_req_status", "limit_req_zone", "proxy_hide_header"}
    | {NAME, "error_page", "root", "index", "autoindex", "gzip_static"}
    | {"proxy_cache", "proxy_cache_path", "proxy_cache_valid", *CACHE}
    | {"gzip", "gzip_types", "gzip_comp_level", "gzip_min_length", "brotli"}
    | {"ssl_certificate", "ssl_certificate_key", "access_log", "log_format", "http2"}
)


def convert(path: str) -> Imported:
    """The file `path` and all it includes. Raises `NotReadable`."""
    files = read(path)
    statements = files.statements
    report = Report(lambda one: reasons.why(one, _KNOWN))
    http = [one for one in statements if one.name == "http"]
    passed = [one for one in statements if one.name == "stream"]
    # A file that has no `http` is one that stands inside of it, such as those in sites-enabled.
    inside = [one for each in http for one in each.block or ()]
    if not http and not passed:
        inside = list(statements)
    for one in http:
        report.enter(one)
        report.take(one)
    draft = Draft(f"From {os.path.basename(path)}, by `lolly import nginx`.")
    folder = os.path.dirname(os.path.abspath(path))
    work = Work(draft, report, folder, Scope(inside))
    work.upstreams = {one.args[0]: one for one in work.http.own("upstream") if one.args}
    if http or passed:
        _processes(work, statements)
    if http or not passed:
        logs.everywhere(work)
        longest(work)
        serve(work)
        whole(work)
        draft.top["forwarded"] = sorted(work.forwarded)
    for one in passed:
        streams(work, one)
    findings = (*files.findings, *report.findings(statements))
    return Imported(draft, findings, report.carried(statements))


def _processes(work: Work, statements: tuple[Statement, ...]) -> None:
    def carry(one: Statement) -> None:
        workers = one.args[0]
        number = workers if workers == "auto" else count(workers)
        if number == "auto" or number not in (0, 1):
            work.draft.top["workers"] = number
        if isinstance(number, int) and number > 256:
            raise NotThere("there are 256 processes at most")

    found = [one for one in statements if one.name == "worker_processes"]
    work.report.carry(found, carry)

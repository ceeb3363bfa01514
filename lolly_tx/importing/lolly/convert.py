"""A configuration of lolly as one of ours.

Imports: importing, importing.lolly. Used by: commands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from lolly_tx.importing.draft import Draft, Table
from lolly_tx.importing.imported import Imported
from lolly_tx.importing.lolly.reading import Carry, Value, read, walk
from lolly_tx.importing.lolly.servers import Work, serve
from lolly_tx.importing.lolly.streams import streams
from lolly_tx.importing.lolly.values import share, time_text
from lolly_tx.importing.report import Fate, NotThere, Report
from lolly_tx.importing.statements import Statement
from lolly_tx.importing.variables import translated

_LEVELS = {"debug": "debug", "info": "info", "warn": "warn", "error": "error"}
_NEEDLESS = (
    (r"mode", "what shares an address is told apart by its names"),
    (r"performance(\..*)?", "there are no pools of workers or buffers to set"),
    (r"resolver(\..*)?", "names are looked up by the system while it runs"),
    (
        r".*\.(concurrency|reduce_memory_usage|write_buffer_size)",
        "buffers are bounded by themselves",
    ),
    (r".*\.server_tokens", "answers name no version"),
    (r".*\.virtual_nodes", "the ring is as large as it has to be"),
    (r".*\.buffering(\..*)?", "answers are passed on as they come"),
    (r".*\.least_time(\..*)?", "a target without an answer is tried"),
    (
        r".*\.headers\.set_forwarded_(host|proto)",
        "`forwarded` says what targets are told",
    ),
    (r".*\.session_tickets(\..*)?", "tickets are given, with keys of the process"),
)
_LEFT = (
    (r"http3(\..*)?", "HTTP/3 is not spoken"),
    (r"(.*\.)?lua(\..*)?", "there are no scripts"),
    (r"monitoring\..*", "the admin endpoint has it: [admin]"),
    (r".*\.static(\[.*)?", "write it by hand: a route with files"),
    (
        r".*\.security\.(access|auth|auth_request)(\..*)?",
        "everybody is let in: write it by hand, as middleware",
    ),
    (
        r".*\.security\.rate_limit(\..*)?",
        "write it by hand: middleware of the type rate_limit",
    ),
    (
        r".*\.sticky(\..*)?",
        "the cookie is signed here, with a key of yours: [pool.NAME.sticky]",
    ),
    (
        r".*\.(cache|cache_valid|cache_api)(\..*)?",
        "write it by hand: middleware of the type cache",
    ),
    (r".*\.compression(\..*)?", "write it by hand: middleware of the type compress"),
    (
        r".*\.ssl\.(ciphers|cert_chain)",
        "the chain stands in the certificate's file, the ciphers are OpenSSL's",
    ),
)


def convert(path: str, environ: Mapping[str, str] | None = None) -> Imported:
    """The file `path` and all it includes. Raises `NotReadable`.

    `environ`: what `${NAME}` is, that of the process when it is not given.
    """
    value = read(path, os.environ if environ is None else environ)
    statements = value.statement.block or ()
    report = Report(_silent)
    draft = Draft(f"From {os.path.basename(path)}, by `lolly import lolly`.")
    work = Work(draft, report, os.path.dirname(os.path.abspath(path)))
    walk(value, _table(work), report)
    servers = value.at("servers")
    if servers is not None:
        report.enter(servers.statement)
        report.take(servers.statement)
        serve(work, servers.items)
    passed = value.at("stream")
    if passed is not None:
        report.enter(passed.statement)
        report.take(passed.statement)
        streams(work, passed.items)
    if work.trusted:
        draft.top["trusted_proxies"] = list(dict.fromkeys(work.trusted))
    if servers is not None or passed is None:
        draft.top["forwarded"] = ["x-forwarded", "x-real-ip"]
    healthz = value.at("monitoring", "healthz", "enabled")
    if healthz is None or healthz.data != "false":
        for listener in draft.listeners.values():
            listener["health"] = True
    return Imported(
        draft, tuple(report.findings(statements)), report.carried(statements)
    )


def _table(work: Work) -> dict[str, Carry]:
    draft = work.draft

    def log() -> Table:
        return draft.inner("access_log")

    def form(value: Value) -> None:
        text = value.text
        log()["format"] = text if text in ("combined", "json") else translated(text)

    def level(value: Value) -> None:
        if value.text not in _LEVELS:
            raise NotThere("there is no such level")
        draft.inner("log")["level"] = _LEVELS[value.text]

    return {
        "logging.access.path": lambda v: log().update(path=work.path(v)),
        "logging.access.format": form,
        "logging.access.sample_rate": lambda v: log().update(sample=share(v)),
        "logging.error.level": level,
        "monitoring.healthz.enabled": lambda v: None,
        "monitoring.readyz.enabled": lambda v: None,
        "shutdown.graceful_timeout": lambda v: draft.inner("timeouts").update(
            drain=time_text(v)
        ),
        "shutdown.fast_timeout": lambda v: draft.inner("timeouts").update(
            shutdown=time_text(v)
        ),
    }


def _silent(statement: Statement) -> tuple[Fate, str]:
    """What to say of a key that nobody carries over."""
    name = re.sub(r"\[\d+\]", "", statement.name)
    for form, why in _NEEDLESS:
        if re.fullmatch(form, name):
            return "not needed", why
    for form, why in _LEFT:
        if re.fullmatch(form, name):
            return "left out", why
    return "left out", "there is no setting for it"

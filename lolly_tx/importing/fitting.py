"""Whether settings that were made of another proxy's are such as ours can have.

Imports: config, importing. Used by: importing.nginx.
"""

from __future__ import annotations

from lolly_tx.config.load import DiskFiles, parse
from lolly_tx.config.problems import ConfigErrors
from lolly_tx.importing.draft import Draft, Table
from lolly_tx.importing.report import NotThere


class _AnyFile(DiskFiles):
    """Files are on the machine that the configuration is for."""

    def why_no_file(self, path: str) -> str:
        """It may be one there."""
        return ""


def fits(middleware: Table) -> None:
    """Raise `NotThere`, with what is wrong, if `middleware` would be refused."""
    draft = Draft("")
    draft.listeners["any"] = {"endpoint": "tcp:1"}
    here = {key: value for key, value in middleware.items() if key != "pool"}
    if "pool" in middleware:
        here["pool"] = "any"
        draft.pools["any"] = {"targets": ["http://127.0.0.1:2"]}
    _read(draft, {"respond": {"status": 200}, "use": [here]})


def fits_host(pattern: str) -> None:
    """Raise `NotThere`, with what is wrong, if `pattern` would be refused as the host of a route."""
    fits_route({"host": pattern, "respond": {"status": 200}})


def fits_route(route: Table) -> None:
    """Raise `NotThere`, with what is wrong, if `route` would be refused. It names no pool."""
    draft = Draft("")
    draft.listeners["any"] = {"endpoint": "tcp:1"}
    _read(draft, route)


def _read(draft: Draft, route: Table) -> None:
    draft.routes.append(route)
    try:
        parse(draft.text(), "", {}, files=_AnyFile())
    except ConfigErrors as errors:
        raise NotThere(errors.problems[0].message) from None

"""Pages for errors: middleware of the type `error_pages`.

Imports: importing, importing.nginx. Used by: importing.nginx.way.
"""

from __future__ import annotations

from lolly_tx.importing.draft import Table
from lolly_tx.importing.fitting import fits
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.values import flag, has_variable
from lolly_tx.importing.nginx.work import Making
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement


def error_pages(making: Making) -> list[str | Table]:
    """The pages of a location, which are files."""
    pages: dict[str, str] = {}

    def carry(one: Statement) -> None:
        *statuses, uri = one.args
        if any(word.startswith("=") for word in statuses):
            raise NotThere("the status of an error stays")
        if not uri.startswith("/") or has_variable(uri):
            raise NotThere("a page is a file, and no other place is asked")
        found = {status: _file(making, uri) for status in statuses}
        fits({"type": "error_pages", "pages": found})
        pages.update(found)

    making.work.report.carry(making.scope.nearest("error_page"), carry)
    if not pages:
        return []
    table: Table = {"type": "error_pages", "pages": pages}

    def intercept(one: Statement) -> None:
        if flag(one.args[0]):
            table["intercept"] = True

    if "pool" in making.route:
        names = ("proxy_intercept_errors", "grpc_intercept_errors")
        for name in names:
            making.work.report.carry(making.scope.nearest(name)[-1:], intercept)
    return [table]


def _file(making: Making, uri: str) -> str:
    """The file behind a path: below the root of its own location, or else of what is around."""
    roots = making.scope.nearest("root")
    scope: Scope | None = making.scope
    while scope is not None:
        for one in scope.own("location"):
            if one.args in (("=", uri), (f"={uri}",), (uri,)):
                inner = Scope(one.block or (), scope)
                roots = inner.nearest("root")
                if inner.own("internal"):
                    making.work.report.take(one, *inner.statements)
        scope = scope.around
    if not roots or has_variable(roots[-1].args[0]):
        raise NotThere("there is no folder that the page is in")
    making.work.report.take(roots[-1])
    return making.work.path(roots[-1].args[0].rstrip("/") + uri)

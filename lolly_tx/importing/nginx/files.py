"""Files as the end of a location.

Imports: importing, importing.nginx. Used by: importing.nginx.locations.

A line of `FILES` for each statement that says how they are served.
"""

from __future__ import annotations

from collections.abc import Callable

from lolly_tx.importing.draft import Table
from lolly_tx.importing.fitting import fits_route
from lolly_tx.importing.nginx.values import flag, has_variable, time_text
from lolly_tx.importing.nginx.work import Making
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

NO_END = "there is no target, no answer and no root"


def files(making: Making) -> None:
    """Give the route files as its end. Raises `NotThere`."""
    root = _root(making)
    table: Table = {"root": root}
    for name, carry in FILES.items():
        making.work.report.carry(
            making.scope.nearest(name)[-1:],
            lambda one, carry=carry: carry(one, table),  # type: ignore[misc]
        )
    fits_route({"files": table})
    making.route["files"] = table


def _root(making: Making) -> str:
    """The folder that the whole path is looked for in; what makes that true is put on the way."""
    alias = making.scope.own("alias")
    found = alias or making.scope.nearest("root")
    if not found:
        raise NotThere(NO_END)
    one = found[-1]
    folder = one.args[0]
    if has_variable(folder):
        raise NotThere("a root is one folder, not another for each request")
    making.work.report.take(one)
    if alias:
        path = making.route["path"]
        if path.startswith("~"):
            raise NotThere("an alias of a regular expression has no folder")
        if path.startswith("="):
            folder, _, name = folder.rpartition("/")
            making.way.append({"type": "replace_path", "to": f"/{name}"})
        elif path.removeprefix("^~").strip("/"):
            prefix = path.removeprefix("^~").rstrip("/")
            making.way.append({"type": "strip_prefix", "prefix": prefix})
    return making.work.path(folder)


def named_fallback(making: Making) -> Statement | None:
    """The location that `try_files` ends in by name, such as "@app", if it does."""
    found = making.scope.own("try_files")
    name = found[-1].args[-1] if found else ""
    if not name.startswith("@"):
        return None
    scope = making.scope.around
    while scope is not None:
        for one in scope.own("location"):
            if one.args == (name,):
                why = "what is no file cannot go to a target: all of it goes there"
                making.work.report.leave(found[-1], why)
                return one
        scope = scope.around
    return None


def _index(one: Statement, table: Table) -> None:
    if any("/" in name or has_variable(name) for name in one.args):
        raise NotThere("the index of a folder is a file in it")
    table["index"] = list(one.args)


def _try(one: Statement, table: Table) -> None:
    entries = [word.replace("$uri", "$path") for word in one.args]
    try:
        fits_route({"files": {"root": "/", "try": entries}})
    except NotThere as error:
        raise NotThere(f"what is tried {error}") from None
    table["try"] = entries


def _expires(one: Statement, table: Table) -> None:
    text = one.args[-1]
    if len(one.args) > 1 or text.startswith("@") or has_variable(text):
        raise NotThere("it counts from the request, and is one for all")
    if text.startswith("-"):
        table["expires"] = "epoch"
    else:
        words = ("max", "epoch", "off")
        table["expires"] = text if text in words else time_text(text)


def _precompressed(coding: str) -> Callable[[Statement, Table], None]:
    def carry(one: Statement, table: Table) -> None:
        if one.args[0] != "off":
            table.setdefault("precompressed", []).append(coding)

    return carry


def _links(one: Statement, table: Table) -> None:
    words = {"off": "all", "on": "none"}
    if one.args[0] not in words:
        raise NotThere("links are followed inside of the root, always or never")
    table["symlinks"] = words[one.args[0]]


FILES: dict[str, Callable[[Statement, Table], None]] = {
    "index": _index,
    "try_files": _try,
    "autoindex": lambda one, table: table.update(listing=flag(one.args[0])),
    "expires": _expires,
    "brotli_static": _precompressed("br"),
    "gzip_static": _precompressed("gzip"),
    "disable_symlinks": _links,
    "default_type": lambda one, table: table.update(default_type=one.args[0]),
    "charset": lambda one, table: table.update(
        charset="" if one.args[0] == "off" else one.args[0]
    ),
}
"""How files are served."""

"""Answers that nginx gives itself: redirects, and statuses with or without a text.

Imports: config.kinds, importing, importing.nginx. Used by: importing.nginx.fields,
importing.nginx.guards, importing.nginx.locations, importing.nginx.rewriting.
"""

from __future__ import annotations

from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.templatekinds import location_parts
from lolly_tx.config.kinds.variables import expanded
from lolly_tx.importing.draft import Table
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement
from lolly_tx.importing.variables import translated

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CLOSED = 444
_WRITTEN_OUT = (
    ("$uri$is_args$args", "$request_uri"),
    ("$document_uri$is_args$args", "$request_uri"),
    ("$http_host", "$host"),
)
"""What nginx says in several variables, or in other ones, and means the same by."""


def returned(one: Statement, scope: Scope) -> Table:
    """The end of a route that `return` is. Raises `NotThere`."""
    status, text = _parts(one)
    if status == _CLOSED:
        raise NotThere("no connection is closed without an answer")
    if status in _REDIRECTS:
        return {"redirect": {"to": where(text, scope), "status": status}}
    if not 200 <= status <= 599:
        raise NotThere(f"{status} is no status of an answer")
    respond: Table = {"status": status}
    if text:
        respond["body"] = template(text, scope)
        kind = scope.own("default_type")
        if kind:
            respond["headers"] = {"Content-Type": kind[-1].args[0]}
    return {"respond": respond}


def _parts(one: Statement) -> tuple[int, str]:
    """Status and text of a `return`, which may have but one of them."""
    first, rest = one.args[0], " ".join(one.args[1:])
    return (int(first), rest) if first.isdigit() else (302, first)


def where(text: str, scope: Scope) -> str:
    """Where a redirect leads. Raises `NotThere`."""
    found = template(text, scope)
    try:
        location_parts(expanded(found, {}))
    except Rejected as rejected:
        raise NotThere(f"where it leads {rejected.message}") from None
    return found


def template(text: str, scope: Scope) -> str:
    """A text with variables of nginx, with ours, in values. Raises `NotThere`."""
    for theirs, same in _WRITTEN_OUT:
        text = text.replace(theirs, same)
    names = scope.nearest("server_name")
    name = next((arg for one in names for arg in one.args if "." in arg), "")
    if "$server_name" in text and name and name[0] not in "~*.":
        text = text.replace("$server_name", name)
    found = translated(text, captures=True)
    try:
        expanded(found, {})
    except Rejected as rejected:
        raise NotThere(rejected.message) from None
    return found

"""A `map` of names that clients ask for: which leads to which pool.

Imports: domain.routing, importing, importing.nginx. Used by: importing.nginx.streams.
"""

from __future__ import annotations

import attrs

from lolly_tx.domain.routing.hosts import valid_host
from lolly_tx.importing.nginx.values import has_variable
from lolly_tx.importing.nginx.work import Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_ASKED = "$ssl_preread_server_name"
_DEPTH = "a wildcard is for one label here"


@attrs.define
class Names:
    """`pools`: by pattern, the line and what `proxy_pass` would name. `default`: for all other names, and none."""

    pools: dict[str, tuple[Statement, str]] = attrs.field(factory=dict)
    default: tuple[Statement, str] | None = None


def names_of(work: Work, variable: str) -> Names:
    """What the map says that makes `variable`. Raises `NotThere`."""
    name = variable.replace("{", "").replace("}", "")
    made = [one for one in work.http.own("map") if one.args[1:2] == (name,)]
    if not made:
        raise NotThere(f"no map makes {variable}, so no pool can be named for it")
    [one] = made[-1:]
    if one.args[0] != _ASKED:
        raise NotThere(f"pools are chosen by {_ASKED} only, not by {one.args[0]}")
    work.report.enter(one)
    work.report.take(one)
    names = Names()
    lines = one.block or ()
    wild = any(line.name == "hostnames" for line in lines)
    for line in lines:
        if line.name in ("hostnames", "volatile"):
            work.report.take(line)
        elif has_variable(line.args[0] if line.args else "$x"):
            work.report.leave(line, "targets are those of the file")
        elif line.name == "default":
            names.default = (line, line.args[0])
        else:
            try:
                for pattern in _patterns(line.name, wild):
                    names.pools.setdefault(pattern, (line, line.args[0]))
            except NotThere as error:
                work.report.leave(line, str(error))
            else:
                if wild and line.name.startswith(("*", ".")):
                    work.report.note(line, _DEPTH)
    return names


def _patterns(text: str, wild: bool) -> list[str]:
    """What `sni` has for a name of a map. Raises `NotThere`."""
    text = text.removeprefix("\\").lower()
    if wild and text.startswith("."):
        found = [text[1:], f"*{text}"]
    elif text.startswith("*.") and not wild:
        raise NotThere(
            "without `hostnames` it stands for itself, which nobody asks for"
        )
    else:
        found = [text]
    for one in found:
        if not valid_host(one.removeprefix("*.")):
            raise NotThere("is no name, and no wildcard in its first place")
    return found

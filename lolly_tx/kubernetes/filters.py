"""Filters of rules, as middleware and ends of routes of ours.

Imports: kubernetes. Used by: kubernetes.httproutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs

from lolly_tx.kubernetes.matches import Matched, Unsupported
from lolly_tx.kubernetes.objects import Object, tables, text

_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Filtered:
    """`use`: middleware; `end`: an end in place of the backends; `options`: settings of the pools."""

    use: list[dict[str, Any]]
    end: dict[str, Any] | None
    options: dict[str, Any]


def filtered(
    filters: Any,
    match: Matched,
    protocol: str,
    port: int,
    mirrored: Callable[[Object], str],
) -> Filtered:
    """What `filters` ask for. `protocol`, `port`: of the Gateway's listener; `mirrored`: the pool of a reference.

    Raises `Unsupported`, and what `mirrored` raises.
    """
    use: list[dict[str, Any]] = []
    end: dict[str, Any] | None = None
    options: dict[str, Any] = {}
    for one in tables(filters):
        type = text(one["type"])
        if type in ("RequestHeaderModifier", "ResponseHeaderModifier"):
            side = "request" if type.startswith("Request") else "response"
            field = type[0].lower() + type[1:]
            use.append({"type": "headers", side: _changes(one[field])})
        elif type == "RequestRedirect":
            rule, end = _redirect(one["requestRedirect"], match, protocol, port)
            use += rule
        elif type == "URLRewrite":
            asked = one["urlRewrite"]
            if asked.get("hostname") is not None:
                options["host"] = text(asked["hostname"])
            if asked.get("path") is not None:
                to, pattern = _new_path(asked["path"], match)
                use.append(_rewrite(pattern, to, "break"))
        elif type == "RequestMirror":
            asked = one["requestMirror"]
            percent = _percent(asked)
            use.append(
                {
                    "type": "mirror",
                    "pool": mirrored(asked["backendRef"]),
                    "percent": percent,
                }
            )
        else:
            raise Unsupported(f"filter {type}")
    return Filtered(use, end, options)


def _changes(asked: Object) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key in ("set", "add"):
        fields: dict[str, str] = {}
        for one in tables(asked.get(key)):
            fields.setdefault(text(one["name"]), plain(text(one["value"])))
        if fields:
            out[key] = fields
    removed = [text(one) for one in asked.get("remove") or ()]
    if removed:
        out["remove"] = removed
    return out


def plain(value: str) -> str:
    """A text in which nothing is a variable."""
    return value.replace("$", "$$")


def _percent(asked: Object) -> float:
    fraction = asked.get("fraction")
    if fraction is not None:
        return float(100.0 * fraction["numerator"] / fraction.get("denominator", 100))
    return float(asked.get("percent", 100))


def _redirect(
    asked: Object, match: Matched, protocol: str, port: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Middleware and end that lead clients somewhere else."""
    scheme = text(asked.get("scheme"))
    status = asked.get("statusCode", 302)
    host = plain(text(asked.get("hostname"))) or "$host"
    there = asked.get("port")
    if there is None and not scheme:
        there = port
    usual = _PORTS.get(scheme or protocol.lower())
    place = host if there in (None, usual) else f"{host}:{int(there)}"
    # Who says nothing of the scheme means that of the listener, which the request came by.
    base = f"{scheme or protocol.lower()}://{place}"
    if asked.get("path") is None:
        return [], {"redirect": {"to": f"{base}$uri", "status": status}}
    to, pattern = _new_path(asked["path"], match)
    flag = {301: "permanent", 302: "redirect"}.get(status)
    if flag is None:
        raise Unsupported(f"redirect with a path and status {status}")
    # The rewrite answers; what is behind it is never asked.
    return [_rewrite(pattern, base + to, flag)], {"respond": {"status": 404}}


def _new_path(asked: Object, match: Matched) -> tuple[str, str]:
    """The new path, and the expression whose groups it has."""
    type = text(asked["type"])
    if type == "ReplaceFullPath":
        return plain(text(asked["replaceFullPath"])) or "/", "^/"
    if type != "ReplacePrefixMatch":
        raise Unsupported(f"path of type {type}")
    if not match.prefix:
        raise Unsupported("ReplacePrefixMatch needs a match of type PathPrefix")
    new = plain(text(asked["replacePrefixMatch"])).rstrip("/")
    old = match.prefix.rstrip("/")
    if new and old:
        return f"{new}$1", f"^{re.escape(old)}(/.*)?$"
    return f"{new}/$1", f"^{re.escape(old)}/?(.*)$"


def _rewrite(pattern: str, to: str, flag: str) -> dict[str, Any]:
    return {"type": "rewrite", "rules": [{"match": pattern, "to": to, "flag": flag}]}

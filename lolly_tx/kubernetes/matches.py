"""What a rule of an HTTPRoute or GRPCRoute matches, as keys of a route of ours.

Imports: kubernetes. Used by: kubernetes.filters, kubernetes.httproutes,
kubernetes.streamroutes, kubernetes.translation.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from lolly_tx.kubernetes.objects import Object, tables, text


class Unsupported(ValueError):
    """Something that the specification knows and we do not."""


@attrs.frozen
class Matched:
    """`path`, `conditions`: keys of a route. `prefix`: where the path is one, itself; "" = it is none.

    `weight`: what goes first among routes for one path: those for a method, with more headers, with more parameters.
    """

    path: str
    conditions: dict[str, Any]
    prefix: str = ""

    @property
    def weight(self) -> tuple[int, int, int]:
        """Smaller ones go first."""
        method, headers, query = (
            len(self.conditions.get(key, ())) for key in ("method", "header", "query")
        )
        return -method, -headers, -query


def http_match(match: Object) -> Matched:
    """One of the matches of an HTTPRoute. Raises `Unsupported`."""
    path = match.get("path") or {}
    type, value = text(path.get("type"), "PathPrefix"), text(path.get("value"), "/")
    prefix = ""
    if type == "Exact":
        pattern = f"={value}"
    elif type == "PathPrefix":
        pattern = prefix = value.rstrip("/") or "/"
    elif type == "RegularExpression":
        pattern = f"~^(?:{value})$"
    else:
        raise Unsupported(f"path of type {type}")
    conditions: dict[str, Any] = {}
    if match.get("method") is not None:
        conditions["method"] = [text(match["method"])]
    _values(conditions, "header", match.get("headers"), fields=True)
    _values(conditions, "query", match.get("queryParams"), fields=False)
    return Matched(pattern, conditions, prefix)


def grpc_match(match: Object) -> Matched:
    """One of the matches of a GRPCRoute. Raises `Unsupported`."""
    method = match.get("method") or {}
    type = text(method.get("type"), "Exact")
    service, name = text(method.get("service")), text(method.get("method"))
    if type == "RegularExpression":
        pattern = f"~^/(?:{service or '[^/]+'})/(?:{name or '[^/]+'})$"
    elif type != "Exact":
        raise Unsupported(f"method of type {type}")
    elif service and name:
        pattern = f"=/{service}/{name}"
    elif service:
        pattern = f"/{service}"
    else:
        pattern = f"~^/[^/]+/{re.escape(name)}$" if name else "/"
    conditions: dict[str, Any] = {}
    _values(conditions, "header", match.get("headers"), fields=True)
    return Matched(pattern, conditions)


def _values(out: dict[str, Any], key: str, raw: Any, fields: bool) -> None:
    values: dict[str, str] = {}
    for one in tables(raw):
        name, value = text(one["name"]), text(one["value"])
        folded = name.lower() if fields else name
        if folded in values:
            continue  # the first one counts
        type = text(one.get("type"), "Exact")
        if type == "RegularExpression":
            value = f"~^(?:{value})$"
        elif type != "Exact":
            raise Unsupported(f"{key} of type {type}")
        elif value.startswith("~"):
            value = f"~^{re.escape(value)}$"
        values[folded] = value
    if values:
        out[key] = values

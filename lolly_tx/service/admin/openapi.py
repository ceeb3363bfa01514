"""The OpenAPI 3.1 document of the admin API, made of what the router goes by.

Imports: _version, service.admin. Used by: service.admin.table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from lolly_tx._version import __version__
from lolly_tx.service.admin.paths import JSON, Declared
from lolly_tx.service.admin.schemas import SCHEMAS, ref

_SAID = {
    400: "The request is wrong; the error names the field.",
    401: "A token is needed, and this is none, or another.",
    403: "A page of another site, a Host that is not known, or there is no token in the settings.",
    404: "There is nothing of that name.",
    409: "It is there already, or things are not so that this can be.",
    413: "The body is too long.",
    422: "It was understood and cannot be; all errors are told, nothing has changed.",
    429: "Too many wrong tokens from this address.",
    500: "Something failed; what could be done is done.",
    503: "Not now.",
}
_BY_WHO = {
    "all": (403,),
    "readers": (401, 403, 429),
    "writers": (401, 403, 429),
    "anybody": (401, 403, 429),
}


def document(declared: Iterable[Declared]) -> dict[str, Any]:
    """The whole document, JSON-able."""
    paths: dict[str, dict[str, Any]] = {}
    for one in declared:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The admin API of lolly_tx",
            "version": __version__,
            "description": "GET with HEAD wherever the answer ends. Other methods than those of a path are 405.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "admin.token, for all that changes something.",
                },
                "read_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "admin.read_token, for reading, if it is set; admin.token does as well.",
                },
            },
        },
    }


def _operation(one: Declared) -> dict[str, Any]:
    found: dict[str, Any] = {"summary": one.doc, "operationId": _id(one)}
    if one.who == "writers":
        found["security"] = [{"token": []}]
    elif one.who == "readers":
        found["security"] = [{}, {"read_token": []}, {"token": []}]
    elif one.who == "anybody":
        found["security"] = [{"read_token": []}, {"token": []}]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in one.parameters
    ]
    for each in one.query:
        schema = each.schema
        if each.many:
            schema = {"type": "array", "items": schema}
        parameters.append(
            {
                "name": each.name,
                "in": "query",
                "description": each.doc,
                "schema": schema,
            }
        )
    if parameters:
        found["parameters"] = parameters
    if one.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {one.body_type: {"schema": one.body}},
        }
    found["responses"] = _responses(one)
    return found


def _responses(one: Declared) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for status, shape in one.shows.items():
        content: dict[str, Any] = {one.type: {"schema": shape}}
        for media in one.also:
            content[media] = {"schema": {"type": "string"}}
        found[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": content,
        }
    for status in sorted({*_BY_WHO[one.who], *one.refuses}):
        found[str(status)] = {
            "description": _SAID[status],
            "content": {JSON: {"schema": ref("Error")}},
        }
    return found


def _id(one: Declared) -> str:
    """A name of its own: "get_api_pools_pool"."""
    words = one.path.replace("{", "").replace("}", "").replace(".", "_")
    words = words.replace("-", "_").strip("/").replace("/", "_")
    return f"{one.method.lower()}_{words or 'index'}"

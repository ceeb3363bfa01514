"""What a request to purge caches asks for.

    POST /api/cache/purge {"path": "/a"}         all queries and variants of a path, at every host
                          {"path": "/a?b=c"}     that target only
                          {"prefix": "/a/"}      all paths that begin with it
                          {"tag": "news"}        what targets call it: Cache-Tag, Surrogate-Key, xkey
                          {"host": "example.com"}    beside one of these, or alone: all of a host

Imports: domain.caching, domain.routing, service.admin. Used by: service.admin.table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.domain.routing.routes import BadPath, normal_path
from lolly_tx.service.admin.guard import Denied

_WORDS = ("path", "prefix", "tag", "host")


def purge_of(table: Mapping[str, Any]) -> Purge:
    """What a request asks for. Raises `Denied`."""
    unknown = sorted(set(table) - set(_WORDS))
    if unknown:
        raise Denied(400, f"{unknown[0]} is none of {', '.join(_WORDS)}")
    words = {}
    for name, value in table.items():
        if not isinstance(value, str) or not value:
            raise Denied(400, f"{name} has to be a text that is not empty")
        words[name] = value.encode("utf-8", "surrogateescape")
    if not words:
        raise Denied(400, f"one of {', '.join(_WORDS)} is needed")
    path, prefix, host = words.get("path"), words.get("prefix"), words.get("host")
    for name, value in (("path", path), ("prefix", prefix)):
        if value is not None and not value.startswith(b"/"):
            raise Denied(400, f"{name} has to begin with a slash")
    exact = path is not None and b"?" in path
    if path is not None and not exact:
        try:
            path = normal_path(path)
        except BadPath as error:
            raise Denied(400, f"path: {error.detail}") from None
    host = None if host is None else host.lower()
    return Purge(path, exact, prefix, words.get("tag"), host)

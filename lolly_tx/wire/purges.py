"""Purges as instances tell them to each other: JSON of what they name, as the admin API takes it.

    {"path": "/a"}    {"path": "/a?b=c", "exact": true}    {"tag": "news", "host": "example.com"}    {} is everything

Bytes are latin-1. What somebody else says is read strictly: what is no purge that we could have told is none.

Imports: domain.caching. Used by: service.stores.
"""

from __future__ import annotations

import json
from typing import Any

from lolly_tx.domain.caching.catalog import Purge

LONGEST = 4096
"""Bytes of a purge as it is told."""
EVERYTHING = b"{}"

_WORDS = ("path", "prefix", "tag", "host")


class BadPurge(Exception):
    """It is none, or one that cannot be told. The text says why."""


def written(purge: Purge) -> bytes:
    """It as it is told, but for `cache`. Raises `BadPurge`."""
    words: dict[str, Any] = {}
    for name in _WORDS:
        value = getattr(purge, name)
        if value is not None:
            words[name] = value.decode("latin-1")
    if purge.exact:
        words["exact"] = True
    text = json.dumps(words).encode("ascii")
    if len(text) > LONGEST:
        raise BadPurge(f"is longer than {LONGEST} bytes")
    return text


def read(text: bytes) -> Purge:
    """The other way round. Raises `BadPurge`."""
    if len(text) > LONGEST:
        raise BadPurge("is too long")
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        raise BadPurge("is no JSON") from None
    if not isinstance(words, dict):
        raise BadPurge("is no table")
    exact = words.pop("exact", False)
    named: dict[str, bytes] = {}
    for name, value in words.items():
        if name not in _WORDS or not isinstance(value, str) or not value:
            raise BadPurge("has something that is not known")
        try:
            named[name] = value.encode("latin-1")
        except UnicodeEncodeError:
            raise BadPurge("has characters that are no bytes") from None
    purge = Purge(exact=exact is True, **named)
    _check(purge, exact)
    return purge


def _check(purge: Purge, exact: Any) -> None:
    path = purge.path
    for value in (path, purge.prefix):
        if value is not None and not value.startswith(b"/"):
            raise BadPurge("has a path without a slash")
    if not isinstance(exact, bool) or (exact and b"?" not in (path or b"")):
        raise BadPurge("has a target that is none")
    if purge.host is not None and purge.host != purge.host.lower():
        raise BadPurge("has a host that is not in lower case")

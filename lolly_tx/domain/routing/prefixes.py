"""Prefixes of paths taken off request targets and put before them, byte for byte, where no spelling gets around it.

Imports: domain.routing. Used by: proxy.middleware.

Paths are compared in their normal form (`domain.routing.routes`), and cut in the bytes that the client sent, so that
what a target gets is still spelt as it was. Where no border in the bytes is one in both, such as "/api%2Fx" without
"/api", the request is refused.
"""

from __future__ import annotations

import re

from lolly_tx.domain.routing.routes import BadPath, normal_path

_ODD = re.compile(rb"[%\\;]|//|/\.")


def without_prefix(target: bytes, prefix: bytes) -> bytes:
    """`target` without `prefix`, which is a normal path without a final slash; as it is if it has no such prefix.

    Raises `BadPath` where it has, but not in the bytes.
    """
    if not target.startswith(b"/"):
        return target  # "*"
    path, mark, query = target.partition(b"?")
    if not _ODD.search(path):
        if not _has(path, prefix):
            return target
        return (path[len(prefix) :] or b"/") + mark + query
    normal = normal_path(path)
    if not _has(normal, prefix):
        return target
    rest = normal[len(prefix) :] or b"/"
    at = path.find(b"/", 1)
    while at >= 0:
        if normal_path(path[:at]) == prefix and normal_path(path[at:]) == rest:
            return path[at:] + mark + query
        at = path.find(b"/", at + 1)
    if normal == prefix:
        return b"/" + mark + query
    raise BadPath("the prefix ends where no segment does")


def with_prefix(target: bytes, prefix: bytes) -> bytes:
    """`target` behind `prefix`, a normal path without a final slash.

    Raises `BadPath` where dots would lead out of it.
    """
    if not target.startswith(b"/"):
        return target
    whole = prefix + target
    if _ODD.search(target.partition(b"?")[0]) and not _has(normal_path(whole), prefix):
        raise BadPath("the path leads out of the prefix")
    return whole


def _has(path: bytes, prefix: bytes) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in b"/"

"""What is in a folder, as a page and as JSON, and which of them a client wants.

Names come from the disk: they may be any bytes but "/" and NUL, so they are escaped in text and quoted in links,
and a link begins with "./", lest "javascript:x" be anything but a name.

Imports: wire. Used by: net.files, proxy.files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote_from_bytes

import attrs

from lolly_tx.wire.grammar import TOKEN

HTML = b"text/html; charset=utf-8"
JSON = b"application/json"

_RANGE = re.compile(
    rb"(?i)(%b/%b|\*/\*)(?:[\t ]*+;[\t ]*+(?!q=)[^;]*+)*"
    rb"(?:[\t ]*+;[\t ]*+q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?.*" % (TOKEN, TOKEN)
)

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:1em/1.5 sans-serif;margin:2em}}td,th{{padding:0 1em 0 0;text-align:left}}
td:nth-child(2){{text-align:right}}</style></head>
<body><h1>{title}</h1>
<table><tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr>
"""


@attrs.frozen
class Listed:
    """A file or a folder. `modified`: seconds since the epoch."""

    name: bytes
    folder: bool
    size: int
    modified: float


def in_order(entries: Iterable[Listed]) -> list[Listed]:
    """Folders first, each by name."""
    return sorted(entries, key=lambda one: (not one.folder, one.name))


def wants_json(accept: bytes | None) -> bool:
    """Whether a client prefers JSON to a page: it says so in so many words (RFC 9110 section 12.5.1)."""
    if not accept or b"json" not in accept.lower():
        return False
    weights: dict[bytes, float] = {}
    for element in accept.split(b","):
        match = _RANGE.fullmatch(element.strip(b"\t "))
        if match is not None:
            weights.setdefault(match[1].lower(), float(match[2] or b"1"))
    wanted = weights.get(b"application/json", 0.0)
    page = weights.get(b"text/html", 0.0)
    if wanted == page:
        named = [one for one in weights if one in (b"application/json", b"text/html")]
        return bool(wanted) and named[0] == b"application/json"
    return wanted > page


def as_json(entries: Sequence[Listed]) -> bytes:
    """A list of objects with `name`, `type` ("directory" or "file"), `mtime` (ISO 8601, UTC) and, for files, `size`."""
    rows = []
    for one in entries:
        row: dict[str, object] = {
            "name": _text(one.name),
            "type": "directory" if one.folder else "file",
            "mtime": _moment(one.modified).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if not one.folder:
            row["size"] = one.size
        rows.append(row)
    return json.dumps(rows, separators=(",", ":")).encode() + b"\n"


def as_html(path: bytes, entries: Sequence[Listed], more: bool) -> bytes:
    """A page about the folder at the normal `path`. `more`: there are others that are not in it."""
    out = [_HEAD.format(title="Index of " + escape(_text(path)))]
    if path != b"/":
        out.append('<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n')
    for one in entries:
        slash = "/" if one.folder else ""
        link = quote_from_bytes(one.name, safe="") + slash
        size = "" if one.folder else _size(one.size)
        when = _moment(one.modified).strftime("%Y-%m-%d %H:%M")
        out.append(
            f'<tr><td><a href="./{link}">{escape(_text(one.name))}{slash}</a></td>'
            f"<td>{size}</td><td>{when}</td></tr>\n"
        )
    out.append("</table>\n")
    if more:
        out.append(f"<p>Only the first {len(entries)} are shown.</p>\n")
    out.append("</body></html>\n")
    return "".join(out).encode()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # of a broken disk
        return datetime.fromtimestamp(0, UTC)


def _size(size: int) -> str:
    shown = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if shown < 1024:
            return f"{shown:.0f} {unit}" if unit == "B" else f"{shown:.1f} {unit}"
        shown /= 1024
    return f"{shown:.1f} TiB"

"""Which files below a folder a request may mean, and in what order they are tried.

A path here is a normal one (`domain.routing.routes.normal_path`): decoded, no "..", no "//". What a candidate leads to
on the disk, through symbolic links, is for `net.files` to find out.

Imports: nothing of ours. Used by: config, net.files, service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import attrs

PATH = "$path"
WELL_KNOWN = b".well-known"
"""The one name with a dot in front that is public, at the top (RFC 8615)."""

LONGEST_NAME = 255
LONGEST_PATH = 4000
"""Bytes that systems take; what is longer is not there."""

_SLASHES = re.compile(rb"//+")
_STATUS = re.compile(r"=([45][0-9]{2})")


class BadTry(ValueError):
    """An entry of a `try` list that cannot be one."""


def shown(path: bytes, hidden: bool) -> bool:
    """Whether a file of that path may be served. `hidden`: also those whose name begins with a dot."""
    if b"\0" in path or len(path) > LONGEST_PATH or not path.startswith(b"/"):
        return False
    if b"/." not in path and len(path) <= LONGEST_NAME:
        return True
    for place, segment in enumerate(path[1:].split(b"/")):
        if segment in (b".", b"..") or len(segment) > LONGEST_NAME:
            return False
        if segment.startswith(b".") and not hidden:
            if place or segment != WELL_KNOWN:
                return False
    return True


@attrs.frozen
class Candidate:
    """A path to look at. `folder`: it is one that is meant; else a file. `given`: it does not come from the request."""

    path: bytes
    folder: bool
    given: bool


@attrs.frozen
class _Entry:
    """The text around the request's path; one piece if that is not in it."""

    pieces: tuple[bytes, ...]

    def of(self, path: bytes) -> Candidate:
        joined = _SLASHES.sub(b"/", path.join(self.pieces))
        return Candidate(joined, joined.endswith(b"/"), len(self.pieces) == 1)


class TryList:
    """The entries of a `try` setting, in order.

    Each is a path below the root; `$path` in it is that of the request. "=404" at the end is the status when nothing
    was found. No entries: the path itself, where a folder without its "/" is redirected to.
    `ends`: of names that only stand for themselves: "/app.js" is not answered with a page that is meant for others.
    Raises `BadTry`.
    """

    __slots__ = ("_ends", "_entries", "redirects", "status")

    def __init__(self, entries: Sequence[str] = (), ends: Iterable[str] = ()) -> None:
        entries = list(entries)
        self.redirects = not entries
        self.status = 404
        if entries and (found := _STATUS.fullmatch(entries[-1])):
            self.status = int(found[1])
            entries.pop()
        self._entries = [_entry(one) for one in entries or [PATH]]
        self._ends = tuple(one.lower().encode() for one in ends)

    def candidates(self, path: bytes) -> Iterator[Candidate]:
        """What to look at for a request, in order."""
        itself = bool(self._ends) and path.lower().endswith(self._ends)
        for entry in self._entries:
            candidate = entry.of(path)
            if not (itself and candidate.given):
                yield candidate


def _entry(text: str) -> _Entry:
    if _STATUS.fullmatch(text):
        raise BadTry("a status stands at the end of the list")
    pieces = text.split(PATH)
    if any("$" in piece for piece in pieces):
        raise BadTry("$path is the only variable here: the normal path of the request")
    if not text.startswith(("/", PATH)):
        raise BadTry('begins with "/", or with $path')
    if any(part in (".", "..") for part in text.split("/")):
        raise BadTry('must not have "." or ".." in it')
    return _Entry(tuple(piece.encode() for piece in pieces))

r"""From Host and request target to whatever serves them.

Imports: domain. Used by: config, domain.caching, importing.nginx, proxy, service.

First the most specific host: an exact name, then the longest "*.suffix", then routes for
any host. Within a host, as nginx does: an exact path, then the longest prefix if it is
marked "^~", then regular expressions in the order written, then the longest prefix. If
no path of a host matches, the next less specific host is asked.

Paths are compared in one normal form, which nobody else sees: percent-escapes decoded
once, "\" read as "/", empty and "." segments dropped, ".." resolved (RFC 3986 section
5.2.4), and without the ";parameters" of segments, which Java servers do not count to the
path: "/admin;x" is "/admin". So no spelling of a path gets past a route that covers
it. The target itself goes upstream byte for byte. Dots with parameters
("/..;x/") are ".." to some backends and a name to others, so they are refused.

A prefix without a final "/" matches whole segments: "/api" covers "/api" and "/api/x",
not "/apix".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Generic, TypeVar

import attrs

from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.expressions import Expression, expression
from lolly_tx.domain.hosts import REMEMBERED, REMEMBERED_BYTES, host_name

End = TypeVar("End")

_ODD = re.compile(rb"[%\\;]|//|/\.")
_PARAMETERS = re.compile(rb";[^/]*+")
_DOTS_WITH_PARAMETERS = re.compile(rb"(?i)(?:/|%2f|%5c)(?:\.|%2e){1,2};")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


class BadPath(DownstreamError):
    """The path is one to some backends and another to others."""


def normal_path(target: bytes) -> bytes:
    """The path of an origin-form target in its normal form, without the query.

    Raises `BadPath`.
    """
    path = target.partition(b"?")[0]
    if not _ODD.search(path):
        return path
    if b";" in path:
        if _DOTS_WITH_PARAMETERS.search(path):
            raise BadPath("dots with parameters in the path")
        path = _PARAMETERS.sub(b"", path)
    path = _ESCAPE.sub(lambda m: bytes((int(m[1], 16),)), path).replace(b"\\", b"/")
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    normal = b"/" + b"/".join(segments)
    if path.endswith((b"/", b"/.", b"/..")) and segments:
        normal += b"/"
    return normal


def path_expression(path: str) -> Expression:
    """The expression of a pattern that begins with "~" or "~*". Raises `BadExpression`."""
    caseless = path.startswith("~*")
    return expression(path[2:] if caseless else path[1:], caseless, line=True)


@attrs.frozen
class Pattern(Generic[End]):
    """One route: `hosts` () = any; `path` in the notation of the configuration."""

    hosts: tuple[str, ...]
    path: str
    end: End


class _Paths(Generic[End]):
    """The path patterns of one host pattern."""

    def __init__(self, patterns: Iterable[Pattern[End]]) -> None:
        self.exact: dict[bytes, End] = {}
        self.regexes: list[tuple[Expression, End]] = []
        prefixes: dict[bytes, tuple[End, bool]] = {}
        for pattern in patterns:
            path = pattern.path
            if path.startswith("="):
                self.exact.setdefault(path[1:].encode(), pattern.end)
            elif path.startswith("~"):
                self.regexes.append((path_expression(path), pattern.end))
            elif path.startswith("^~"):
                prefixes.setdefault(path[2:].encode(), (pattern.end, True))
            else:
                prefixes.setdefault(path.encode(), (pattern.end, False))
        self.prefixes = [
            (prefix, end, first)
            for prefix, (end, first) in sorted(
                prefixes.items(), key=lambda item: -len(item[0])
            )
        ]

    def find(self, path: bytes) -> End | None:
        """The end for a normal path, or None."""
        end = self.exact.get(path)
        if end is not None:
            return end
        longest = None
        for prefix, end, first in self.prefixes:
            if path.startswith(prefix) and (
                prefix.endswith(b"/")
                or len(path) == len(prefix)
                or path[len(prefix)] == 47
            ):
                if first:
                    return end
                longest = end
                break
        for regex, end in self.regexes:
            if regex.matches(path):
                return end
        return longest

    @property
    def only(self) -> End | None:
        """The end every path leads to, if there is but one."""
        if self.exact or self.regexes or len(self.prefixes) != 1:
            return None
        prefix, end, _ = self.prefixes[0]
        return end if prefix == b"/" else None


class RouteTable(Generic[End]):
    """The routes of one listener. `find` answers for a request.

    Answers for hosts are remembered, at most `hosts.REMEMBERED` of them, none of them long.
    """

    def __init__(self, patterns: Iterable[Pattern[End]]) -> None:
        by_host: dict[str, list[Pattern[End]]] = {}
        for pattern in patterns:
            for host in pattern.hosts or ("",):
                by_host.setdefault(host.lower().rstrip("."), []).append(pattern)
        self._hosts = {host: _Paths(each) for host, each in by_host.items()}
        self._suffixes = sorted(
            (host[1:] for host in self._hosts if host.startswith("*.")),
            key=len,
            reverse=True,
        )
        self._known: dict[bytes, tuple[End | None, tuple[_Paths[End], ...]]] = {}
        self.only: End | None = None
        """Whom `find` names whatever it is asked, if there is but one route."""
        if list(self._hosts) == [""]:
            self.only = self._hosts[""].only

    def find(self, host: bytes, target: bytes) -> End | None:
        """Who serves `target` ("*" counts as "/") on `host`. Raises `BadHost`, `BadPath`.

        `host`: a Host value, b"" for an HTTP/1.0 request without one.
        """
        known = self._known.get(host)
        if known is None:
            known = self._learn(host)
        only, levels = known
        if only is not None:
            return only
        path = b"/" if target == b"*" else normal_path(target)
        for paths in levels:
            end = paths.find(path)
            if end is not None:
                return end
        return None

    def _learn(self, host: bytes) -> tuple[End | None, tuple[_Paths[End], ...]]:
        name = host_name(host) if host else ""
        levels = [self._hosts[name]] if name and name in self._hosts else []
        levels += [
            self._hosts["*" + suffix]
            for suffix in self._suffixes
            if name.endswith(suffix) and len(name) > len(suffix)
        ]
        if "" in self._hosts:
            levels.append(self._hosts[""])
        known = (levels[0].only if levels else None, tuple(levels))
        if len(host) <= REMEMBERED_BYTES:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[host] = known
        return known

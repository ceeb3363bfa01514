r"""From Host and request target to whatever serves them.

Imports: domain, domain.routing. Used by: config.kinds, config.middleware,
domain.caching, domain.routing.prefixes, importing.lolly, importing.nginx, proxy,
proxy.caching, proxy.files, proxy.forwards, proxy.middleware, service, service.admin,
service.changes.

First the most specific host: an exact name, then the longest "*.suffix", the longest "name.*", expressions in the
order written, then routes for any host. Within a host as `locations` says, which is nginx's order. If no path of a host
matches, the next less specific host is asked.

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
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, Final, Generic

import attrs

from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.routing.hosts import REMEMBERED, REMEMBERED_BYTES, host_name
from lolly_tx.domain.routing.locations import (
    End,
    Locations,
    Pattern,
    path_expression,
    path_matches,
)
from lolly_tx.domain.steps import at_once

__all__ = ["BadPath", "Judged", "Pattern", "RouteTable", "normal_path"]

_ODD: Final = re.compile(rb"[%\\;]|//|/\.")
_PARAMETERS: Final = re.compile(rb";[^/]*+")
_DOTS_WITH_PARAMETERS: Final = re.compile(rb"(?i)(?:/|%2f|%5c)(?:\.|%2e){1,2};")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


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


REMEMBERED_PATHS: Final = 2048
"""Paths whose answers are known again, of all hosts of a table."""

PATTERNS_AT_ONCE: Final = 500
"""Put in their place in one step, some 2 ms."""

_Known = tuple[End | None, tuple[Locations[End], ...], dict[bytes, End]]
"""Of a host: whom every path leads to, its locations, the answers for paths."""


@attrs.frozen
class Judged(Generic[End]):
    """A route, and why it serves a request ("") or does not. See `RouteTable.judge`."""

    pattern: Pattern[End]
    why_not: str


class RouteTable(Generic[End]):
    """The routes of one listener. `find` answers for a request.

    Answers for hosts are remembered, at most `hosts.REMEMBERED` of them, none of them long, and where no route has
    conditions those for paths, at most `REMEMBERED_PATHS`: clients ask for the same ones again and again.
    """

    def __init__(
        self,
        patterns: Iterable[Pattern[End]],
        hosts: dict[str, Locations[End]] | None = None,
    ) -> None:
        """`hosts`: what `by_host` makes of them, which takes its time where there are thousands."""
        self.patterns = tuple(patterns)
        self._hosts = at_once(by_host(self.patterns)) if hosts is None else hosts
        self._expressions = [
            (path_expression("~*" + host[1:]), locations)
            for host, locations in self._hosts.items()
            if host.startswith("~")
        ]
        self._wild = any("*" in host for host in self._hosts)
        self._known: dict[bytes, _Known[End]] = {}
        self._paths_left = REMEMBERED_PATHS
        self._plain = not any(one.conditions for one in self.patterns)
        self._by_method = [
            one
            for one in self.patterns
            if any(condition.methods for condition in one.conditions)
        ]
        self.only: End | None = None
        """Whom `find` names whatever it is asked, if there is but one route."""
        if list(self._hosts) == [""]:
            self.only = self._hosts[""].only

    def find(
        self, host: bytes, target: bytes, head: Any = None, peer: Any = None
    ) -> End | None:
        """Who serves `target` ("*" counts as "/") on `host`. Raises `BadHost`, `BadPath`.

        `host`: a Host value, b"" for an HTTP/1.0 request without one. `head`, `peer`: what conditions are asked of.
        """
        known = self._known.get(host)
        if known is None:
            known = self._learn(host)
        only, levels, answers = known
        if only is not None:
            return only
        asked = target.partition(b"?")[0]
        end = answers.get(asked)
        if end is not None:
            return end
        path = b"/" if target == b"*" else normal_path(target)
        for locations in levels:
            end = locations.find(path, head, peer)
            if end is not None:
                if self._plain and len(asked) <= REMEMBERED_BYTES:
                    self._remember(answers, asked, end)
                return end
        return None

    def _learn(self, host: bytes) -> _Known[End]:
        levels = tuple(self._levels(host_name(host) if host else ""))
        known: _Known[End] = (levels[0].only if levels else None, levels, {})
        if len(host) <= REMEMBERED_BYTES:
            if len(self._known) >= REMEMBERED:
                self._forget()
            self._known[host] = known
        return known

    def _remember(self, answers: dict[bytes, End], path: bytes, end: End) -> None:
        if not self._paths_left:
            self._forget()
        self._paths_left -= 1
        answers[path] = end

    def _forget(self) -> None:
        for _, _, answers in self._known.values():
            answers.clear()
        self._known.clear()
        self._paths_left = REMEMBERED_PATHS

    def _levels(self, name: str) -> Iterator[Locations[End]]:
        """The locations for a host, the most specific first."""
        hosts = self._hosts
        if name:
            if name in hosts:
                yield hosts[name]
            if self._wild:
                dots = [at for at, char in enumerate(name) if char == "."]
                for wild in (
                    *("*" + name[at:] for at in dots),
                    *(name[: at + 1] + "*" for at in reversed(dots)),
                ):
                    if wild in hosts:
                        yield hosts[wild]
            for expression, locations in self._expressions:
                if expression.matches(name.encode()):
                    yield locations
        if "" in hosts:
            yield hosts[""]

    # -- for people, and for what is seldom

    def allowed(
        self, host: bytes, target: bytes, head: Any = None, peer: Any = None
    ) -> tuple[str, ...]:
        """The methods with which a request would have a route, where it has none as it is. Raises as `find` does."""
        if not self._by_method:
            return ()
        name = host_name(host) if host else ""
        path = b"/" if target == b"*" else normal_path(target)
        found: set[str] = set()
        for pattern in self._by_method:
            rest = [one for one in pattern.conditions if not one.methods]
            if not _elsewhere(pattern, name, path):
                if all(one.holds(head, peer) for one in rest):
                    found.update(*(one.methods for one in pattern.conditions))
        return tuple(sorted(found))

    def judge(
        self, host: bytes, target: bytes, head: Any = None, peer: Any = None
    ) -> list[Judged[End]]:
        """All routes with what keeps them from serving a request. Raises as `find` does."""
        found = self.find(host, target, head, peer)
        name = host_name(host) if host else ""
        path = b"/" if target == b"*" else normal_path(target)
        judged = []
        for pattern in self.patterns:
            why_not = _why_not(pattern, name, path, head, peer)
            if not why_not and pattern.end is not found:
                why_not = "another one comes first"
            judged.append(Judged(pattern, why_not))
        return judged


def _elsewhere(pattern: Pattern[Any], name: str, path: bytes) -> str:
    """How a request is for somewhere else; "": it is not."""
    if pattern.hosts and not any(host_matches(one, name) for one in pattern.hosts):
        return "another host"
    return "" if path_matches(pattern.path, path) else "another path"


def _why_not(
    pattern: Pattern[Any], name: str, path: bytes, head: Any, peer: Any
) -> str:
    elsewhere = _elsewhere(pattern, name, path)
    if elsewhere:
        return elsewhere
    failed = [one.what for one in pattern.conditions if not one.holds(head, peer)]
    return f"does not hold: {', '.join(failed)}" if failed else ""


def by_host(
    patterns: Sequence[Pattern[End]],
) -> Generator[None, None, dict[str, Locations[End]]]:
    """The locations of each host that they are for, some at each step."""
    grouped: dict[str, list[Pattern[End]]] = {}
    for number, pattern in enumerate(patterns, 1):
        for host in pattern.hosts or ("",):
            grouped.setdefault(one_spelling(host), []).append(pattern)
        if not number % PATTERNS_AT_ONCE:
            yield
    found: dict[str, Locations[End]] = {}
    made = 0
    for host, each in grouped.items():
        found[host] = Locations(each)
        made += len(each)
        if made >= PATTERNS_AT_ONCE:
            made = 0
            yield
    return found


def one_spelling(host: str) -> str:
    """A host pattern as it is compared; expressions stay."""
    return host if host.startswith("~") else host.lower().rstrip(".")


def host_matches(pattern: str, name: str) -> bool:
    """Whether the name of a host is one of those a pattern is for."""
    if pattern.startswith("~"):
        return path_expression("~*" + pattern[1:]).matches(name.encode())
    pattern = one_spelling(pattern)
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    if pattern.endswith(".*"):
        return name.startswith(pattern[:-1]) and len(name) > len(pattern) - 1
    return name == pattern

"""Many purges as one question, so that what is stored is gone through once for all of them.

They are sorted by host and tag; what an answer is looked up by is then its host, its tags, its target and its path,
however many purges there are. Only prefixes are compared one by one.

Imports: domain.caching, domain.routing. Used by: proxy.caching.
"""

from __future__ import annotations

from collections.abc import Iterable

from lolly_tx.domain.caching.catalog import Purge, Variant
from lolly_tx.domain.routing.hosts import BadHost, host_name
from lolly_tx.domain.routing.routes import BadPath, normal_path


class _Group:
    """What purges with the same host and tag say of paths. `whole`: there is one that says nothing of them."""

    __slots__ = ("_prefixes", "paths", "prefixes", "targets", "whole")

    def __init__(self) -> None:
        self.whole = False
        self.targets: set[bytes] = set()
        self.paths: set[bytes] = set()
        self.prefixes: dict[bytes, None] = {}
        self._prefixes: tuple[bytes, ...] = ()

    def add(self, purge: Purge) -> None:
        path, prefix = purge.path, purge.prefix
        if path is None:
            if prefix is None:
                self.whole = True
            else:
                self.prefixes[prefix] = None
        else:
            normal = _path(path) if purge.exact else path
            if prefix is None or (normal or b"").startswith(prefix):
                (self.targets if purge.exact else self.paths).add(path)

    def complete(self) -> None:
        """That was all."""
        self._prefixes = tuple(self.prefixes)

    def names(self, target: bytes) -> bool:
        if self.whole or target in self.targets:
            return True
        if not (self.paths or self.prefixes):
            return False
        path = _path(target)
        return path is not None and (
            path in self.paths or path.startswith(self._prefixes)
        )


class PurgeSet:
    """See the module. `tags`: those that are named, if no purge names anything else; None: there is one that does."""

    def __init__(self, purges: Iterable[Purge]) -> None:
        self._groups: dict[tuple[bytes | None, bytes | None], _Group] = {}
        for purge in purges:
            key = purge.host, purge.tag
            self._groups.setdefault(key, _Group()).add(purge)
        for group in self._groups.values():
            group.complete()
        self._hosts = any(host is not None for host, _ in self._groups)
        tags = {tag for _, tag in self._groups if tag is not None}
        untagged = any(tag is None for _, tag in self._groups)
        self.tags: frozenset[bytes] | None = None if untagged else frozenset(tags)
        self._tagged = frozenset(tags)
        # What most are: of any host and without a tag.
        self._plain = self._groups.pop((None, None), None)

    def names(self, one: Variant) -> bool:
        """Whether one of them does, as `catalog.is_named` says it."""
        if self._plain is not None and self._plain.names(one.url_target):
            return True
        if not self._groups:
            return False
        hosts: tuple[bytes | None, ...] = (None,)
        if self._hosts:
            authority = one.site.partition(b"://")[2]
            hosts = None, authority, _name(authority)
        tags = (None, *(one.tags & self._tagged))
        for host in hosts:
            for tag in tags:
                group = self._groups.get((host, tag))
                if group is not None and group.names(one.url_target):
                    return True
        return False


def _name(authority: bytes) -> bytes | None:
    try:
        return host_name(authority).encode("ascii")
    except BadHost:
        return None


def _path(target: bytes) -> bytes | None:
    """None: no route leads there, so nothing of it is stored."""
    try:
        return normal_path(target)
    except BadPath:
        return None

"""What is stored, found by what a request names, and by what a purge names.

    site            b"https://example.com"        scheme, host in lower case, port
    target          b"/a?b=c"                     path and query as the client sent them, or a key made by the operator
    variants        by the request's fields that the answer depends on (Vary, RFC 9111 section 4.1)
    tags            as the target names them, for purges

Imports: domain.routing. Used by: domain.caching.purgeset, proxy.caching, service,
service.admin, service.stores, service.workers, wire.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Generic, Protocol, TypeVar

import attrs

from lolly_tx.domain.routing.hosts import BadHost, host_name
from lolly_tx.domain.routing.routes import BadPath, normal_path

MOST_VARIANTS = 16
"""Of one target: an answer that depends on what all clients differ in would fill the store with itself."""

Names = tuple[bytes, ...]


class Variant(Protocol):
    """A stored answer.

    `url_target`: the target, also where `target` is a key. `vary`: names in lower case; `selecting`: their values.
    """

    site: bytes
    target: bytes
    url_target: bytes
    vary: Names
    selecting: Names
    tags: frozenset[bytes]


Kept = TypeVar("Kept", bound=Variant)

Select = Callable[[Names], Names]
"""From names of fields to their values in the request at hand, in a form in which equal means equal."""


@attrs.frozen
class Purge:
    """What is to go: where several are given, what all of them name.

    `path`: its normal form; with `exact`, the target as clients send it, query and all. `prefix`: of the normal form.
    `host`: the name, with a port only that one. `cache`: of its name only, which is for who has several. With none of
    them it is everything.
    """

    path: bytes | None = None
    exact: bool = False
    prefix: bytes | None = None
    tag: bytes | None = None
    host: bytes | None = None
    cache: bytes | None = None


class Catalog(Generic[Kept]):
    """Each answer is in here once, under its site and target."""

    def __init__(self) -> None:
        self.sites: dict[bytes, dict[bytes, list[Kept]]] = {}
        """By site, then by target; to look at, not to change."""
        self._tags: dict[bytes, set[Kept]] = {}

    def __iter__(self) -> Iterator[Kept]:
        for targets in self.sites.values():
            for variants in targets.values():
                yield from variants

    def variants(self, site: bytes, target: bytes) -> list[Kept] | None:
        """All that is stored of a target, the newest last; not to be changed."""
        targets = self.sites.get(site)
        return None if targets is None else targets.get(target)

    def find(self, site: bytes, target: bytes, select: Select) -> Kept | None:
        """The newest answer that a request for it selects."""
        for variant in reversed(self.variants(site, target) or ()):
            if not variant.vary or select(variant.vary) == variant.selecting:
                return variant
        return None

    def add(self, new: Kept) -> list[Kept]:
        """Take it in; those that it takes the place of, which are out."""
        variants = self.variants(new.site, new.target) or []
        # An answer that depends on something else than those before says what is true of them as well.
        alike = [one for one in variants if one.vary == new.vary]
        others = [one for one in alike if one.selecting != new.selecting]
        kept = others[-(MOST_VARIANTS - 1) :]
        replaced = [one for one in variants if one not in kept]
        for one in replaced:
            self.remove(one)
        targets = self.sites.setdefault(new.site, {})
        targets.setdefault(new.target, []).append(new)
        for tag in new.tags:
            self._tags.setdefault(tag, set()).add(new)
        return replaced

    def remove(self, one: Kept) -> None:
        """It is not stored any more; if it is not in here, nothing happens."""
        targets = self.sites.get(one.site, {})
        variants = targets.get(one.target, [])
        if one not in variants:
            return
        variants.remove(one)
        if not variants:
            del targets[one.target]
            if not targets:
                del self.sites[one.site]
        for tag in one.tags:
            tagged = self._tags[tag]
            tagged.discard(one)
            if not tagged:
                del self._tags[tag]

    def suspects(self, tags: Collection[bytes] | None) -> Iterator[Kept]:
        """All that is stored, or all that has one of `tags`.

        The catalog may change from one step to the next: what comes in may be left out, what leaves may come yet.
        """
        if tags is not None:
            for tag in tags:
                yield from tuple(self._tags.get(tag, ()))
            return
        for targets in tuple(self.sites.values()):
            for variants in tuple(targets.values()):
                yield from tuple(variants)


def is_named(one: Variant, purge: Purge) -> bool:
    """Whether `purge` names it."""
    if purge.tag is not None and purge.tag not in one.tags:
        return False
    if purge.host is not None and not _is_host(one.site, purge.host):
        return False
    if purge.path is not None and purge.exact and one.url_target != purge.path:
        return False
    if purge.prefix is None and (purge.path is None or purge.exact):
        return True
    try:
        path = normal_path(one.url_target)
    except BadPath:  # no route leads there, so nothing of it is stored
        return False
    if purge.path is not None and not purge.exact and path != purge.path:
        return False
    return purge.prefix is None or path.startswith(purge.prefix)


def _is_host(site: bytes, host: bytes) -> bool:
    authority = site.partition(b"://")[2]
    if authority == host:
        return True
    try:
        return host_name(authority) == host.decode("ascii", "replace")
    except BadHost:
        return False

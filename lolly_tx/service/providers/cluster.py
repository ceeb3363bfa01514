"""The copies of all that a cluster says of what is served: one for each kind, and for each namespace that is looked at.

Imports: config, kubernetes, net.kubernetes. Used by: service.providers.provider.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from lolly_tx.config.providers import Provider
from lolly_tx.kubernetes.objects import KINDS, Objects
from lolly_tx.kubernetes.objects import Kind as ObjectKind
from lolly_tx.net.kubernetes.access import Access, InThread, place_of
from lolly_tx.net.kubernetes.api import Api
from lolly_tx.net.kubernetes.mirror import Key, Kind, Mirror, kind_path

INTERVAL = 60.0
"""Seconds that one watch goes on: a server that has frozen is found by then."""

_NOISE = ("managedFields", "ownerReferences", "finalizers")
_QUERIES = {"Secret": {"fieldSelector": "type=kubernetes.io/tls"}}


def taken(item: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an object."""
    meta = {k: v for k, v in item["metadata"].items() if k not in _NOISE}
    kept = {k: v for k, v in item.items() if k in ("spec", "status", "data")}
    return {**kept, "metadata": meta}


class Cluster:
    """Those of `provider`. `changed`: called when something is other; `failed`: with why it is not known, in one line.

    `api`: None: the one that the settings say.
    """

    def __init__(
        self,
        provider: Provider,
        around: Any,
        in_thread: InThread,
        changed: Callable[[], None],
        failed: Callable[[str], None],
        api: Api | None = None,
    ) -> None:
        place = place_of(
            provider.api, provider.token, provider.token_file, provider.ca, os.environ
        )
        self.api = api or Api(Access(place, around.reactor, in_thread), around.reactor)
        self._around, self._changed, self._failed = around, changed, failed
        self._mirrors = [
            (kind, self._mirror(kind, namespace))
            for kind in KINDS.values()
            for namespace in (
                [""] if kind.cluster_wide else provider.namespaces or [""]
            )
        ]

    def _mirror(self, kind: ObjectKind, namespace: str) -> Mirror:
        path = kind_path(kind.version, kind.plural, namespace)
        return Mirror(
            self.api,
            Kind(path, _QUERIES.get(kind.name, {}), kind.optional),
            clock=self._around.reactor,
            random=self._around.random,
            interval=INTERVAL,
            taken=taken,
            changed=self._told,
            failed=self._failed,
        )

    def start(self) -> None:
        """Begin to copy."""
        for _, mirror in self._mirrors:
            mirror.start()

    def stop(self) -> None:
        """Ask no more."""
        for _, mirror in self._mirrors:
            mirror.stop()
        self.api.close()

    @property
    def complete(self) -> bool:
        """Whether all was read once."""
        return all(mirror.complete for _, mirror in self._mirrors)

    @property
    def current(self) -> bool:
        """Whether every last question was answered."""
        return all(mirror.current for _, mirror in self._mirrors)

    def _told(self, keys: set[Key]) -> None:
        if self.complete:
            self._changed()

    def objects(self) -> Objects:
        """All there is, as it is now."""
        found: dict[str, dict[Key, Any]] = {}
        for kind, mirror in self._mirrors:
            found.setdefault(kind.name, {}).update(mirror.objects)
        return Objects(found)

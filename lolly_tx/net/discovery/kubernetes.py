"""The endpoints of a service in Kubernetes, by its EndpointSlices: listed, and then watched.

    Mirror (one for each cluster and namespace) --> Shared --> Service, the feed of a pool

Pools that are fed from one namespace share one watch.

Imports: config, domain, net.discovery, net.kubernetes, Twisted. Used by: programs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from lolly_tx.config.discoveries import Kubernetes
from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.net.discovery.endpointslices import Slice, entries_of, taken
from lolly_tx.net.kubernetes.access import Access, place_of
from lolly_tx.net.kubernetes.api import Api
from lolly_tx.net.kubernetes.mirror import Key, Kind, Mirror, kind_path

VERSION, PLURAL = "discovery.k8s.io/v1", "endpointslices"


class KubernetesFactory:
    """Makes what watches for `discover` with `type = "kubernetes"`."""

    name = "kubernetes"
    settings = Kubernetes

    def build(self, settings: Kubernetes, deps: DiscoveryDeps) -> Service:
        """See `IPluginFactory`."""
        place = place_of(
            settings.url, settings.token, settings.token_file, settings.ca, os.environ
        )
        namespace = "" if settings.watch == "all" else settings.namespace
        key = ("kubernetes", place, namespace)

        def shared() -> Shared:
            there = deps.shared.get(key)
            if there is None:
                api = Api(Access(place, deps.reactor, deps.in_thread), deps.clock)
                there = Shared(api, namespace, deps, lambda: deps.shared.pop(key, None))
                deps.shared[key] = there
            found: Shared = there
            return found

        return Service(settings, deps, shared)


class Shared:
    """The slices of a namespace ("" = of all), for as long as a pool wants some. `over`: called when none does."""

    def __init__(
        self, api: Api, namespace: str, deps: DiscoveryDeps, over: Callable[[], Any]
    ) -> None:
        self.ready = False
        """Whether all slices were taken up once."""
        self._api, self._over = api, over
        self._wanted: dict[Service, Key] = {}
        self._slices: dict[Key, dict[Key, Slice]] = {}
        self._of: dict[Key, Key] = {}
        self.mirror = Mirror(
            api,
            Kind(kind_path(VERSION, PLURAL, namespace)),
            clock=deps.clock,
            random=deps.random,
            interval=deps.interval,
            taken=taken,
            changed=self._changed,
            failed=self._failed,
        )

    def want(self, service: Service, key: Key) -> None:
        """Tell `service` of the slices of the service `key`."""
        self._wanted[service] = key
        if len(self._wanted) == 1:
            self.mirror.start()

    def leave(self, service: Service) -> None:
        """Tell it no more."""
        self._wanted.pop(service, None)
        if not self._wanted:
            self.mirror.stop()
            self._api.close()
            self._over()

    def slices(self, key: Key) -> list[Slice]:
        """Those of one service, in the order of their names."""
        return [one for _, one in sorted(self._slices.get(key, {}).items())]

    def _changed(self, keys: set[Key]) -> None:
        self.ready = True
        touched = set()
        for key in keys:
            before, one = self._of.pop(key, None), self.mirror.objects.get(key)
            if before is not None:
                touched.add(before)
                del self._slices[before][key]
                if not self._slices[before]:
                    del self._slices[before]
            if one is not None:
                service = self._of[key] = key[0], one.service
                touched.add(service)
                self._slices.setdefault(service, {})[key] = one
        for each, wanted in list(self._wanted.items()):
            if not each.told or wanted in touched:
                each.tell()

    def _failed(self, why: str) -> None:
        for each in list(self._wanted):
            each.fail(why)


@implementer(IDiscovery)
class Service:
    """The feed of one pool: what its service's slices say, when it changes, and every interval."""

    def __init__(
        self, settings: Kubernetes, deps: DiscoveryDeps, shared: Callable[[], Shared]
    ) -> None:
        self.told = False
        """Whether it was told what is current."""
        self._settings, self._deps, self._make = settings, deps, shared
        self._key = settings.namespace, settings.service
        self._shared: Shared | None = None
        self._timer: IDelayedCall | None = None
        self._found: Callable[[Sequence[Any]], None] = print
        self._failed: Callable[[str], None] = print

    def start(
        self, found: Callable[[Sequence[Any]], None], failed: Callable[[str], None]
    ) -> None:
        """See `IDiscovery`."""
        self._found, self._failed = found, failed
        self._shared = self._make()
        self._shared.want(self, self._key)
        self._later(0.0)

    def stop(self) -> None:
        """See `IDiscovery`."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.leave(self)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _later(self, seconds: float) -> None:
        self._timer = self._deps.clock.callLater(seconds, self._turn)

    def _turn(self) -> None:
        """Say again what is so: who shows its age knows that it was looked at."""
        # Not all pools of a cluster at the same moment.
        self._later(self._deps.interval * (0.5 + 0.5 * self._deps.random.random()))
        shared = self._shared
        if shared is not None and shared.ready and shared.mirror.current:
            self.tell()

    def tell(self) -> None:
        """Say what there is."""
        if self._shared is not None:
            self.told = True
            one = self._settings
            slices = self._shared.slices(self._key)
            self._found(entries_of(slices, one.port, one.scheme, one.zone))

    def fail(self, why: str) -> None:
        """Say that there is no answer."""
        self.told = False
        self._failed(why)

"""The providers of a running service: those that the settings name, for as long as they do.

Imports: config, domain, net.discovery, net.kubernetes, service, service.changes,
service.providers, Twisted. Used by: tap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.statefolder import StateFolder

if TYPE_CHECKING:
    from lolly_tx.config.providers import AnyProvider, Provider
    from lolly_tx.net.kubernetes.api import Api
    from lolly_tx.service.providers.provider import Provider as ClusterProvider
    from lolly_tx.service.providers.textprovider import TextProvider
    from lolly_tx.service.providers.textstate import Kept


class Providers:
    """Those of the service of `reloader`. `folder`: where their texts are kept; None: nowhere.

    `kept`: texts that are in force at the start, by the name of the provider. `api_of`, `feed_of`: in place of what
    the settings say.
    """

    def __init__(
        self,
        reloader: Reloader,
        api_of: Callable[[Provider], Api | None] | None = None,
        *,
        folder: StateFolder | None = None,
        kept: Mapping[str, Kept] | None = None,
        feed_of: Callable[[Any], IDiscovery] | None = None,
    ) -> None:
        self._reloader = reloader
        self._api_of = api_of or (lambda settings: None)
        self._feed_of = feed_of or self._feed
        self._folder = folder
        self._kept = dict(kept or {})
        self._stopped = False
        self.by_name: dict[str, ClusterProvider | TextProvider] = {}
        reloader.on_change.append(self._changed)

    def start(self) -> None:
        """See `generation.Providing`."""
        self._follow()

    def stop(self) -> None:
        """See `generation.Providing`."""
        self._stopped = True
        for one in self.by_name.values():
            one.stop()

    def unready(self) -> list[str]:
        """See `generation.Providing`."""
        return [
            f"provider {name}: {one.error or 'not everything was read yet'}"
            for name, one in self.by_name.items()
            if not one.applied
        ]

    def provides(self, pool: str) -> bool:
        """See `generation.Providing`."""
        standing = self._reloader.standing
        return pool not in standing.base.pools and pool in standing.whole.pools

    def shown(self) -> list[dict[str, Any]]:
        """See `generation.Providing`."""
        return [one.shown() for one in self.by_name.values()]

    def _changed(self, begins: bool) -> None:
        if not begins and not self._stopped:
            self._follow()

    def _follow(self) -> None:
        """Ask those that the settings name now; who is asked as before goes on, and looks at what is new beside it."""
        named = self._reloader.standing.base.providers
        for name, one in list(self.by_name.items()):
            if named.get(name) == one.settings:
                one.again()
                continue
            self.by_name.pop(name).stop()
            if name not in named:
                one.forget()
            elif (texts := getattr(one, "kept", None)) is not None:
                self._kept[name] = texts  # they are in force until it answers
        for name, settings in named.items():
            if name not in self.by_name:
                self.by_name[name] = made = self._made(settings)
                made.start()

    def _made(self, settings: AnyProvider) -> ClusterProvider | TextProvider:
        # What most configurations do not have is imported when there is one.
        from lolly_tx.config.providers import Provider

        if isinstance(settings, Provider):
            from lolly_tx.service.providers.provider import Provider as ClusterProvider

            api = self._api_of(settings)
            return ClusterProvider(settings, self._reloader, self._in_thread, api)
        from lolly_tx.service.providers.textprovider import TextProvider

        kept = self._kept.pop(settings.name, None)
        feed, folder = self._feed_of(settings), self._folder
        return TextProvider(
            settings, self._reloader, self._in_thread, feed, kept, folder
        )

    def _feed(self, settings: Any) -> IDiscovery:
        from lolly_tx.net.discovery.texts import texts_feed

        around = self._reloader.service.surroundings
        deps = DiscoveryDeps(
            pool=settings.name,
            interval=settings.interval,
            reactor=around.reactor,
            clock=around.reactor,
            now=around.now,
            random=around.random,
            log=Logger("lolly_tx.service.providers.textprovider"),
            in_thread=self._in_thread,
        )
        return texts_feed(settings, deps)

    def kept(self) -> dict[str, Kept]:
        """The texts that are in force, by the name of their provider."""
        there = {name: getattr(one, "kept", None) for name, one in self.by_name.items()}
        return {name: one for name, one in there.items() if one is not None}

    def _in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        reactor = self._reloader.service.surroundings.reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

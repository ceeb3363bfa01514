"""The providers of a running service: those that the settings name, for as long as they do.

Imports: config, net.kubernetes, service, Twisted. Used by: tap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from lolly_tx.config.providers import Provider as Settings
from lolly_tx.service.reload import Reloader

if TYPE_CHECKING:
    from lolly_tx.net.kubernetes.api import Api
    from lolly_tx.service.provider import Provider


class Providers:
    """Those of the service of `reloader`. `api_of`: in place of the API that the settings say."""

    def __init__(
        self, reloader: Reloader, api_of: Callable[[Settings], Api | None] | None = None
    ) -> None:
        self._reloader = reloader
        self._api_of = api_of or (lambda settings: None)
        self._stopped = False
        self.by_name: dict[str, Provider] = {}
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
            if named.get(name) != one.settings:
                self.by_name.pop(name).stop()
            else:
                one.again()
        for name, settings in named.items():
            if name not in self.by_name:
                # What most configurations do not have is imported when there is one.
                from lolly_tx.service.provider import Provider

                api = self._api_of(settings)
                made = Provider(settings, self._reloader, self._in_thread, api)
                self.by_name[name] = made
                made.start()

    def _in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        reactor = self._reloader.service.surroundings.reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

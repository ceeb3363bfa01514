"""Targets from a URL: a JSON list, asked for every interval; an entity tag saves what has not changed.

Imports: config, net.discovery. Used by: programs.
"""

from __future__ import annotations

from lolly_tx.config.discoveries import Http
from lolly_tx.net.discovery.asking import JsonClient, place_of
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.net.discovery.entries import entries_of
from lolly_tx.net.discovery.feed import Answer, Feed, NotLearned


class HttpFactory:
    """Makes what asks for `discover` with `type = "http"`."""

    name = "http"
    settings = Http

    def build(self, settings: Http, deps: DiscoveryDeps) -> Feed:
        """See `IPluginFactory`."""
        client = JsonClient(deps)
        return Feed(List(settings, deps.interval, client).ask, deps)


class List:
    """What is at a URL."""

    def __init__(self, settings: Http, interval: float, client: JsonClient) -> None:
        self._settings = settings
        self._interval = interval
        self._client = client
        self._tag = ""

    async def ask(self) -> Answer:
        """What is new there."""
        fields = {}
        if self._settings.token:
            fields["Authorization"] = f"Bearer {self._settings.token}"
        if self._tag:
            fields["If-None-Match"] = self._tag
        said = await self._client.ask(self._settings.url, fields=fields, also=(304,))
        if said.status == 304:
            return Answer(None, self._interval)
        try:
            entries = entries_of(said.value)
        except ValueError as error:
            raise NotLearned(f"{place_of(self._settings.url)}: {error}") from None
        self._tag = (said.headers.getRawHeaders("ETag") or [""])[0]
        return Answer(entries, self._interval)

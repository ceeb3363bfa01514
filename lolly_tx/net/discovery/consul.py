"""The instances of a service in Consul whose checks pass, by blocking queries.

A query is answered when something has changed since `index`, or after a while. An index that goes back, or is none, is
begun anew, as Consul's documentation asks for.

Imports: config, net.discovery. Used by: programs.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from lolly_tx.config.discoveries import Consul
from lolly_tx.net.discovery.asking import ANSWER_SECONDS, JsonClient
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.net.discovery.feed import Answer, Feed, NotLearned

LEAST_SECONDS = 0.2
"""Between two queries: changes that follow each other are taken together."""


class ConsulFactory:
    """Makes what asks for `discover` with `type = "consul"`."""

    name = "consul"
    settings = Consul

    def build(self, settings: Consul, deps: DiscoveryDeps) -> Feed:
        """See `IPluginFactory`."""
        client = JsonClient(deps)
        return Feed(Service(settings, deps.interval, client).ask, deps)


class Service:
    """One service. `interval`: seconds that a query may wait for a change."""

    def __init__(self, settings: Consul, interval: float, client: JsonClient) -> None:
        self._settings = settings
        self._interval = interval
        self._client = client
        self._index = 0

    async def ask(self) -> Answer:
        """What there is once it is other than before."""
        settings = self._settings
        wait = max(1, round(self._interval))
        # Who comes back after a failure may count from another number.
        before, self._index = self._index, 0
        query = {"passing": "true", "index": str(before), "wait": f"{wait}s"}
        if settings.tag:
            query["tag"] = settings.tag
        service = quote(settings.service, safe="")
        url = (
            f"{settings.url.rstrip('/')}/v1/health/service/{service}?{urlencode(query)}"
        )
        fields = {"X-Consul-Token": settings.token} if settings.token else {}
        # Consul adds up to a sixteenth, so that not all queries end together.
        seconds = wait * 17 / 16 + ANSWER_SECONDS
        said = await self._client.ask(
            url, fields=fields, seconds=seconds, read=self._entries
        )
        self._index = _index(said.headers)
        if before and self._index == before:
            return Answer(None, LEAST_SECONDS)
        if self._index < before:
            self._index = 0
        # An index is all that makes a query wait.
        return Answer(said.value, LEAST_SECONDS if self._index else self._interval)

    def _entries(self, value: Any) -> list[Any]:
        """The targets in an answer."""
        if not isinstance(value, list):
            raise NotLearned(f"{self._settings.url}: no list of instances")
        return [self._entry(one) for one in value]

    def _entry(self, one: Any) -> Any:
        """A target of what Consul has; anything else is refused as one."""
        try:
            service, node = one["Service"], one["Node"]
            host = service["Address"] or node["Address"]
            if ":" in host:
                host = f"[{host}]"
            entry = {"url": f"{self._settings.scheme}://{host}:{service['Port']}"}
            weight = (service.get("Weights") or {}).get("Passing", 1)
            return {**entry, "weight": weight} if weight != 1 else entry
        except (LookupError, TypeError, AttributeError, RecursionError):
            return {"url": "", "consul": "an instance without address and port"}


def _index(headers: Any) -> int:
    text = (headers.getRawHeaders("X-Consul-Index") or [""])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0

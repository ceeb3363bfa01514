"""The keys below a prefix in etcd (v3), by its JSON gateway: all of them, and then word of any change.

    range of the prefix --> entries, at revision R
    watch from R + 1    --> anything happens: range again; nothing for an interval: range again

A watch begins where the range ended, so nothing is lost between them. Revisions that were compacted away end the watch
like any change. A key whose lease ends is gone like one that is deleted.

Imports: config, net, net.discovery, Twisted. Used by: net.discovery.texts.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from twisted.internet.task import deferLater

from lolly_tx.config.discoveries import Etcd
from lolly_tx.net.discovery.asking import JsonClient
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.net.discovery.feed import Answer, Feed, NotLearned
from lolly_tx.net.foreignjson import SMALL, read_json

GATHER_SECONDS = 0.1
"""After word of a change: those that follow it at once are read with it."""

Pairs = list[tuple[bytes, bytes]]
"""Keys and values."""


class EtcdFactory:
    """Makes what asks for `discover` with `type = "etcd"`."""

    name = "etcd"
    settings = Etcd

    def build(self, settings: Etcd, deps: DiscoveryDeps) -> Feed:
        """See `IPluginFactory`."""
        keys = Keys(settings.url, settings.prefix, deps, JsonClient(deps))
        return Feed(Targets(keys).ask, deps)


class Targets:
    """Targets that are the values of keys."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def ask(self) -> Answer:
        """What there is, once it may be other than before."""
        return Answer(await self._keys.read(_entries), 0.0)


class Keys:
    """The keys of one prefix."""

    def __init__(
        self, url: str, prefix_text: str, deps: DiscoveryDeps, client: JsonClient
    ) -> None:
        self._url = url.rstrip("/")
        prefix = prefix_text.encode()
        self._span = {"key": _b64(prefix), "range_end": _b64(_after(prefix))}
        self._deps = deps
        self._client = client
        self._revision = 0

    async def read(self, make: Callable[[Pairs], Any]) -> Any:
        """What `make` makes of all of them, once they may be other than before; in their order, however written.

        `make` may be called in a thread, and raise `NotLearned`.
        """
        revision, self._revision = self._revision, 0
        if revision and await self._happened(revision):
            await deferLater(self._deps.clock, GATHER_SECONDS)

        def read(value: Any) -> tuple[int, Any]:
            revision, pairs = self._found(value)
            return revision, make(pairs)

        url = f"{self._url}/v3/kv/range"
        said = await self._client.ask(url, question=self._span, read=read)
        self._revision, made = said.value
        return made

    def _found(self, value: Any) -> tuple[int, Pairs]:
        """The revision and the pairs in the answer to a range."""
        try:
            revision = int(value["header"]["revision"])
            pairs = [
                (b64decode(one["key"]), b64decode(one.get("value", "")))
                for one in value.get("kvs", ())
            ]
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            revision, pairs = 0, []
        if revision < 1:  # nothing could be watched from there
            raise NotLearned(f"{self._url}/v3/kv/range: no answer of etcd's")
        return revision, sorted(pairs)

    async def _happened(self, revision: int) -> bool:
        """Whether anything has, since `revision`, within the interval."""
        begin = {"create_request": {**self._span, "start_revision": str(revision + 1)}}
        url, seconds = f"{self._url}/v3/watch", self._deps.interval
        return await self._client.happened(url, begin, seconds, _is_news)


def _entries(pairs: Pairs) -> list[Any]:
    return [_entry(value) for _, value in pairs]


def _entry(value: bytes) -> Any:
    """A target: a URL, or a table as JSON."""
    text = value.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        try:
            return read_json(value)
        except ValueError:
            return text
    return text


def _is_news(line: bytes) -> bool:
    """All but the word that a watch has begun, or that it goes on."""
    if len(line) > SMALL:
        return True
    try:
        result = read_json(line)["result"]
        return bool(result.get("events") or result.get("canceled"))
    except (LookupError, TypeError, ValueError, AttributeError):
        return True


def _after(prefix: bytes) -> bytes:
    """The first key that does not begin with `prefix`."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\0"


def _b64(data: bytes) -> str:
    return b64encode(data).decode("ascii")

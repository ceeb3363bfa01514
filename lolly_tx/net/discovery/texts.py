"""Configuration texts of providers: what is in the keys below a prefix in etcd, or at a URL.

Nothing at all is no answer: whoever wants to take everything back says so, by a text with a comment.

Imports: config, net.discovery, net.kubernetes, Twisted. Used by: service.providers.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.iweb import IAgent

from lolly_tx.config.providedtexts import MOST_TEXT_BYTES, MOST_TEXTS, Text
from lolly_tx.config.textproviders import EtcdTexts, HttpTexts
from lolly_tx.net.discovery.asking import JsonClient
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.net.discovery.etcd import Keys, Pairs
from lolly_tx.net.discovery.feed import Answer, Feed, NotLearned
from lolly_tx.net.kubernetes.access import Access, Place


def texts_feed(
    settings: EtcdTexts | HttpTexts, deps: DiscoveryDeps, agent: IAgent | None = None
) -> Feed:
    """Who asks for the texts of a provider: its entries are instances of `Text`. `agent`: in place of our own."""
    place = Place(settings.url, settings.token, settings.token_file, settings.ca)
    access = Access(place, deps.reactor, deps.in_thread, agent)
    client = JsonClient(deps, access=access)
    if isinstance(settings, HttpTexts):
        return Feed(_Page(settings, client).ask, deps)
    return Feed(_Prefix(settings, deps, client).ask, deps)


class _Page:
    """What is at a URL."""

    def __init__(self, settings: HttpTexts, client: JsonClient) -> None:
        self._settings = settings
        self._client = client
        self._tag = ""

    async def ask(self) -> Answer:
        """What is new there."""
        settings = self._settings
        fields = {"Accept": "application/toml, text/plain;q=0.9, */*;q=0.1"}
        if self._tag:
            fields["If-None-Match"] = self._tag
        said = await self._client.text(settings.url, fields=fields, also=(304,))
        if said.status == 304:
            return Answer(None, settings.interval)
        texts = _whole([Text(settings.place, said.value)], settings.place)
        self._tag = (said.headers.getRawHeaders("ETag") or [""])[0]
        return Answer(texts, settings.interval)


class _Prefix:
    """The keys below a prefix."""

    def __init__(
        self, settings: EtcdTexts, deps: DiscoveryDeps, client: JsonClient
    ) -> None:
        self._settings = settings
        self._keys = Keys(settings.url, settings.prefix, deps, client)

    async def ask(self) -> Answer:
        """What there is, once it may be other than before."""
        return Answer(await self._keys.read(self._texts), 0.0)

    def _texts(self, pairs: Pairs) -> list[Text]:
        """The texts that keys have."""
        url, place = self._settings.url.rstrip("/"), self._settings.place
        if len(pairs) > MOST_TEXTS:
            raise NotLearned(f"{place}: more than {MOST_TEXTS} texts")
        texts = []
        for key, value in pairs:
            name = f"{url}#{_printable(key)}"
            try:
                texts.append(Text(name, value.decode("utf-8-sig")))
            except UnicodeDecodeError:
                raise NotLearned(f"{name}: is not UTF-8") from None
        return _whole(texts, place)


def _whole(texts: list[Text], place: str) -> list[Text]:
    """`texts`, if they are some, and not too much."""
    if not any(one.text.strip() for one in texts):
        raise NotLearned(
            f"{place}: there is no text; one with a comment alone takes back what was there"
        )
    if _size(one.text for one in texts) > MOST_TEXT_BYTES:
        raise NotLearned(f"{place}: more than {MOST_TEXT_BYTES} bytes")
    return texts


def _size(texts: Iterable[str]) -> int:
    return sum(len(one.encode()) for one in texts)


def _printable(key: bytes) -> str:
    text = key.decode("utf-8", "replace")[:200]
    return "".join(char if char.isprintable() else "?" for char in text)

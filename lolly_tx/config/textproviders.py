"""Providers of configuration texts: `[provider.NAME]` with `type = "etcd"` or `type = "http"`.

    [provider.central]
    type = "etcd"
    url = "https://etcd.internal:2379"
    prefix = "/lolly/config/"

What such a text may say is in `config.providedtexts`.

Imports: config.kinds. Used by: config.providers, net.discovery, service.providers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from lolly_tx.config.kinds.addresses import OPTIONAL_MAYBE_FILE, ServiceURL
from lolly_tx.config.kinds.plain import TEXT, Choice, Duration, Filled
from lolly_tx.config.kinds.schema import Place, about

_HERE = ("127.0.0.1", "::1", "localhost")
_CA = about(
    OPTIONAL_MAYBE_FILE,
    'Certificates of who may vouch for it, a PEM file; "" = the system\'s. Read again when it changes.',
)


@attrs.frozen
class EtcdTexts:
    """Routes and pools as TOML, in the keys below a prefix in etcd (v3, by its JSON gateway).

    Changes come at once.
    """

    name: str
    type: Literal["etcd"] = attrs.field(
        metadata=about(Choice("etcd"), "What it is."),
    )
    url: str = attrs.field(
        metadata=about(ServiceURL("https://10.0.0.5:2379"), "Of the gateway.")
    )
    prefix: str = attrs.field(
        metadata=about(
            Filled(),
            'Such as "/lolly/config/": each key below it is a text, and all of them together count.',
        )
    )
    ca: str = attrs.field(default="", metadata=_CA)
    interval: float = attrs.field(
        default=30.0,
        metadata=about(
            Duration(0.1),
            "After this time without a change all is read again, should word of one have been lost.",
        ),
    )
    token = token_file = ""

    @property
    def place(self) -> str:
        """Where the texts are, as errors name it."""
        return f"{self.url.rstrip('/')}#{self.prefix}"


@attrs.frozen
class HttpTexts:
    """Routes and pools as TOML from a URL, asked for every `interval`."""

    name: str
    type: Literal["http"] = attrs.field(
        metadata=about(Choice("http"), "What it is."),
    )
    url: str = attrs.field(
        metadata=about(ServiceURL("https://10.0.0.5/lolly.toml"), "Where the text is.")
    )
    token: str = attrs.field(
        default="",
        repr=False,
        metadata=about(TEXT, "What we show to be let in; never shown or logged."),
    )
    token_file: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_MAYBE_FILE,
            "A file with the token, in place of it; read again when it changes.",
        ),
    )
    ca: str = attrs.field(default="", metadata=_CA)
    interval: float = attrs.field(
        default=5.0,
        metadata=about(
            Duration(0.1),
            "From one question to the next; an `ETag` saves what has not changed.",
        ),
    )

    @property
    def place(self) -> str:
        """Where the text is, as errors name it: without what may be secret in a query."""
        return self.url.partition("?")[0]


TextProvider = EtcdTexts | HttpTexts


def text_provider_rules(provider: TextProvider, config: Any, place: Place) -> None:
    """Record what contradicts itself."""
    if provider.token and provider.token_file:
        place.at("token_file").wrong("goes in place of `token`, which is here, too")
    if (provider.token or provider.token_file) and _in_the_clear(provider):
        key = "token" if provider.token else "token_file"
        place.at(key).wrong(
            "would be sent in the clear; the URL has to begin with https://"
        )


def text_provider_facts(
    provider: TextProvider, config: Any
) -> Iterator[tuple[str, bool]]:
    """What it implies: sentences, with whether they say what is perhaps not meant."""
    yield (
        f"routes and pools come from {provider.place} as well, and are used only as a whole and without a mistake; the"
        " file has the first word; what is said here of routes and pools is without them",
        False,
    )
    if not config.state_dir:
        yield (
            "without state_dir nothing of it is kept: after a restart its routes are unknown, and /readyz says 503,"
            " until it answers",
            True,
        )
    if _in_the_clear(provider):
        yield (
            "is asked without TLS: whoever is on the way there says where requests go",
            True,
        )


def _in_the_clear(provider: TextProvider) -> bool:
    """Whether others on the way can read what is sent, and write what is answered."""
    url = urlsplit(provider.url)
    return url.scheme != "https" and url.hostname not in _HERE

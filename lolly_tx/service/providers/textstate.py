"""The last texts of providers without a mistake: kept in the state folder, left to new code.

    {"provider": {"central": {"place": "https://...", "texts": [["https://...#/lolly/a", "[[route]]..."]]}}}

Imports: config, config.kinds, config.texts, service, Twisted. Used by:
service.providers.running, service.providers.textprovider, service.upgrades, tap.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from twisted.logger import Logger

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.model import Config
from lolly_tx.config.texts.reading import Names
from lolly_tx.service.statefolder import StateFolder

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.provided import Provided
    from lolly_tx.config.providedtexts import Text

_log = Logger(namespace="lolly_tx.service.providers.textstate")


@attrs.frozen
class Kept:
    """`place`: of the provider they came from."""

    place: str
    texts: tuple[Text, ...]


ByProvider = Mapping[str, Kept]


def as_values(kept: ByProvider) -> dict[str, Any]:
    """All of it, JSON-able, for `of_values`."""
    return {
        name: {
            "place": one.place,
            "texts": [[text.name, text.text] for text in one.texts],
        }
        for name, one in kept.items()
    }


def of_values(values: Any) -> dict[str, Kept]:
    """What `as_values` made. What makes no sense is logged and left out."""
    from lolly_tx.config.providedtexts import Text

    try:
        return {
            str(name): Kept(
                str(one["place"]),
                tuple(Text(str(text[0]), str(text[1])) for text in one["texts"]),
            )
            for name, one in values.items()
        }
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        _log.error("What providers brought before is lost: {error!r}", error=error)
        return {}


def _document(name: str) -> str:
    return f"provider-{name}.json"


def load_texts(folder: StateFolder, config: Config) -> dict[str, Kept]:
    """What the providers of `config` said last."""
    found: dict[str, Kept] = {}
    if not config.providers:
        return found
    from lolly_tx.config.providers import text_providers_of

    for name in text_providers_of(config.providers):
        document = folder.kept(_document(name))
        if isinstance(document, dict) and document.get("file") == os.path.abspath(
            config.file
        ):
            found.update(of_values(document.get("provider")))
    return found


def keep_texts(folder: StateFolder, file: str, name: str, kept: Kept) -> None:
    """Keep them for the next start. Raises OSError."""
    document = {"file": os.path.abspath(file), "provider": as_values({name: kept})}
    folder.keep(_document(name), document)


def forget_texts(folder: StateFolder, name: str) -> None:
    """Keep nothing for this one. Raises OSError."""
    folder.keep(_document(name), None)


def provided_before(
    kept: ByProvider, config: Config, names: Names
) -> tuple[dict[str, Provided], dict[str, Kept]]:
    """What providers brought before, as far as it still stands beside `config`, and its texts. The rest is logged."""
    provided: dict[str, Provided] = {}
    standing: dict[str, Kept] = {}
    if not config.providers:
        return provided, standing
    from lolly_tx.config.providedtexts import read_texts
    from lolly_tx.config.providers import text_providers_of

    for name, settings in text_providers_of(config.providers).items():
        one = kept.get(name)
        if one is None or one.place != settings.place:
            continue
        others = [pool for other in provided.values() for pool in other.pools]
        try:
            provided[name] = read_texts(one.texts, config, names, others)
            standing[name] = one
        except ConfigErrors as errors:
            _log.error(
                "What provider {name} brought before cannot be used any more: {first}",
                name=name,
                first=str(errors.problems[0]),
            )
    return provided, standing

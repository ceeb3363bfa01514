"""Where the targets of a pool come from beside its list: `[pool.NAME.discover]`.

    [pool.api.discover]
    type = "dns"                 # what `BUILT_IN` has, or a plugin's
    name = "api.service.internal"
    port = 8080
    least = 2                    # an answer with fewer targets is not believed

Imports: config.kinds. Used by: config.facts, config.pools, config.reference,
config.texts, net.discovery, service.providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.checkkinds import FREE
from lolly_tx.config.kinds.extensions import PluginTable
from lolly_tx.config.kinds.later import Classes
from lolly_tx.config.kinds.plain import (
    Count,
    Duration,
    Filled,
    duration_text,
    nearest,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, Setting, about, settings_of
from lolly_tx.config.kinds.tables import read_or_none

_FILLED = Filled()

BUILT_IN = Classes(
    {
        "dns": "discoveries.Dns",
        "srv": "discoveries.Srv",
        "file": "discoveries.File",
        "http": "discoveries.Http",
        "etcd": "discoveries.Etcd",
        "consul": "discoveries.Consul",
        "kubernetes": "discoveries.Kubernetes",
    }
)
"""The types there are, each with the class of its settings."""


@attrs.frozen
class Discover:
    """Who says which targets a pool has. `settings`: an instance of the class of the type."""

    type: str = attrs.field(
        metadata=about(_FILLED, "One of those below, or that of a plugin.")
    )
    interval: float = attrs.field(
        default=30.0,
        metadata=about(
            Duration(0.1),
            "From one question to the next, where changes do not come by themselves; after a failure as well. For"
            " names in the DNS: at most, for their time to live is kept.",
        ),
    )
    least: int = attrs.field(
        default=1,
        metadata=about(
            Count(0, 10000),
            "An answer with fewer targets is not believed: those of before stay.",
        ),
    )
    settle: float = attrs.field(
        default=2.0,
        metadata=about(
            Duration(0.0),
            "A target that vanished gets no new requests, and is forgotten only after this time: one that comes back"
            " within it has its connections and all that is known of it.",
        ),
    )
    settings: Any = None


COMMON: Mapping[str, Setting] = MappingProxyType(
    {setting.key: setting for setting in settings_of(Discover)}
)
"""What every table has, by key."""


class DiscoverTable:
    """A table with a `type`, what all types have, and the settings of that type."""

    word = "table with a type"

    def read(self, raw: Any, place: Place) -> Discover:
        """See `schema.Kind`."""
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table, not {type_word(raw)}")
        if "type" not in raw:
            place.wrong('the key "type" is missing')
            raise Rejected()
        values: dict[str, Any] = {}
        for key, setting in COMMON.items():
            if key in raw:
                value = read_or_none(setting.kind, raw[key], place.at(key))
                if value is not None:
                    values[key] = value
        type = values.get("type")
        if type is None:
            raise Rejected()
        known = place.known("discovery")
        if known is not None and type not in known:
            near = nearest(type, known)
            place.at("type").wrong(f"nothing discovers by this type{near}{place.hint}")
            raise Rejected()
        cls = place.settings_class("discovery", type)
        kind = FREE if cls is None else PluginTable(cls, also=tuple(COMMON))
        rest = {key: value for key, value in raw.items() if key not in COMMON}
        return Discover(**values, settings=kind.read(rest, place))


DISCOVER = DiscoverTable()


def discovery_fact(discover: Discover, listed: int) -> str:
    """What it implies, in a sentence. `listed`: how many targets the pool lists itself."""
    beside = f"beside {listed} listed" if listed else "and none listed"
    return (
        f"targets are discovered ({discover.type}), {beside}; an answer with fewer than {discover.least} is not"
        f" believed, one that vanished is forgotten after {duration_text(discover.settle)}; what follows counts those"
        " that are listed"
    )

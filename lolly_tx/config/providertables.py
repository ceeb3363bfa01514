"""How tables of providers are read: each by its type.

Imports: config.kinds. Used by: config.model, config.reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lolly_tx.config.kinds.later import Classes
from lolly_tx.config.kinds.plain import Choice, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.kinds.tables import Table, read_by_name, read_or_none

PROVIDERS = Classes(
    {
        "kubernetes": "providers.Provider",
        "etcd": "textproviders.EtcdTexts",
        "http": "textproviders.HttpTexts",
    }
)
"""The types there are, each with the class of its settings."""


class ProviderTables:
    """Providers by name, each with a `type`."""

    word = "tables by name"

    def read(self, raw: Any, place: Place) -> Mapping[str, Any]:
        """See `schema.Kind`."""
        return read_by_name(raw, place, _read_provider)


def _read_provider(name: str, table: Any, place: Place) -> Any:
    if not isinstance(table, dict):
        raise Rejected(f"must be a table, not {type_word(table)}")
    if "type" not in table:
        raise Rejected('the key "type" is missing')
    type = read_or_none(Choice(*PROVIDERS), table["type"], place.at("type"))
    if type is None:
        raise Rejected()
    return Table(PROVIDERS[type]).read_named(table, place, {"name": name})

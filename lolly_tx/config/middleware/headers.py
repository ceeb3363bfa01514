"""The settings of `type = "headers"`: fields of requests and answers.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.httpkinds import FIELD_NAME
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf, Table
from lolly_tx.config.kinds.templatekinds import FIELD_TEMPLATES

NO_FIELDS: Mapping[str, str] = MappingProxyType({})


@attrs.frozen
class FieldChanges:
    """What becomes of the fields of a message: first `remove`, then `default`, `set` and `add`."""

    set: Mapping[str, str] = attrs.field(
        default=NO_FIELDS,
        metadata=about(
            FIELD_TEMPLATES, "Fields it has, in place of its own of that name."
        ),
    )
    add: Mapping[str, str] = attrs.field(
        default=NO_FIELDS,
        metadata=about(FIELD_TEMPLATES, "Fields it has beside its own of that name."),
    )
    default: Mapping[str, str] = attrs.field(
        default=NO_FIELDS,
        metadata=about(FIELD_TEMPLATES, "Fields it has if it has none of that name."),
    )
    remove: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(FIELD_NAME, "names", single=True),
            "Names of fields it has not, but by another key.",
        ),
    )


NO_CHANGES = FieldChanges()

_FRAMING = "says how a message is sent, which is not for settings"
_OF_ANY: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            "connection",
            "content-length",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ),
        _FRAMING,
    )
)
_FORWARDED = "is ours to send; `forwarded` says which of these targets get"
_OF_REQUESTS: Mapping[str, str] = MappingProxyType(
    {
        **_OF_ANY,
        "expect": _FRAMING,
        "host": 'is what `host` of the pool says: "target", or a name',
        "lolly-hop": "is how the proxy knows its own requests",
        "max-forwards": "is counted by each proxy",
        "forwarded": _FORWARDED,
        "x-forwarded-for": _FORWARDED,
        "x-forwarded-host": _FORWARDED,
        "x-forwarded-proto": _FORWARDED,
        "x-real-ip": _FORWARDED,
    }
)


class _Changes(Table):
    """Changes of fields, but of none in `taken`: names with the reason."""

    def __init__(self, taken: Mapping[str, str]) -> None:
        super().__init__(FieldChanges)
        self._taken = taken

    def read(self, raw: Any, place: Place) -> FieldChanges:
        """See `schema.Kind`."""
        changes: FieldChanges = super().read(raw, place)
        for key in ("set", "add", "default"):
            for name in getattr(changes, key):
                self._check(name, place.at(key).at(name))
        for index, name in enumerate(changes.remove):
            self._check(name, place.at("remove").at(index))
        return changes

    def _check(self, name: str, place: Place) -> None:
        why = self._taken.get(name.lower().replace("_", "-"))
        if why is not None:
            place.wrong(why)


@attrs.frozen
class Headers:
    """Fields of requests and answers."""

    request: FieldChanges = attrs.field(
        default=NO_CHANGES,
        metadata=about(
            _Changes(_OF_REQUESTS),
            "What targets get. With a name goes its spelling with `_` in the place of `-`, which many programs take"
            " for the same.",
        ),
    )
    response: FieldChanges = attrs.field(
        default=NO_CHANGES,
        metadata=about(
            _Changes(_OF_ANY),
            "What clients get, whoever has answered: targets, files, and pages of our own.",
        ),
    )

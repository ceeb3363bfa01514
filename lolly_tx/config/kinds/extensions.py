"""Settings of plugins: read against the attrs class that the plugin names, with errors as for our own.

A field may declare its kind and explanation with `schema.about`, as ours do; without, the kind follows from the
type of its annotation: `bool`, `int`, `float`, `str`, or a tuple of texts. Validators of the class are heard too.

Imports: config.kinds. Used by: config, config.middleware, config.rules, net.checks,
service, service.admin.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.checkkinds import FREE
from lolly_tx.config.kinds.plain import FLAG, TEXT, Count, Number, nearest, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Kind, Place, Setting, settings_of
from lolly_tx.config.kinds.tables import ListOf, Table
from lolly_tx.config.kinds.variables import ANY_NAMES

NO_PLUGINS: Mapping[str, Any] = MappingProxyType({})

_LARGEST = 1 << 62


class _Anything:
    """A value that the plugin looks at itself."""

    word = "value"

    def read(self, raw: Any, place: Place) -> Any:
        return raw


_KINDS: Mapping[Any, Kind] = {
    bool: FLAG,
    int: Count(-_LARGEST, _LARGEST),
    float: Number(-1e300, 1e300),
    str: TEXT,
    tuple[str, ...]: ListOf(TEXT, "texts", single=True),
}


def plugin_settings_of(cls: type) -> tuple[Setting, ...]:
    """The settings of a plugin's attrs class, in order of declaration."""
    attrs.resolve_types(cls)
    declared = {setting.field: setting for setting in settings_of(cls)}
    return tuple(
        declared.get(field.name)
        or Setting(
            key=field.name,
            field=field.name,
            kind=_KINDS.get(field.type, _Anything()),
            doc="",
            default=field.default,
        )
        for field in attrs.fields(cls)
        if field.init
    )


class PluginTable(Table):
    """A table that is read into the settings of a plugin."""

    def settings(self) -> Mapping[str, Setting]:
        """Those of the class, by key."""
        return {setting.key: setting for setting in plugin_settings_of(self.cls)}

    def make(self, values: Mapping[str, Any]) -> Any:
        """The instance; what the class itself has against the values is a problem of the table."""
        try:
            return self.cls(**values)
        except (TypeError, ValueError) as error:
            raise Rejected(str(error.args[0] if error.args else error)) from None


class PluginTables:
    """Plugins by name, each with its settings: an instance of their class, or the table where that is not known.

    `kind`: "accrual" or "sink".
    """

    word = "tables by name"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def read(self, raw: Any, place: Place) -> Mapping[str, Any]:
        """See `schema.Kind`."""
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of tables, not {type_word(raw)}")
        known = place.known(self.kind)
        out = {}
        for name, table in raw.items():
            here = place.at(name)
            if known is not None and name not in known:
                near = nearest(name, known)
                here.wrong(f"no plugin has this name{near}{place.hint}")
                continue
            cls = place.settings_class(self.kind, name)
            kind = FREE if cls is None else PluginTable(cls)
            try:
                out[name] = kind.read(table, here)
            except Rejected as rejected:
                if rejected.message:
                    here.wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Mapping[str, Any]) -> str:
        """See `schema.ShownKind`."""
        # Only the default, which is none, is ever shown.
        return "{}"


def check_settings(kind: str, name: str, raw: Mapping[str, Any], place: Place) -> None:
    """Record what is wrong with the settings of the plugin `name`, as far as its class is known."""
    cls = place.settings_class(kind, name)
    if cls is None:
        return
    try:
        PluginTable(cls).read(dict(raw), place)
    except Rejected as rejected:
        if rejected.message:
            place.wrong(rejected.message)


class _Nowhere:
    """A place for settings that were read before, or come from a program."""

    def __init__(self, path: str = "") -> None:
        self._path = path

    def at(self, part: str | int) -> _Nowhere:
        return _Nowhere(f"{self._path}.{part}" if self._path else str(part))

    def wrong(self, message: str) -> None:
        raise Rejected(f"{self._path}: {message}" if self._path else message)

    @property
    def where(self) -> str:
        return self._path

    @property
    def written(self) -> bool:
        return True

    def absolute(self, path: str) -> str:
        return path

    def why_no_file(self, path: str) -> str:
        return ""

    def known(self, names: str) -> Set[str] | None:
        return None

    hint = ""
    refused = False
    elsewhere = False
    variables = ANY_NAMES

    def settings_class(self, kind: str, name: str) -> type | None:
        return None


NOWHERE = _Nowhere()
"""For values that stand in no file."""


def settings_from(cls: type, raw: Any) -> Any:
    """The settings of a plugin from a table, or as they are. Raises `Rejected` for the first thing wrong with it."""
    if isinstance(raw, cls):
        return raw
    return PluginTable(cls).read(dict(raw), NOWHERE)

"""The kinds of values made of others: tables, named tables and lists.

A table reads every key it can and records every problem, so that all errors of a file
come out at once.

Imports: config.kinds, domain.access. Used by: config, config.kinds.extensions,
config.kinds.matching, config.kinds.targets, config.middleware, simulate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

import attrs

from lolly_tx.config.kinds.addresses import FILE_OR_FOLDER, HOST_PATTERN, NETWORK
from lolly_tx.config.kinds.httpkinds import RETRY_CAUSE, SECRET, STATUS_RANGE
from lolly_tx.config.kinds.later import class_at
from lolly_tx.config.kinds.plain import TEXT, Choice, Unfilled, nearest, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Kind, Place, Setting, ShownKind, settings_of
from lolly_tx.domain.access.forwarded import FORWARDED, X_FORWARDED, X_REAL_IP

MOST_UNKNOWN = 100
"""Unknown keys of one table that are told one by one: guessing what was meant takes a while."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
NO_NAME = "a name is letters, digits, - and _, at most 64 of them"


def read_or_none(kind: Kind, raw: Any, place: Place) -> Any:
    """The value, or None after the problem was recorded."""
    if isinstance(raw, Unfilled):
        return None
    try:
        return kind.read(raw, place)
    except Rejected as rejected:
        if rejected.message:
            place.wrong(rejected.message)
        return None


def read_by_name(
    raw: Any, place: Place, read: Callable[[str, Any, Place], Any]
) -> Mapping[str, Any]:
    """The tables of a table, each `read` with its name; None, or `Rejected`, leaves one out."""
    if not isinstance(raw, dict):
        raise Rejected(f"must be a table of named tables, not {type_word(raw)}")
    out = {}
    for name, table in raw.items():
        here = place.at(name)
        if not NAME.fullmatch(name):
            here.wrong(NO_NAME)
            continue
        if isinstance(table, Unfilled):
            continue
        try:
            found = read(name, table, here)
        except Rejected as rejected:
            if rejected.message:
                here.wrong(rejected.message)
            continue
        if found is not None:
            out[name] = found
    return MappingProxyType(out)


def missing(setting: Setting) -> str:
    """That a table does not have it, and what it would be."""
    word = setting.kind.word
    what = f" ({word})" if word != setting.key else ""
    return f'the key "{setting.key}" is missing{what}'


class Table:
    """A table read into an instance of an attrs class with declared settings.

    `cls`: the class, or its place (`later.class_at`). `also`: keys that someone else has taken out already, for the
    guesses in messages.
    """

    word = "table"

    def __init__(self, cls: Any, also: tuple[str, ...] = ()) -> None:
        self._cls = cls
        self.also = also

    @property
    def cls(self) -> Any:
        """The class."""
        if isinstance(self._cls, str):
            self._cls = class_at(self._cls)
        return self._cls

    def read(self, raw: Any, place: Place) -> Any:
        """See `schema.Kind`."""
        return self.read_named(raw, place, {})

    def read_named(self, raw: Any, place: Place, given: Mapping[str, Any]) -> Any:
        """An instance from `raw` and the fields that are no settings."""
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table, not {type_word(raw)}")
        settings = self.settings()
        values = dict(given)
        complete = True
        unknown = 0
        for key, value in raw.items():
            if key not in settings:
                unknown += 1
                if unknown <= MOST_UNKNOWN:
                    place.at(key).wrong(self._unknown(key, settings))
                continue
            read = read_or_none(settings[key].kind, value, place.at(key))
            if read is not None:
                values[settings[key].field] = read
            elif settings[key].required:
                complete = False
        if unknown > MOST_UNKNOWN:
            place.wrong(f"has {unknown - MOST_UNKNOWN} more unknown keys")
        for key, setting in settings.items():
            if setting.required and key not in raw:
                place.wrong(missing(setting))
                complete = False
        if not complete:
            raise Rejected()
        return self.make(values)

    def settings(self) -> Mapping[str, Setting]:
        """What may be set, by key."""
        return {setting.key: setting for setting in settings_of(self.cls)}

    def make(self, values: Mapping[str, Any]) -> Any:
        """The instance of the class."""
        return self.cls(**values)

    def _unknown(self, key: str, settings: Mapping[str, Setting]) -> str:
        for setting in settings.values():
            if isinstance(setting.kind, Table):
                if key in {inner.key for inner in settings_of(setting.kind.cls)}:
                    return f'unknown key; did you mean "{setting.key}.{key}"?'
        return "unknown key" + nearest(key, (*settings, *self.also))


class Named:
    """A table of tables: the key is the `name` of what the inner table says. `cls`: as of `Table`."""

    word = "tables by name"

    def __init__(self, cls: Any) -> None:
        self.table = Table(cls)

    def read(self, raw: Any, place: Place) -> Mapping[str, Any]:
        """See `schema.Kind`."""

        def read(name: str, table: Any, here: Place) -> Any:
            return self.table.read_named(table, here, {"name": name})

        return read_by_name(raw, place, read)


@attrs.frozen
class ListOf:
    """A list; `single`: one value alone stands for a list of one."""

    element: Kind
    plural: str
    single: bool = False

    @property
    def word(self) -> str:
        """What the reference calls it."""
        return (
            f"{self.element.word} or list" if self.single else f"list of {self.plural}"
        )

    def read(self, raw: Any, place: Place) -> tuple[Any, ...]:
        """See `schema.Kind`."""
        if self.single and isinstance(raw, str):
            return (self.element.read(raw, place),)
        if not isinstance(raw, list):
            raise Rejected(f"must be a list of {self.plural}, not {type_word(raw)}")
        return tuple(self._elements(raw, place))

    def _elements(self, raw: list[Any], place: Place) -> Iterator[Any]:
        seen = set()
        for index, value in enumerate(raw):
            here = place.at(index)
            read = read_or_none(self.element, value, here)
            if read is None:
                continue
            if not isinstance(self.element, Table):
                if read in seen:
                    here.wrong("is in the list twice")
                    continue
                seen.add(read)
            yield read

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        element = cast(ShownKind, self.element)
        return "[" + ", ".join(element.show(one) for one in value) + "]"


class _SomeFiles(ListOf):
    """Files, one at least where they are written."""

    def read(self, raw: Any, place: Place) -> tuple[Any, ...]:
        """See `schema.Kind`."""
        if raw == []:
            raise Rejected("must name a file or a folder at least")
        return super().read(raw, place)


CERTIFICATE_FILES = _SomeFiles(FILE_OR_FOLDER, "files", single=True)
NAME_LIST = ListOf(TEXT, "names", single=True)
HOST_PATTERNS = ListOf(HOST_PATTERN, "hosts", single=True)
STATUS_RANGES = ListOf(STATUS_RANGE, "statuses")
RETRY_ON = ListOf(RETRY_CAUSE, "causes")
SECRETS = ListOf(SECRET, "secrets", single=True)
NETWORKS = ListOf(NETWORK, "networks")
FORWARDED_FORMS = ListOf(Choice(X_FORWARDED, FORWARDED, X_REAL_IP), "forms")

# Read by `load` before anything else, so it is no field of the model.
INCLUDE = Setting(
    key="include",
    field="include",
    kind=ListOf(TEXT, "files", single=True),
    doc=(
        'More files, relative to this one\'s folder; patterns such as "conf.d/*.toml"'
        " may match none. They may have listeners, routes, pools and `include`."
    ),
    default=(),
)

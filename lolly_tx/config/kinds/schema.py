"""How a setting is declared: once, as metadata of an attrs field.

The declaration drives the reading of files, `lolly check --defaults` and the reference
page. A field without the metadata (a name that is a table's key, the file's name) is
no setting.

Imports: nothing of ours. Used by: config, config.kinds, config.middleware,
config.rules, config.texts, service.records, simulate.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Protocol, cast

import attrs

_ABOUT = "lolly_tx.setting"


class Place(Protocol):
    """Where a value stands: its key path, and what its reading may need to know."""

    def at(self, part: str | int) -> Place:
        """The place of a key or an element inside the value."""

    def wrong(self, message: str) -> None:
        """Record a problem with the value here."""

    @property
    def where(self) -> str:
        """The file and the line."""

    @property
    def written(self) -> bool:
        """Whether the file says anything here, right or wrong."""

    @property
    def refused(self) -> bool:
        """Whether a problem was recorded with the value here, so that something else stands for it."""

    def absolute(self, path: str) -> str:
        """`path` as seen from the folder of the configuration file."""

    def why_no_file(self, path: str) -> str:
        """Why there is no file of that absolute path, naming it; "" when there is one."""

    def known(self, names: str) -> Set[str] | None:
        """The names known for "balance", "check", "accrual", "sink", "middleware", "discovery", "client", "server".

        None: any.
        """

    @property
    def variables(self) -> Mapping[str, str | None]:
        """The variables of the configuration: by name its text, or None for what expressions of routes capture."""

    @property
    def elsewhere(self) -> bool:
        """Whether it stands in a text of somebody else's, who may name no file and no socket of this machine."""

    @property
    def hint(self) -> str:
        """What to add to an error about an unknown name of a plugin."""

    def settings_class(self, kind: str, name: str) -> type | None:
        """The attrs class of a plugin's settings; None: none is known. `kind`: as above, without the endpoints."""


class Kind(Protocol):
    """A kind of value: what it is called, and how it is read."""

    @property
    def word(self) -> str:
        """What the reference calls it: "duration", "list of addresses"."""

    def read(self, raw: Any, place: Place) -> Any:
        """The value, or `problems.Rejected`."""


class ShownKind(Kind, Protocol):
    """A kind whose values have a written form; tables are written key by key."""

    def show(self, value: Any) -> str:
        """The value as TOML."""


@attrs.frozen
class Setting:
    """One declared setting. `key`: as in files. `field`: the attribute's name.

    `inherited`: declared by a class that is explained elsewhere.
    """

    key: str
    field: str
    kind: Kind
    doc: str
    default: Any
    inherited: bool = False

    @property
    def required(self) -> bool:
        """Whether a table without this key is refused."""
        return self.default is attrs.NOTHING

    @property
    def shown_default(self) -> str:
        """The default as TOML, or "none"; only for settings that are no tables."""
        if self.default is None:
            return "none"
        return cast(ShownKind, self.kind).show(self.default)


def about(kind: Kind, doc: str, key: str = "") -> dict[str, Any]:
    """The metadata of a setting. `key`: when the file's word is not the field's. Raises TypeError for no kind."""
    if not hasattr(kind, "read"):
        raise TypeError(
            f"{kind!r} is no kind of setting; lolly_tx.config.kinds.plain has some, such as Duration(0.0)"
        )
    return {_ABOUT: (kind, doc, key)}


def settings_of(cls: type) -> tuple[Setting, ...]:
    """The settings of an attrs class, in order of declaration."""
    found = []
    for field in attrs.fields(cls):
        if _ABOUT in field.metadata:
            kind, doc, key = field.metadata[_ABOUT]
            found.append(
                Setting(
                    key=key or field.name,
                    field=field.name,
                    kind=kind,
                    doc=doc,
                    default=field.default,
                    inherited=field.inherited,
                )
            )
    return tuple(found)

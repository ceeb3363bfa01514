"""Classes that are named, and imported when somebody asks for them: those of settings that few configurations have.

Making the class of a table takes longer than reading one, and a start would pay for all there are.

Imports: nothing of ours. Used by: config, config.kinds.tables, config.middleware.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module


def class_at(place: str) -> type:
    """The class at "MODULE.CLASS", the module being one of `lolly_tx.config`."""
    module, _, name = place.rpartition(".")
    found: type = getattr(import_module(f"lolly_tx.config.{module}"), name)
    return found


class Classes(Mapping[str, type]):
    """Classes by name. `places`: where each of them is, as for `class_at`."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> type:
        return class_at(self._places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

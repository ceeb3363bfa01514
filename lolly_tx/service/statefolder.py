"""What is kept of applied settings over a restart: one file in the state folder, which keeps other documents, too.

The configuration file has the last word: what was applied holds only as long as the file is what it was then.

Imports: nothing of ours. Used by: service.changes, service.providers, service.stores,
tap.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs

NAME = "applied.json"


@attrs.frozen
class AppliedState:
    """`text`: of the settings that were applied. `previous`: of those before; None: the file's. `file`: its path.

    `base`: what `fingerprint` said of the file then. `until`: seconds since the epoch, when they go without a
    confirmation; None: they are confirmed.
    """

    file: str
    base: str
    text: str
    previous: str | None = None
    until: float | None = None


def fingerprint(file: str) -> str:
    """What tells one content of `file` from another; "" when it cannot be read."""
    try:
        return sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""


class StateFolder:
    """The state folder `path`, made when it is missing. Raises OSError."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self, file: str) -> AppliedState | None:
        """What holds for `file` as it is now; None: nothing, or nothing that can be read."""
        try:
            state = AppliedState(**self.kept(NAME))
        except TypeError:
            return None
        here = os.path.abspath(file)
        if state.file != here or state.base != fingerprint(here):
            return None
        return state

    def save(self, state: AppliedState | None) -> None:
        """Keep `state`, all of it or what was there before; None: nothing. Raises OSError."""
        self.keep(NAME, None if state is None else attrs.asdict(state))

    def kept(self, name: str) -> Any:
        """The document of that name; None: there is none that can be read."""
        try:
            return json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def keep(self, name: str, document: Any) -> None:
        """Write a document, all of it or what was there before; None: it is to be gone. Raises OSError."""
        place = self.path / name
        if document is None:
            place.unlink(missing_ok=True)
            return
        # Settings may have secrets in them; the file is nobody else's (mkstemp: 0600).
        handle, fresh = tempfile.mkstemp(dir=self.path, prefix=name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.writelines(_pieces(document, _DEEP))
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, place)
        except OSError:
            Path(fresh).unlink(missing_ok=True)
            raise


_DEEP = 3
"""Levels of a document that are written piece by piece: thousands of targets are on the third."""


def _pieces(value: Any, levels: int) -> Iterator[str]:
    """`value` as JSON. In one piece it would hold the interpreter, `json.dump` takes ten times as long."""
    if not levels or not value or not isinstance(value, (dict, list)):
        yield json.dumps(value)
        return
    of_names = isinstance(value, dict)
    yield "{" if of_names else "["
    for number, one in enumerate(value):
        yield "," if number else ""
        if of_names:
            yield f"{json.dumps(str(one))}:"
            one = value[one]
        yield from _pieces(one, levels - 1)
    yield "}" if of_names else "]"

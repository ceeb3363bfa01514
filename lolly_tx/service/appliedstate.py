"""What is kept of applied settings over a restart: one file in the state folder.

The configuration file has the last word: what was applied holds only as long as the file is what it was then.

Imports: nothing of ours. Used by: service.applying, tap.
"""

from __future__ import annotations

import json
import os
import tempfile
from hashlib import sha256
from pathlib import Path

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
            known = json.loads((self.path / NAME).read_text("utf-8"))
            state = AppliedState(**known)
        except (OSError, ValueError, TypeError):
            return None
        here = os.path.abspath(file)
        if state.file != here or state.base != fingerprint(here):
            return None
        return state

    def save(self, state: AppliedState | None) -> None:
        """Keep `state`, all of it or what was there before; None: nothing. Raises OSError."""
        place = self.path / NAME
        if state is None:
            place.unlink(missing_ok=True)
            return
        # Settings may have secrets in them; the file is nobody else's (mkstemp: 0600).
        handle, name = tempfile.mkstemp(dir=self.path, prefix=NAME)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(attrs.asdict(state), stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, place)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

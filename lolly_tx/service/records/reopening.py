"""Log files opened anew, after a rotation moved them away: each is tried, whatever became of the others.

Imports: nothing of ours. Used by: service, service.admin, service.process,
service.records.recording, service.workers, tap.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence


class NotReopened(OSError):
    """Some could not be opened; they are written to where they were before."""

    def __init__(self, errors: Sequence[OSError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = tuple(errors)


def reopen_all(each: Iterable[Callable[[], object]]) -> None:
    """Call each of them. Raises `NotReopened` for those that raised OSError."""
    errors: list[OSError] = []
    for reopen in each:
        try:
            reopen()
        except NotReopened as error:
            errors += error.errors
        except OSError as error:
            errors.append(error)
    if errors:
        raise NotReopened(errors)


def require_writable(path: str) -> None:
    """Raise OSError if no other process like this one could append to `path`; nothing is made."""
    if os.path.exists(path):
        os.close(
            os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
        )
    elif not os.access(os.path.dirname(path) or ".", os.W_OK | os.X_OK):
        raise PermissionError(13, "No file can be made there", path)

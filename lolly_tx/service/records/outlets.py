"""The files and folders that a configuration has lines and dumps written to, and whether they can be.

Nothing is made and nothing is opened: who reads a named pipe would take that for its end.

Imports: config, config.kinds, service.records. Used by: service.changes, tap.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from lolly_tx.config.kinds.problems import Key
from lolly_tx.config.model import Config
from lolly_tx.service.records.logchoice import log_places


def log_outlets(config: Config) -> Iterator[tuple[Key, str]]:
    """The files that lines are appended to, by where they stand in the configuration."""
    for key, log in log_places(config):
        if log.in_file:
            yield (*key, "path"), log.path
    path = getattr(config.events.get("file"), "path", "-")
    if path != "-":
        yield ("events", "file", "path"), path


def why_no_lines(path: str) -> str:
    """Why no lines can be appended to `path` by this user; "" when they can, or a file can be made there."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return "is a folder; name a file in it"
    except FileNotFoundError:
        folder = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(folder):
            return f"cannot be made: there is no folder {folder}; make it first"
        return _why_not_in(folder)
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    if os.access(path, os.W_OK, effective_ids=True):
        return ""
    return f"cannot be written by this user ({os.geteuid()}); let it, or run as another"


def why_no_dumps(folder: str) -> str:
    """Why nothing can be written to `folder` by this user, which is made when it is missing; "" when it can."""
    there = os.path.realpath(folder)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        return f"cannot be made: {there} is no folder"
    return _why_not_in(there)


def _why_not_in(folder: str) -> str:
    if os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return ""
    return (
        f"cannot be made: this user ({os.geteuid()}) may not write to {folder};"
        " let it, or run as another"
    )

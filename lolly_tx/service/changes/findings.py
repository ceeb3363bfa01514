"""What is wrong with what a configuration names outside of itself, as values; and the files and folders among it.

`service.changes.materials` tries the rest.

Imports: config, config.kinds, config.texts, service, service.records. Used by:
commands, service.changes.materials, service.changes.reload,
service.changes.tls_materials, tap.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from lolly_tx.config.kinds.problems import Problem, key_text
from lolly_tx.config.model import Config
from lolly_tx.config.texts.positions import line_index
from lolly_tx.service.records.outlets import log_outlets, why_no_lines
from lolly_tx.service.serving_files import file_roots, why_no_files


@attrs.frozen
class Finding:
    """One thing that was found. `key`: its path in the configuration; `value`: as it stands there."""

    key: tuple[str | int, ...]
    value: str
    message: str
    warning: bool = False
    dated: bool = False
    """Only time is against it: it can be used, if not with success."""

    @property
    def fatal(self) -> bool:
        """Nothing can be started or reloaded with it."""
        return not (self.warning or self.dated)


def outlet_findings(config: Config, running: Config | None = None) -> Iterator[Finding]:
    """The files that no lines can be appended to, but for those that are open in `running`."""
    opened = set()
    if running is not None:
        opened = {path for _, path in log_outlets(running)}
    for key, path in log_outlets(config):
        said = "" if path in opened else why_no_lines(path)
        if said:
            yield Finding(key, path, said)


def root_findings(config: Config) -> Iterator[Finding]:
    """The folders that nothing can be served of."""
    for key, root in file_roots(config):
        said = why_no_files(root)
        if said:
            yield Finding(key, root, said)


def problem_of(finding: Finding, file: str) -> Problem:
    """`finding` as the errors of `file` are shown, with its line as far as the file itself has the key."""
    try:
        lines = line_index(Path(file).read_text("utf-8-sig"))
    except (OSError, ValueError):
        lines = {}
    return Problem(
        file,
        lines.get(finding.key, 0),
        key_text(finding.key),
        finding.message,
        f'"{finding.value}"',
    )

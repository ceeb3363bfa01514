"""What is wrong with a configuration, as values.

Imports: nothing of ours. Used by: commands, config, config.kinds, config.middleware,
config.texts, importing, importing.nginx, net.checks, service, service.admin,
service.changes, service.providers, service.records, simulate.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

Key = tuple[str | int, ...]
"""Where something stands in a configuration: names of tables and keys, numbers of elements."""


def key_text(key: Key) -> str:
    """`key` as people write it: "route[0].access_log.path"."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return "".join(parts).removeprefix(".")


@attrs.frozen
class Problem:
    """One thing that is wrong.

    `file`, `line`: where; line 0 means the file as a whole.
    `key`: the path of the key, such as "pool.api.health.interval", "" for the file.
    `message`: what is wrong and, where known, what would be right.
    `value`: the value as the file has it, shortened, "" when there is none. It is shown
    as written, before the environment is filled in, so that no secret gets out.
    """

    file: str
    line: int
    key: str
    message: str
    value: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        got = f" (got {self.value})" if self.value else ""
        return f"{where}: {key}{self.message}{got}"


class ConfigErrors(Exception):
    """A configuration was refused; `problems` has every reason, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Rejected(Exception):
    """A value is not of its kind. `message` "": the details are recorded already."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

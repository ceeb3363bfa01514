"""Short ways to read configurations in tests, and a file system in memory."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from lolly_tx.config import ConfigErrors, Names, parse
from lolly_tx.config.model import Config

WEB = '[listener.web]\nendpoint = "tcp:8080"\n'
ROUTE = '[[route]]\npool = "app"\n'
POOL = '[pool.app]\ntargets = ["http://10.0.0.1:80", "http://10.0.0.2:80"]\n'
WHOLE = WEB + ROUTE + POOL


class FakeFiles:
    """Files by absolute path; `folders` are listed by `glob`."""

    def __init__(self, files: Mapping[str, str | bytes | OSError]) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        content = self.files.get(path, FileNotFoundError(2, "No such file"))
        if isinstance(content, OSError):
            raise content
        return content.encode() if isinstance(content, str) else content

    def why_no_file(self, path: str) -> str:
        return "" if path in self.files else f"no such file: {path}"

    def glob(self, folder: str, pattern: str) -> list[str]:
        return sorted(fnmatch.filter(self.files, f"{folder}/{pattern}"))


NO_FILES = FakeFiles({})


def read(text: str, environ: Mapping[str, str] | None = None, **files: str) -> Config:
    """The settings of a text that must be right."""
    return parse(text, "/etc/lolly/t.toml", environ, FakeFiles(files))


def faults(
    text: str,
    environ: Mapping[str, str] | None = None,
    files: FakeFiles = NO_FILES,
    names: Names | None = None,
) -> list[str]:
    """Every problem of a text, without the file's name; [] when it is right."""
    try:
        parse(text, "/t.toml", environ, files, names)
    except ConfigErrors as errors:
        return [str(p).removeprefix("/t.toml:").lstrip() for p in errors.problems]
    return []


def pool_fault(line: str) -> str:
    """The one problem of a line added to a pool, without its place."""
    found = faults(WHOLE + line)
    assert len(found) == 1, found
    return found[0].partition(": ")[2]

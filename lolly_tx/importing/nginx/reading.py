"""Files of nginx as statements, with what they include in its place.

Imports: importing. Used by: importing.nginx.convert.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from lolly_tx.importing.imported import NotReadable
from lolly_tx.importing.report import Finding
from lolly_tx.importing.statements import Statement

_DEEPEST = 10


@attrs.frozen
class Files:
    """What was read. `findings`: includes and statements that nginx itself would not take."""

    statements: tuple[Statement, ...]
    findings: tuple[Finding, ...]


def read(path: str) -> Files:
    """The configuration in `path`. Raises `NotReadable`."""
    try:
        crossplane = importlib.import_module("crossplane")
    except ImportError:
        raise NotReadable(
            "needs crossplane, which reads what nginx reads: pip install 'lolly-tx[import]'"
        ) from None
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise NotReadable(f"cannot read {path}: {error.strerror or error}") from None
    payload = crossplane.parse(path, onerror=lambda error: error, check_ctx=False)
    files: list[dict[str, Any]] = payload["config"]
    findings = [_finding(error, crossplane) for error in payload["errors"]]
    return Files(tuple(_statements(files, 0, ())), tuple(findings))


def _finding(error: dict[str, Any], crossplane: Any) -> Finding:
    """What is wrong with one statement. Raises `NotReadable` when it is more than one."""
    cause = error["callback"]
    file, line = error["file"], error["line"] or 0
    if isinstance(cause, OSError):
        name = cause.filename or file
        what, why = f"include {name}", (cause.strerror or str(cause)).lower()
        return Finding(file, line, "left out", what, why)
    said = getattr(cause, "strerror", "") or "ends within a statement"
    known = crossplane.errors.NgxParserDirectiveError
    if not isinstance(cause, known):
        if isinstance(cause, RecursionError):
            said = "blocks inside of each other beyond all measure"
        raise NotReadable(f"{file}:{line}: {said}" if line else f"{file}: {said}")
    word = re.search(r'"([^"]*)" directive', said)
    what = word[1] if word else "statement"
    return Finding(file, line, "left out", what, f"nginx would not take it: {said}")


def _statements(
    files: Sequence[dict[str, Any]], index: int, chain: tuple[int, ...]
) -> Iterator[Statement]:
    file = files[index]["file"]
    if index in chain or len(chain) > _DEEPEST:
        raise NotReadable(f"{file}: the files include each other in a circle")
    chain = (*chain, index)

    def walk(parsed: Sequence[dict[str, Any]]) -> Iterator[Statement]:
        for one in parsed:
            for included in one.get("includes", ()):
                yield from _statements(files, included, chain)
            if "includes" in one:
                continue
            block = tuple(walk(one["block"])) if "block" in one else None
            args = tuple(one["args"])
            yield Statement(one["directive"], args, _shown(file), one["line"], block)

    yield from walk(files[index]["parsed"])


def _shown(file: str) -> str:
    """The file as seen from where the user stands, if it is below."""
    shown = os.path.relpath(file)
    return file if shown.startswith("..") else shown

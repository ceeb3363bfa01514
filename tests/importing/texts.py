"""Configurations as texts, imported."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lolly_tx.config import parse
from lolly_tx.config.load import DiskFiles
from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.importing.imported import Imported
from lolly_tx.importing.nginx.convert import convert


class AnyFile(DiskFiles):
    """The files that a configuration names are there."""

    def why_no_file(self, path: str) -> str:
        named = Path(path).suffix or path.endswith("htpasswd")
        return "" if named else "a directory, not a file"


def imported(text: str, **others: str) -> Imported:
    """`text` as nginx.conf, with other files beside it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, other in others.items():
            (Path(folder) / f"{name}.conf").write_text(other)
        main = Path(folder) / "nginx.conf"
        main.write_text(text)
        return convert(str(main))


def config_of(found: Imported) -> Config:
    """What it has become, which has to be valid."""
    return parse(found.draft.text(), "result", {}, files=AnyFile())


def said(found: Imported, *, but: str = "") -> list[str]:
    """The report without files and lines; `but`: a fate that is of no interest."""
    return [
        f"{one.fate}: {one.what}: {one.why}"
        for one in found.findings
        if one.fate != but
    ]


def location(inside: str, http: str = "", server: str = "") -> Imported:
    """A site with one location, "/"."""
    return imported(
        f"http {{ {http} server {{ listen 80; {server} location / {{ {inside} }} }} }}"
    )


def pool(inside: str, http: str = "") -> PoolSettings:
    """The pool of that one location."""
    [found] = config_of(location(inside, http)).pools.values()
    return found

"""What the settings of files come to that may not be meant, for `lolly check`.

Imports: config. Used by: config.facts.consequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.files import Files


_SYSTEM = ("/", "/etc", "/root", "/home", "/proc", "/sys", "/dev", "/var", "/usr")


def file_doubts(files: Files) -> Iterator[str]:
    """Sentences, each about one setting."""
    if files.root in _SYSTEM:
        yield f"{files.root} is the system's: all in it that this user may read is served"
    if files.hidden:
        yield "hidden = true serves names such as .git, .env and .htpasswd, too"
    if files.symlinks == "all":
        yield (
            'symlinks = "all": whoever can make a link below the root decides what is served'
        )

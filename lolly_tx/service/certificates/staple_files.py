"""Staples kept below `state_dir`, so that a process that starts has them before it has asked.

    state_dir/ocsp/FINGERPRINT.der

What is read is judged as if it had just come. Nothing of it is secret. A file that cannot be written is said, once.

Imports: Twisted. Used by: service.certificates.stapling.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from twisted.logger import Logger


class StapleFiles:
    """Those below `state_dir`; "" keeps none."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, state_dir: str) -> None:
        self.state_dir = state_dir
        self._folder = Path(state_dir) / "ocsp" if state_dir else None
        self._failed = False

    def read(self, fingerprint: str) -> bytes:
        """What is kept of a certificate; b"" for nothing."""
        if self._folder is None:
            return b""
        try:
            return (self._folder / f"{fingerprint}.der").read_bytes()
        except OSError:
            return b""

    def write(self, fingerprint: str, der: bytes) -> None:
        """Keep `der`: all of it, or what was there before. What a crash leaves is judged when it is read."""
        if self._folder is None:
            return
        path = self._folder / f"{fingerprint}.der"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_bytes(der)
            fresh.replace(path)
        except OSError as error:
            if not self._failed:
                self._failed = True
                self.log.warn(
                    "staples cannot be kept in {folder}: {error}",
                    folder=self._folder,
                    error=error.strerror or str(error),
                )

    def keep_only(self, fingerprints: Collection[str]) -> None:
        """Remove what belongs to no certificate any more."""
        if self._folder is None:
            return
        for path in self._folder.glob("*.der"):
            if path.stem not in fingerprints:
                path.unlink(missing_ok=True)

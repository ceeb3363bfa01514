"""The memory that a supervisor shares with its workers: who has which part of it.

    [ numbers that all hold together (domain.shares) | tape of worker 1 | tape of worker 2 | ... ]

Imports: domain. Used by: service.workers.supervisor, service.workers.template,
service.workers.worker.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import attrs

from lolly_tx.domain.tape import RECORD_BYTES


@attrs.frozen
class SharedMemory:
    """`numbers`: bytes for these. `tape`: bytes for the recorder of each of `workers`; 0: nothing is recorded."""

    numbers: int
    tape: int
    workers: int

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.numbers + self._tape * self.workers

    @property
    def _tape(self) -> int:
        return self.tape // RECORD_BYTES * RECORD_BYTES

    def made(self) -> int:
        """The descriptor of a new one."""
        memory = os.memfd_create("lolly")
        os.ftruncate(memory, self.size)
        return memory

    def mapped(self, memory: int) -> memoryview:
        """The memory behind a descriptor, which is not needed any more then."""
        return memoryview(mmap.mmap(memory, self.size))

    def cells(self, mapped: memoryview) -> Any:
        """The numbers."""
        return mapped[: self.numbers].cast("q")

    def tapes(self, mapped: memoryview) -> list[memoryview]:
        """The tapes, by worker; none where nothing is recorded."""
        if not self._tape:
            return []
        starts = range(self.numbers, self.size, self._tape)
        return [mapped[at : at + self._tape] for at in starts]

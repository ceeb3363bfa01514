"""What the kernel says of processes (Linux): memory, descriptors, and when they were started.

Imports: nothing of ours. Used by: service.metrics.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

import attrs

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")

# Of the fields of /proc/PID/stat behind the name, which may have blanks (proc(5)).
_START, _VIRTUAL, _RESIDENT = 19, 20, 21


@attrs.frozen
class Processes:
    """Sums over some processes, in bytes and numbers.

    `max_fds`: what one may have. `started`: of the first, seconds since the epoch.
    """

    resident: int = 0
    virtual: int = 0
    open_fds: int = 0
    max_fds: int = 0
    started: float = 0.0


def processes(pids: Iterable[int], proc: Path = Path("/proc")) -> Processes:
    """Of those of `pids` that there are; the first is this one."""
    resident = virtual = fds = 0
    started: float | None = None
    for pid in pids:
        try:
            text = (proc / str(pid) / "stat").read_text()
            open_fds = len(os.listdir(proc / str(pid) / "fd"))
        except OSError:
            continue  # it has ended, or is somebody else's
        fields = text.rpartition(")")[2].split()
        if started is None:
            started = _booted(proc) + int(fields[_START]) / _TICKS
        virtual += int(fields[_VIRTUAL])
        resident += int(fields[_RESIDENT]) * _PAGE
        fds += open_fds
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Processes(resident, virtual, fds, most, started or 0.0)


def _booted(proc: Path) -> float:
    """When the machine was started, seconds since the epoch."""
    for line in (proc / "stat").read_text().splitlines():
        word, _, value = line.partition(" ")
        if word == "btime":
            return float(value)
    return 0.0

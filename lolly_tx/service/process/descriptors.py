"""How many client connections the process's descriptors allow for.

Each connection takes a descriptor, and a busy one another towards its backend. When
clients may take all of them, none is left to connect to a backend, or to accept somebody
and say 503: with 256 descriptors and 1,000 idle clients nobody would get an answer. So
clients get three fifths of them: at any time some are idle and need no backend, so two are
left for three. At that cap idle ones make room as at `limits.connections`. A client of a stream, a forward proxy or a
tunnel has its backend's for as long as its own: where there are such, clients get half.

The kernel's table of them grows while it is used: at the 65th, the 129th and so on up. In a process with threads each
such step waits until no processor looks at the old one: 10 to 21 ms in an accept or a connect, while the event loop
stands still. So it is made large at the start.

Imports: nothing of ours. Used by: service, service.workers, tap.
"""

from __future__ import annotations

import fcntl
import os
import resource

KEPT_BACK = 64
"""Descriptors for listeners, logs, checks, and idle connections to backends."""

ROOM = 32_768
"""Descriptors the kernel's table has room for from the start, 8 bytes each. Enough for 19,000 clients."""


def descriptor_limit() -> int:
    """How many descriptors this process may have open; 0 = as many as it likes."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard one, as a proxy of its own process may.

    Systems start with 1,024 for the sake of programs that use select(2); we do not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # what there is will do, and the start says how many connections that is


def make_room(most: int = ROOM) -> None:
    """Have the kernel's table of descriptors hold `most` of them, or as many as the limit allows.

    A child that is forked afterwards has a small table again.
    """
    limit = descriptor_limit()
    room = min(most, limit) if limit else most
    try:
        opened = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # all there may be are open
    try:
        os.close(fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, room - 1))
    except OSError:
        pass  # what is open there has made the room already
    finally:
        os.close(opened)


def affordable_connections(wanted: int, limit: int, paired: bool = False) -> int:
    """The cap on client connections: `wanted`, or less when `limit` does not allow it.

    `wanted`, `limit`: 0 = no limit. `paired`: each may have another connection for as long as it is there.
    """
    if not limit:
        return wanted
    left = limit - KEPT_BACK
    most = max(1, left // 2 if paired else left * 3 // 5)
    return min(wanted, most) if wanted else most

"""What a reactor needs after its process was forked, to go on in the child.

The child has a copy of everything but two things. The epoll descriptor is the parent's as well: what one of them
registers, the other is told. And there are no threads but the one that forked.

Imports: Twisted. Used by: service.upgrades.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.epollreactor import EPOLLIN, EPOLLOUT, EPollReactor


def can_fork(reactor: Any) -> bool:
    """Whether `go_on_after_fork` knows this reactor."""
    return isinstance(reactor, EPollReactor)


def go_on_after_fork(reactor: Any) -> None:
    """Give the copy of `reactor` in the child an epoll descriptor and threads of its own."""
    shared, reactor._poller = reactor._poller, select.epoll()
    for fd in reactor._reads | reactor._writes:
        reading = EPOLLIN if fd in reactor._reads else 0
        writing = EPOLLOUT if fd in reactor._writes else 0
        reactor._poller.register(fd, reading | writing)
    # The parent's own is another descriptor of the same; nothing is unregistered there.
    shared.close()
    if reactor.threadpool is not None:
        # Its threads are not there to be waited for at the end. The next one is made when it is wanted.
        reactor.removeSystemEventTrigger(reactor.threadpoolShutdownID)
        reactor.threadpool = reactor.threadpoolShutdownID = None

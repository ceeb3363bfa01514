"""The process that workers are forked from: it has the code and the settings loaded, and no reactor.

    supervisor --exec--> template (once) --fork--> worker, worker ...

A worker begins to serve some 30 ms after it is wanted; by exec and import it would be most of a second. What was
loaded before the fork is memory that all workers share. A process with a reactor, threads and connections could not be
forked safely, so this one has none: it waits for one message after the other.

    settings   the configuration, and the memory that all workers share
    fork       one more worker, over this descriptor

and back: `loaded` or `failed`, `forked` with the number and the process, `ended` with the process and how.

Imports: service, service.process, service.workers, Twisted. Used by: commands.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs

from lolly_tx.service.ahead import import_ahead
from lolly_tx.service.process.processlog import Sieve
from lolly_tx.service.registry import Registry
from lolly_tx.service.workers.channel import (
    Inbox,
    Message,
    attach,
    read_message,
    write_message,
)
from lolly_tx.service.workers.parcel import unpacked
from lolly_tx.service.workers.sharedmemory import SharedMemory
from lolly_tx.service.workers.worker import Inheritance, Worker


class Template:
    """See the module. `end`: the socket to the supervisor. `installed`: finds the plugins there are."""

    def __init__(self, end: socket.socket, installed: Callable[[], Registry]) -> None:
        self._end = end
        self._installed = installed
        self._inbox = Inbox()
        self._inherited: Inheritance | None = None
        self._reactor_module = ""

    def run(self) -> None:
        """Serve the supervisor until it is gone."""
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if woken in ready:
                with suppress(BlockingIOError):
                    os.read(woken, 4096)
                self._reap()
            if self._end.fileno() in ready:
                try:
                    messages = read_message(self._end, self._inbox)
                except (EOFError, OSError):
                    return
                for message, descriptors in messages:
                    self._told(message, descriptors)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                write_message(self._end, {"t": "ended", "pid": pid, "status": status})

    def _told(self, message: Message, descriptors: list[int]) -> None:
        if message["t"] == "settings":
            try:
                self._load(message, *descriptors)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                write_message(self._end, {"t": "failed", "why": why})
            else:
                write_message(self._end, {"t": "loaded"})
        elif message["t"] == "fork":
            self._fork(message["number"], *descriptors)

    def _load(self, message: Message, memory: int) -> None:
        registry = self._installed()
        config = unpacked(message["config"])
        before, shared = self._inherited, SharedMemory(**message["memory"])
        mapped = shared.mapped(memory) if before is None else before.mapped
        os.close(memory)
        self._reactor_module = message["reactor"]
        __import__(self._reactor_module)
        import_ahead(config)
        self._inherited = Inheritance(0, config, registry, shared, mapped)
        gc.collect()
        gc.freeze()

    def _fork(self, number: int, channel: int) -> None:
        inherited = self._inherited
        if inherited is None:  # pragma: no cover  # the supervisor waits for "loaded"
            os.close(channel)
            return
        pid = os.fork()
        if pid:
            os.close(channel)
            write_message(self._end, {"t": "forked", "number": number, "pid": pid})
            return
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._end.close()
            serve(attrs.evolve(inherited, number=number), channel, self._reactor_module)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)


def serve(inherited: Inheritance, channel: int, reactor_module: str) -> None:
    """Be a worker until its end. `channel`: the descriptor to the supervisor."""
    from importlib import import_module

    import_module(reactor_module).install()
    from twisted.internet import reactor as installed
    from twisted.logger import globalLogBeginner

    reactor: Any = installed
    with suppress(OSError), open("/proc/self/comm", "w") as name:
        name.write(f"lolly worker {inherited.number}")
    worker = Worker(reactor, inherited, lambda: reactor.running and reactor.stop())
    log = Sieve(worker, inherited.config.log.level, reactor)
    globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False)
    attach(reactor, socket.socket(fileno=channel), worker.channel)

    def stop(number: int, frame: Any) -> None:
        reactor.callFromThread(worker.stop)

    def quiet() -> None:
        # What concerns the whole proxy is sent to the supervisor, and passed on.
        for one in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(one, signal.SIG_IGN)
        for one in (signal.SIGTERM, signal.SIGQUIT):
            signal.signal(one, stop)

    quiet()
    reactor.callWhenRunning(quiet)
    reactor.run(installSignalHandlers=False)


def run_template(descriptor: int, installed: Callable[[], Registry]) -> None:
    """Be the template until the supervisor is gone. `descriptor`: of the socket to it."""
    for one in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(one, signal.SIG_IGN)
    # A supervisor that takes over in an upgrade holds signals back until it knows what to do with them.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with suppress(OSError), open("/proc/self/comm", "w") as name:
        name.write("lolly template")
    Template(socket.socket(fileno=descriptor), installed).run()

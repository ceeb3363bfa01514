"""New code for a process that serves: same process id, same sockets, nobody cut off.

    preflight --ready--> fork --- parent: execve: the new code starts, says that it is ready ---------> serves
        |                  +----- child: the old code serves on ... until then, drains, and ends
        +--failed--> a line in the log, and nothing has happened

The preflight is the new code in a process of its own, with the same sockets and state, that does all a start does but
run its event loop. Whoever has a connection stays with the old code: what it knows of it (TLS, half a request, pipes
between sockets) cannot be handed to other code. It lives on in the child, because the process that becomes the new
code has to be the one whose id everybody knows: a service manager, a pid file, whoever sends signals. Both listen on
the same queues until the new one is ready, so that nobody has to wait for it.

With workers the process is their supervisor. Both sides have workers of their own for a while; those of the old one go
on as its own, over the channels that it keeps. They were forked from a template, whose parent is the new code by then.

TLS sessions end with the old code: OpenSSL as pyOpenSSL has it does not give the keys of tickets away, so clients
that come back do a full handshake.

Imports: net.sockets, service, service.upgrades, Twisted. Used by:
service.upgrades.succession.
"""

from __future__ import annotations

import getopt
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.net.sockets.forking import can_fork, go_on_after_fork
from lolly_tx.net.sockets.resolver import LOOKUPS
from lolly_tx.service.generation import Refused
from lolly_tx.service.service import LollyService
from lolly_tx.service.upgrades.handover import (
    VARIABLE,
    VERSION,
    descriptors_of,
    sockets_of,
    state_of,
    write,
)
from lolly_tx.service.upgrades.preflight import Trial
from lolly_tx.service.upgrades.retiring import Retiring

PREFLIGHT = "LOLLY_PREFLIGHT"
"""In the environment of a start that is only to be tried."""

READY = b"R"
"""What new code says when it serves, or in a preflight, that it could."""

PREFLIGHT_SECONDS = 60.0
"""New code that is not ready by then is refused."""

QUIET_SECONDS = 2.0
"""So long a fork is put off for threads that look up names: in the child nobody would go on with that."""

SIGNALS = frozenset(
    (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
    )
)
"""Held back while the process has no code that knows what to do with them."""


@attrs.frozen
class Image:
    """How the new code is started. `argv`: with the program; `folder`: where. `twistd`: what only this start knows."""

    argv: Sequence[str]
    folder: str
    environ: Mapping[str, str]
    twistd: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Hooks:
    """What belongs to the process and not to the service.

    `begins`: an upgrade is tried. `refused`: it is not to be. `children`: processes that stay the children of the new
    code, and end with the old. In the child of a fork: `parted`: this is the copy, which is not to touch what is no
    more its own; `retire`: drain and end.
    """

    begins: Callable[[], None]
    refused: Callable[[], None]
    parted: Callable[[], None]
    retire: Callable[[], None]
    children: Callable[[], Sequence[int]] = tuple


class Upgrader:
    """Upgrades the process of `service`, if `why_not` is empty."""

    log = Logger()

    def __init__(
        self,
        service: LollyService,
        image: Image,
        retiring: Retiring,
        hooks: Hooks,
        *,
        why_not: str = "",
    ) -> None:
        self.service = service
        self.retiring = retiring
        self._reactor: Any = service.surroundings.reactor
        self._image = image
        self._hooks = hooks
        self._why_not = why_not
        if not (why_not or can_fork(self._reactor)):
            self._why_not = "the reactor is not made of epoll; use --reactor=lolly"
        self.not_yet = ""
        """Why an upgrade cannot begin now; "": it can."""
        self._busy = False
        self._waiting: Deferred[None] | None = None

    def upgrade(self) -> Deferred[None]:
        """Let new code take over. Fires in the old process, when the new code serves; errbacks with `Refused`."""
        return Deferred.fromCoroutine(self._upgrade())

    def upgrade_quietly(self) -> None:
        """The same, for whom the log is answer enough."""
        self.upgrade().addErrback(lambda failure: failure.trap(Refused) and None)

    async def _upgrade(self) -> None:
        try:
            if why_not := self._why_not or self.not_yet:
                raise Refused([why_not])
            if self._busy:
                raise Refused(["an upgrade is under way"])
            if self.service.draining:
                raise Refused(["the proxy is stopping"])
            self._busy = True
            self._hooks.begins()
            try:
                await self._try()
                await self._wait_for_threads()
                if self.service.draining:
                    raise Refused(["the proxy is stopping"])
                await self._part()
            except Refused:
                self._hooks.refused()
                raise
            finally:
                self._busy = False
        except Refused as refused:
            self.log.error("Upgrade refused, nothing has changed: {why}", why=refused)
            raise

    # -- the preflight

    async def _try(self) -> None:
        """Start the new code, short of serving. Raises `Refused`."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            document = self._document(theirs)
            handed = _handed(document)
            left = write(document)
            try:
                trial = Trial()
                environ = {**self._environ(left), PREFLIGHT: "1"}
                environ.pop("NOTIFY_SOCKET", None)
                self._reactor.spawnProcess(
                    trial,
                    sys.executable,
                    self._argv(),
                    environ,
                    self._image.folder,
                    childFDs={
                        **{fd: fd for fd in (left, theirs.fileno(), *handed)},
                        0: "w",
                        1: "r",
                        2: "r",
                    },
                )
            except OSError as error:
                raise Refused([f"the new code cannot be started: {error}"]) from None
            finally:
                os.close(left)
            limit = self._reactor.callLater(PREFLIGHT_SECONDS, trial.kill)
            status = await trial.ended
            if limit.active():
                limit.cancel()
            ours.setblocking(False)
            said = b""
            with suppress(BlockingIOError):
                said = ours.recv(1)
            if said != READY:
                raise Refused([trial.last_line() or f"the new code ended: {status}"])

    async def _wait_for_threads(self) -> None:
        """Let lookups of names end, if they do soon."""
        for _ in range(int(QUIET_SECONDS / 0.05)):
            if not any(t.name.startswith(LOOKUPS) for t in threading.enumerate()):
                return
            await deferLater(self._reactor, 0.05)

    # -- the fork

    async def _part(self) -> None:
        """Become two. Returns in the child, when the new code serves. Raises `Refused` in either."""
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        self.service.watchdog.stop()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        child = -1
        try:
            child = os.fork()
            if child:
                self._become(child, theirs, writing)
        except Exception as error:
            if not isinstance(error, OSError):
                self.log.failure("The new code cannot be started")
            ours.close()
            raise Refused([f"the new code cannot be started: {error}"]) from None
        finally:
            # In the child, and in a parent that is still here.
            theirs.close()
            os.close(writing)
            # The end of the file comes with the new code, which does not have the other end.
            in_vain = os.read(reading, 1)
            os.close(reading)
            if child == 0 and in_vain:
                os._exit(0)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self.service.watchdog.start()
        self._go_on(ours)
        self._waiting = Deferred()
        await self._waiting

    def _become(self, child: int, theirs: socket.socket, writing: int) -> None:
        """The new code. Raises OSError if that cannot be, with the child ended."""
        here = os.getcwd()
        handed: list[int] = []
        try:
            document = self._document(theirs)
            document["retiring"] = [*self.retiring.pids, child]
            document["children"] = [*self.retiring.others, *self._hooks.children()]
            left = write(document)
            handed = _handed(document)
            for fd in (left, theirs.fileno(), *handed):
                os.set_inheritable(fd, True)
            os.chdir(self._image.folder)
            os.execve(sys.executable, self._argv(), self._environ(left))
        except BaseException:
            os.write(writing, b"x")
            os.waitpid(child, 0)
            for fd in handed:
                os.set_inheritable(fd, False)
            os.chdir(here)
            raise

    def _go_on(self, ours: socket.socket) -> None:
        """In the child: serve on with the old code, until the new one is ready."""
        go_on_after_fork(self._reactor)
        self.service.listeners.lend()
        self.retiring.forget()
        self._hooks.parted()
        self._reactor.addReader(_Answer(ours, self._reactor, self._answered))

    def _answered(self, ready: bool) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        if ready:
            self.log.info(
                "New code serves as process {parent}; {pid} ends with its connections",
                parent=os.getppid(),
                pid=os.getpid(),
            )
            self._hooks.retire()
            waiting.callback(None)
        else:
            why = f"the new code has ended; the old one serves on as process {os.getpid()}"
            waiting.errback(Failure(Refused([why])))

    # -- what is handed over

    def _document(self, theirs: socket.socket) -> dict[str, Any]:
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "ready": theirs.fileno(),
            "sockets": list(sockets_of(self.service)),
            "state": state_of(self.service),
            "several": self.service.colleagues is not None,
            "twistd": dict(self._image.twistd),
        }

    def _environ(self, left: int) -> dict[str, str]:
        return {**self._image.environ, VARIABLE: str(left)}

    def _argv(self) -> list[str]:
        return [sys.executable, *self._image.argv]


def _handed(document: Mapping[str, Any]) -> list[int]:
    """The descriptors of listening sockets that a document speaks of."""
    return [fd for one in document["sockets"] for fd in descriptors_of(one)]


@implementer(IReadDescriptor)
class _Answer:
    """Waits for the new code to say that it serves."""

    def __init__(
        self, ours: socket.socket, reactor: Any, answered: Callable[[bool], None]
    ) -> None:
        self._socket = ours
        self._reactor = reactor
        self._answered = answered

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "upgrade"

    def doRead(self) -> None:
        try:
            said = self._socket.recv(1)
        except OSError:
            said = b""
        self._reactor.removeReader(self)
        self._socket.close()
        self._answered(said == READY)

    def connectionLost(self, reason: Any) -> None:
        """The reactor ends."""


def image_of(twistd: Any, argv: Sequence[str], original: Sequence[str]) -> list[str]:
    """The arguments of Python that start the same again, in the foreground and without a look at the pid file.

    `twistd`: its options; `argv`: sys.argv, as it has parsed it; `original`: sys.orig_argv.
    """
    if not isinstance(twistd, usage.Options):
        return []  # nobody's process: a test's, or a program's that embeds the service
    words = list(argv[1:])
    program = list(original[1:])
    if not words or program[-len(words) :] != words:
        return program  # `lolly run`, which tells twistd all that by itself
    _, rest = getopt.getopt(words, twistd.shortOpt, twistd.longOpt)
    head = [*program[: -len(words)], *words[: len(words) - len(rest)]]
    if not (twistd["nodaemon"] or twistd["logfile"] or twistd["syslog"]):
        head.append("--logfile=twistd.log")
    return [*head, "--nodaemon", "--pidfile=", *rest]

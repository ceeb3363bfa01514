"""The template as its supervisor has it: started, told the settings, asked for workers, and started again when it ends.

`service.workers.template` is the process itself.

Imports: service.workers, Twisted. Used by: service.workers.crew.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from twisted.internet import error as internet_error
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.service.workers.channel import Channel, Message, attach
from lolly_tx.service.workers.seats import delay_after

SENT_SECONDS = 1.0
"""A descriptor has to be there until it is sent, which is not always at once."""


class _Process(ProcessProtocol):
    """One template, as the reactor sees it."""

    def __init__(self, on_end: Callable[[str], None]) -> None:
        self._on_end = on_end

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self._on_end(reason.getErrorMessage())


class Templates:
    """One at a time. `command`: what starts it, given the number of its descriptor. `settings`: what it is told first.

    `loaded`: told when workers can be forked. `said`: told what it says of them.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        reactor: Any,
        command: Callable[[int], Sequence[str]],
        settings: Callable[[], tuple[Message, Sequence[int]]],
        *,
        loaded: Callable[[], None],
        said: Callable[[Message], None],
    ) -> None:
        self._reactor = reactor
        self._command = command
        self._settings = settings
        self._on_loaded = loaded
        self._on_said = said
        self._channel: Channel | None = None
        self._process: Any = None
        self._due: float | None = None
        self._failures = 0
        self._ours = True
        self.loaded = False
        """Workers can be forked."""
        self.why = ""
        """Why none can be."""
        self.wanted = True
        """When it ends, another one is."""

    def __repr__(self) -> str:
        return f"<Templates {'loaded' if self.loaded else self.why or 'starting'}>"

    @property
    def children(self) -> tuple[int, ...]:
        """The process, if it is a child of ours."""
        process = self._process
        return (process.pid,) if process is not None and process.pid else ()

    def start(self) -> None:
        """Start one."""
        self._due = None
        self.loaded = False
        self._ours = True
        ours, theirs = socket.socketpair()
        channel = Channel(self._says, lambda: self._lost(channel))
        fds = {0: os.open(os.devnull, os.O_RDONLY), 1: 1, 2: 2, 3: theirs.fileno()}
        command = list(self._command(3))
        try:
            self._process = self._reactor.spawnProcess(
                _Process(partial(self._ended, channel)),
                command[0],
                command,
                env=None,
                childFDs=fds,
            )
        finally:
            theirs.close()
            os.close(fds[0])
        attach(self._reactor, ours, channel)
        self._channel = channel
        channel.send(*self._settings())

    def _lost(self, channel: Channel) -> None:
        """Whose child it is hears of its end as of a process's."""
        if not self._ours:
            self._ended(channel, "it is gone")

    def _ended(self, whose: Channel, how: str) -> None:
        channel = self._channel
        if channel is not whose:
            return
        self._channel = self._process = None
        self.loaded = False
        channel.close()
        if not self.wanted:
            return
        self._failures += 1
        delay = delay_after(self._failures)
        self.why = self.why or f"the template ended: {how}"
        self._due = self._reactor.seconds() + delay
        self.log.error("The process that workers are forked from ended: {how}", how=how)

    def _says(self, message: Message, descriptors: list[int]) -> None:
        kind = message["t"]
        if kind == "loaded":
            self.loaded = True
            self._failures = 0
            self.why = ""
            self._on_loaded()
        elif kind == "failed":
            self.why = message["why"]
            self.log.error("Workers cannot be made: {why}", why=message["why"])
            if self._channel is not None:
                self._channel.close()
            if self._process is not None:
                with suppress(internet_error.ProcessExitedAlready):
                    self._process.signalProcess("KILL")
        else:
            self._on_said(message)

    def fork(self, number: int, end: socket.socket) -> None:
        """Have worker `number` forked, with `end` of its channel, which is closed here. To be asked while `loaded`."""
        channel = self._channel
        if channel is None:  # pragma: no cover  # `loaded` says that there is one
            end.close()
            return
        channel.send({"t": "fork", "number": number}, [end.fileno()])
        self._reactor.callLater(SENT_SECONDS, end.close)

    def settings_changed(self) -> None:
        """Others are in force for those that are forked from now on."""
        if self._channel is not None:
            self._channel.send(*self._settings())

    def look(self, now: float) -> None:
        """Start one, if it is time for that."""
        if self._due is not None and self._due <= now:
            self.start()

    def parted(self) -> None:
        """We are in a copy of the process whose child the template is."""
        self._ours = False
        self._process = None

    def end(self) -> None:
        """No worker is wanted any more."""
        self.wanted = False
        self._due = None
        if self._channel is not None:
            self._channel.close()

"""A request for a file, and who is told what became of it.

Imports: net, proxy, proxy.files, wire, Twisted. Used by: proxy.files.answer,
proxy.files.delivery, proxy.files.end, proxy.files.visit.
"""

from __future__ import annotations

import errno

from twisted.logger import Logger

from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.files.supplies import FileSupplies
from lolly_tx.proxy.identity import Identity
from lolly_tx.proxy.own_answers import OwnAnswers, got
from lolly_tx.proxy.replies import reply
from lolly_tx.wire.dates import DateLine
from lolly_tx.wire.message import RequestHead

COMPLAINT_SECONDS = 60.0
"""Between two lines about a disk that does not answer as it should."""

_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


class FileRequest:
    """`path`: the normal one. `began`: when it came (seconds, monotonic). `identity`: its request id, if it has one."""

    __slots__ = ("began", "door", "head", "identity", "path")

    def __init__(
        self,
        door: DoorIn,
        head: RequestHead,
        path: bytes,
        began: float,
        identity: Identity | None,
    ) -> None:
        self.door = door
        self.head = head
        self.path = path
        self.began = began
        self.identity = identity

    @property
    def echo(self) -> bytes:
        """The line that tells the client its request id, or b""."""
        return b"" if self.identity is None else self.identity.echo


class Book:
    """What became of the requests of one route: told to `own`. `root`: for what is said of its disk."""

    log = Logger()

    __slots__ = ("_complained", "_date", "_root", "_route", "_supplies", "own")

    def __init__(
        self, own: OwnAnswers, route: str, root: bytes, supplies: FileSupplies
    ) -> None:
        self.own = own
        self._route = route
        self._root = root
        self._supplies = supplies
        self._date = DateLine(supplies.wall)
        self._complained = float("-inf")

    def given(
        self,
        asked: FileRequest,
        status: int,
        size: int,
        why: str = "",
        relayed: bool = False,
    ) -> None:
        """An answer of `size` body bytes is over. `why`: it was refused, or cut. `relayed`: past what is in front."""
        door = asked.door
        if not relayed:
            status, size = got(door, status, size)
        seconds = self._supplies.now() - asked.began
        head = door.asked or asked.head
        known = asked.identity, self._route
        self.own.given(door, head, status, size, why, *known, seconds)

    def at_once(self, door: DoorIn, head: RequestHead, status: int, size: int) -> None:
        """The same of one that took no time, and has no identity."""
        status, size = got(door, status, size)
        head = door.asked or head
        self.own.given(door, head, status, size, "", None, self._route)

    def refuse(
        self, asked: FileRequest, status: int, why: str, extra: bytes = b""
    ) -> None:
        """Answer with a page of our own. `extra`: more lines."""
        extra += self._date.at(self._supplies.now()) + asked.echo
        size = reply(asked.door, status, extra=extra, is_head=asked.head.is_head)
        self.given(asked, status, size, why)

    def failed(self, asked: FileRequest, error: Exception) -> None:
        """The disk has not given what was asked of it."""
        if isinstance(error, PermissionError):
            self.refuse(asked, 403, "not to be read")
            return
        now = self._supplies.now()
        if now >= self._complained + COMPLAINT_SECONDS:
            self._complained = now
            self.log.warn(
                "files of {root} cannot be had: {error}",
                root=self._root.decode("utf-8", "replace"),
                error=error,
            )
        short = isinstance(error, OSError) and error.errno in _SHORT
        self.refuse(asked, 503 if short else 500, "files cannot be had")

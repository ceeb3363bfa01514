"""A request that waits for the disk.

Imports: domain, net.files, proxy.files. Used by: proxy.files.end.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.files.finding import Folder, Found, Outcome, Spec, find
from lolly_tx.proxy.files.answer import Answering
from lolly_tx.proxy.files.request import Book, FileRequest
from lolly_tx.proxy.files.store import Entry
from lolly_tx.proxy.files.supplies import FileSupplies


class Visited(Protocol):
    """The end of a route that has files (`proxy.files.end.FilesEnd`)."""

    spec: Spec
    supplies: FileSupplies
    book: Book
    answering: Answering

    def remember(self, path: bytes, outcome: Outcome) -> Entry | None:
        """What was found for `path`; None: it is not remembered."""


class Visit:
    """See the module; the exchange of the request's door until the disk has answered."""

    __slots__ = ("_asked", "_end", "_gone")

    def __init__(self, end: Visited, asked: FileRequest) -> None:
        self._end = end
        self._asked = asked
        self._gone = False
        asked.door.exchange = self

    def look(self, entry: Entry | None) -> None:
        """Find out what is there. `entry`: what was known of it."""
        end, asked = self._end, self._asked
        before = entry.outcome if entry is not None else None
        known = before if isinstance(before, Found) else None
        opened = asked.head.method == b"GET"
        work = partial(find, end.spec, asked.path, opened, known)
        end.supplies.threads.call(work, self._found)

    def _found(self, outcome: Outcome | None, error: Exception | None) -> None:
        found = outcome if isinstance(outcome, Found) else None
        try:
            self._answer(outcome, found, error)
        finally:
            if found is not None:
                found.close()

    def _answer(
        self, outcome: Outcome | None, found: Found | None, error: Exception | None
    ) -> None:
        end, asked = self._end, self._asked
        entry = None if outcome is None else end.remember(asked.path, outcome)
        if self._gone:
            return
        asked.door.exchange = None
        if error is not None:
            end.book.failed(asked, error)
        elif isinstance(outcome, Folder):
            end.answering.list(asked, outcome)
        elif entry is not None:
            end.answering.answer(asked, entry, found)

    # -- RequestSink

    def request_data(self, data: bytes) -> None:
        """What comes with the request says nothing here."""

    def request_end(self, trailers: bytes) -> None:
        """Nothing waits for it."""

    def request_stalled(self) -> None:
        """Nobody relays it."""

    def pause_response(self) -> None:
        """There is none yet."""

    def resume_response(self) -> None:
        """There is none yet."""

    def response_changed(self, status: int, size: int) -> None:
        """There is none yet."""

    def response_unwanted(self) -> None:
        """There is none yet, and somebody else has answered."""
        self._gone = True

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone; what the thread finds is for others."""
        if not self._gone:
            self._gone = True
            self._end.book.given(self._asked, 499, 0, error.detail)

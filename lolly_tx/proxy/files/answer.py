"""What an answer for a file is made of: the coding, the conditions, the ranges, in this order.

Imports: domain.routing, net.files, proxy.files, wire. Used by: proxy.files.end,
proxy.files.visit.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes

from lolly_tx.domain.routing.routes import normal_path
from lolly_tx.net.files.content import OpenFile
from lolly_tx.net.files.finding import Absent, Folder, Found, ToFolder
from lolly_tx.proxy.files.delivery import Delivery, Piece
from lolly_tx.proxy.files.form_fields import Expiry, Representation
from lolly_tx.proxy.files.request import Book, FileRequest
from lolly_tx.proxy.files.store import Entry
from lolly_tx.proxy.files.supplies import FileSupplies
from lolly_tx.wire import listing
from lolly_tx.wire.conditionals import Preconditions, preconditions
from lolly_tx.wire.dates import DateLine
from lolly_tx.wire.encodings import Negotiation
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.ranges import (
    Multipart,
    Part,
    content_range,
    read_ranges,
    unsatisfied,
)


class Answering:
    """Makes the answers of one route. `codings`: those that files may be in, the preferred first."""

    __slots__ = (
        "_book",
        "_chosen",
        "_date",
        "_dates",
        "_expiry",
        "_supplies",
        "_until",
    )

    def __init__(
        self,
        supplies: FileSupplies,
        book: Book,
        expiry: Expiry,
        codings: tuple[str, ...],
    ) -> None:
        self._supplies = supplies
        self._book = book
        self._expiry = expiry
        self._chosen = Chosen(codings)
        self._date = DateLine(supplies.wall)
        self._dates = b""
        self._until = b""

    def dates(self, now: float) -> bytes:
        """That, and the one that says how long an answer may be kept."""
        date = self._date.at(now)
        if date is not self._until:  # once a second
            self._until = date
            self._dates = date + self._expiry.at(now)
        return self._dates

    def answer(
        self, asked: FileRequest, entry: Entry, found: Found | None = None
    ) -> bool:
        """Answer by `entry`. False: its content is needed, and `found`, where it is open, was not given."""
        outcome, head = entry.outcome, asked.head
        if isinstance(outcome, Absent):
            why = "not to be read" if outcome.status == 403 else "no such file"
            self._book.refuse(asked, outcome.status, why)
            return True
        if isinstance(outcome, ToFolder):
            self._redirect(asked)
            return True
        index = self._chosen.index(entry.forms, head)
        form = entry.forms[index]
        parts: tuple[Part, ...] | None = None
        conditions = preconditions(head.block)
        if conditions is not None:
            if self._settle(asked, form, conditions):
                return True
            wanted = conditions.wanted_range(
                head.method, form.etag, form.modified, self._supplies.wall()
            )
            parts = None if wanted is None else read_ranges(wanted, form.size)
            if parts == ():
                line = b"Content-Range: %b\r\n" % unsatisfied(form.size)
                self._book.refuse(asked, 416, "no such range", line)
                return True
        body = form.body
        file = None
        if body is None and not head.is_head:
            file = self._file(entry, index, found)
            if file is None:
                return False
        status, fields, pieces = self._cut(form, parts)
        fields += self.dates(self._supplies.now()) + asked.echo
        reason = b"OK" if status == 200 else b"Partial Content"
        if head.is_head:
            asked.door.answer(status, reason, fields, b"")
            self._book.given(asked, status, 0)
        elif body is not None:
            sent = body if parts is None else _joined(pieces, body)
            asked.door.answer(status, reason, fields, sent)
            self._book.given(asked, status, len(sent))
        else:
            assert file is not None
            delivery = Delivery(self._supplies, self._book, asked, file, status)
            delivery.begin(reason, fields, pieces)
        return True

    def _file(self, entry: Entry, index: int, found: Found | None) -> OpenFile | None:
        """The content of a form, open; None: it is not, and was not found just now."""
        if found is None:
            return entry.opened(index)
        file = OpenFile(found.take(index), self._supplies.threads)
        self._supplies.keep_open(entry, index, file)
        return file

    def _settle(
        self, asked: FileRequest, form: Representation, conditions: Preconditions
    ) -> bool:
        """Answer a request whose conditions say so."""
        status = conditions.status(
            asked.head.method, form.etag, form.modified, self._supplies.wall()
        )
        if status == 304:
            fields = form.brief + self.dates(self._supplies.now()) + asked.echo
            asked.door.answer(304, b"Not Modified", fields, b"")
            self._book.given(asked, 304, 0)
        elif status == 412:
            self._book.refuse(asked, 412, "precondition failed")
        return bool(status)

    def _cut(
        self, form: Representation, parts: tuple[Part, ...] | None
    ) -> tuple[int, bytes, list[Piece]]:
        """Status, lines of the head, and what the body consists of."""
        if parts is None:
            return 200, form.fields, [(0, form.size)]
        if len(parts) == 1:
            part = parts[0]
            fields = form.head(part[1] - part[0])
            fields += b"Content-Range: %b\r\n" % content_range(part, form.size)
            return 206, fields + b"Accept-Ranges: bytes\r\n", [part]
        boundary = b"%032x" % self._supplies.random.getrandbits(128)
        frame = Multipart(parts, form.size, form.kind, boundary)
        pieces: list[Piece] = []
        for line, part in zip(frame.heads, parts, strict=True):
            pieces += [line, part]
        return 206, form.head(frame.length, frame.content_type), [*pieces, frame.tail]

    def _redirect(self, asked: FileRequest) -> None:
        """To the same folder with a "/" at its end; in the normal form, so that it cannot lead to another host."""
        path = asked.path
        sent = asked.door.asked
        if sent is not None:
            client = normal_path(sent.target)
            if not client.endswith(b"/"):
                path = (
                    client  # a prefix was taken off, which is the client's all the same
                )
        where = quote_from_bytes(path, safe="/-._~!$&'()*+,=:@").encode() + b"/"
        _, mark, query = asked.head.target.partition(b"?")
        line = b"Location: %b%b%b\r\n" % (where, mark, query)
        self._book.refuse(asked, 301, "", line)

    def list(self, asked: FileRequest, folder: Folder) -> None:
        """Answer with what is in a folder."""
        head = asked.head
        if listing.wants_json(head.block.get(b"accept")):
            kind, body = listing.JSON, listing.as_json(folder.entries)
        else:
            kind = listing.HTML
            body = listing.as_html(asked.path, folder.entries, folder.more)
        fields = (
            b"\r\nContent-Type: %b\r\nContent-Length: %d\r\nVary: Accept\r\n"
            b"Cache-Control: no-cache\r\n" % (kind, len(body))
        )
        if folder.more:
            fields += b"Listing-Truncated: ?1\r\n"
        fields += self._date.at(self._supplies.now()) + asked.echo
        sent = b"" if head.is_head else body
        asked.door.answer(200, b"OK", fields, sent)
        self._book.given(asked, 200, len(sent))


class Chosen:
    """Which form of a file a request gets."""

    __slots__ = ("_codings", "_negotiations")

    def __init__(self, codings: tuple[str, ...]) -> None:
        self._codings = codings
        self._negotiations: dict[tuple[str, ...], Negotiation] = {}

    def index(self, forms: tuple[Representation, ...], head: RequestHead) -> int:
        """Its place in `forms`."""
        if len(forms) == 1:
            return 0
        there = tuple([form.coding for form in forms[1:]])
        negotiation = self._negotiations.get(there)
        if negotiation is None:  # as many as there are subsets of a few codings
            negotiation = self._negotiations[there] = Negotiation(there)
        values = head.block.get_all(b"accept-encoding")
        coding = negotiation.choose(b", ".join(values) if values else None)
        return there.index(coding) + 1 if coding else 0


def _joined(pieces: list[Piece], body: bytes) -> bytes:
    return b"".join([p if isinstance(p, bytes) else body[slice(*p)] for p in pieces])

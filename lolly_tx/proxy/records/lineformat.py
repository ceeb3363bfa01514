r"""What a line of the access log looks like, made ready once and filled in for each exchange.

Imports: config, config.kinds, domain, net, proxy, proxy.records, wire. Used by:
proxy.records.accesslog, service.records.

Format "combined" is the Combined Log Format of Apache and nginx plus four words, all on
one line:

    CLIENT - - [DAY/MON/YEAR:HH:MM:SS +0000] "METHOD TARGET VERSION" STATUS BYTES
    "REFERER" "USER_AGENT" UPSTREAM UPSTREAM_STATUS SECONDS UPSTREAM_SECONDS

The time of day is UTC; BYTES are those of the response body; UPSTREAM is the target's
address as configured; SECONDS is the whole exchange and UPSTREAM_SECONDS its last
attempt, with three decimals. A request that took several attempts has all of them in
these three words, in the order they ended and in quotes: "a, b" "-, 200" 1.003
"1.000, 0.003"; the last one gave the answer, if any did. Of a request that was refused
there is as much as was read. What is not known is "-". Every byte outside printable
ASCII, and `"` and `\`, appears as \xHH, so that a line stays one line of the same shape
whatever the client sent. Where lines are sampled, a last word says the share of such lines that is written.

Format "json" is one object per line with the fields of `config.accesslogs.JSON_FIELDS` in
their order, `sample` where lines are sampled, then those of the settings.
With more than one attempt, `upstream` names them all
("a, b") and `attempts` has each with its upstream, status and seconds; status and seconds
beside `upstream` stay those of the last, so that their types never change. What is not
known is null. Control bytes, bytes beyond ASCII and `\` appear as \xHH inside the decoded
strings too: a tool that prints them raw must not drive its reader's terminal.

Sessions of streams have formats of their own, in the place of these two, all on one line again:

    CLIENT - - [DAY/MON/YEAR:HH:MM:SS +0000] STREAM PROTOCOL "SERVER_NAME" STATUS BYTES_RECEIVED
    BYTES_SENT SECONDS UPSTREAM CONNECT_SECONDS ENDED ERROR

BYTES are those from and to the client, SECONDS the whole session; UPSTREAM and CONNECT_SECONDS name several attempts as
above. The objects have the fields of `config.accesslogs.STREAM_FIELDS`.

Any other format is a text with variables. All are pieces of text and variables in turn:

    head piece  form of a variable  head piece  form of a variable ...  head piece

A head piece is plain text and what depends on the head alone. It is kept for a while by the
head once that has come twice, because clients repeat themselves. Of exchanges that are alike in
all but their times (one attempt, the same target, status and size) the whole line is kept, cut
where a time comes. Many lines are then made at once, column by column (`proxy.records.columns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

from lolly_tx.config.accesslogs import JSON_FIELDS, NO_FIELDS, STREAM_FIELDS
from lolly_tx.config.kinds.variables import parts_of
from lolly_tx.domain.node import Node
from lolly_tx.domain.target import Target
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.endings import Ended
from lolly_tx.proxy.entry import Entry, Words
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.masking import USUAL, Masking
from lolly_tx.proxy.moments import Moment
from lolly_tx.proxy.records.columns import Column, Written, column_of
from lolly_tx.proxy.records.firstcolumns import FirstColumn, called, first_column
from lolly_tx.proxy.records.record import entry_of, exchange_entry
from lolly_tx.proxy.sampling import ALL, Sampling
from lolly_tx.proxy.variables import Get, tries_json, variable
from lolly_tx.wire.forwardform import Onward
from lolly_tx.wire.message import RequestHead

COMBINED = (
    '$client - - [$time_local] "$method $uri $version" $status $bytes_sent'
    ' "$header_referer" "$header_user_agent" $upstream $upstream_status $seconds'
    " $upstream_seconds"
)

STREAM = (
    '$client - - [$time_local] $listener $version "$host" $status $bytes_received'
    " $bytes_sent $seconds $upstream $upstream_seconds $ended $error"
)

REMEMBERED_HEADS = 512
"""Of so many heads the pieces are kept, and then forgotten all at once."""

REMEMBERED_PIECE_BYTES = 4096
"""A head that is longer, and what is made of it, is not kept."""

REMEMBERED_LINES = 1024
"""Of so many kinds of exchanges the line is kept, and then forgotten all at once."""

_NOTHING: Final[tuple[tuple[bytes, ...], Target | None]] = (), None

ClientOf = Callable[[Peer, RequestHead], str]
"""The address of who sent a request that names others, as far as it can be believed."""

_Piece = bytes | Get
"""Plain text, or what writes it."""


def _escaped(piece: bytes) -> bytes:
    return piece.replace(b"%", b"%%")


def _formed(form: bytes, write: Get) -> Get:
    return lambda entry: form % write(entry)


def _first_of(column: Column) -> FirstColumn:
    return lambda ended, epoch, clients: column(ended, epoch)


def _joined(pieces: list[bytes], forms: list[bytes]) -> bytes:
    return b"".join(chain.from_iterable(zip(pieces, (*forms, b""), strict=True)))


class LineFormat:
    """Makes the lines of one log.

    `format`: "combined", "json", the same for streams ("stream", "stream_json"), or a text with variables. `fields`:
    more members of JSON objects, each with a variable. `masking`: what is hidden. `sampling`: which lines are written.
    `heading`: what stands before each, by its time, seconds since the epoch. Raises `Rejected` for variables there are
    none of.
    """

    def __init__(
        self,
        format: str = "combined",
        fields: Mapping[str, str] = NO_FIELDS,
        *,
        masking: Masking = USUAL,
        sampling: Sampling = ALL,
        heading: Callable[[float], bytes] | None = None,
    ) -> None:
        self._pieces: list[list[_Piece]] = [[]]
        self._writers: list[Get] = []
        self._forms: list[bytes] = []
        self._first_form = b""
        self._first: list[FirstColumn] = []
        """All words of a line, where nothing of it is known."""
        self._moments: list[Moment | None] = []
        """Of each form what writes it, if it may be another one each time."""
        self._keeps = not (sampling.slow and sampling.share < 1.0)
        """No word of a line but those depends on how long it took, as `$sample` may."""
        if heading is not None:
            self._add_heading(heading)
        if format in ("json", "stream_json"):
            own = JSON_FIELDS if format == "json" else STREAM_FIELDS
            self._add_json(own, fields, masking, sampling)
        else:
            sample = " $sample" if sampling.share < 1.0 else ""
            if format == "combined":
                format = COMBINED + sample
            elif format == "stream":
                format = STREAM + sample
            for plain, name in parts_of(format):
                self._text(plain)
                if name:
                    made = variable(name, masking, sampling)
                    form, first = (
                        made.text_form,
                        first_column(name, masking, json=False),
                    )
                    self._add(made.text, form, made.of_head, made.text_moment, first)
        self._text("\n")
        self._whole = list(self._all_pieces())
        self._known: dict[RequestHead, bytes] = {}
        """Lines but for what changes, b"" for heads that came once."""
        self._alike: dict[tuple[Any, ...], tuple[tuple[bytes, ...], Target | None]] = {}
        self._columns = [column_of(one) for one in self._moments if one is not None]

    def _add_json(
        self,
        own: Mapping[str, str],
        fields: Mapping[str, str],
        masking: Masking,
        sampling: Sampling,
    ) -> None:
        comma = "{"
        sampled = {"sample": "sample"} if sampling.share < 1.0 else {}
        # What is there already is not there twice: logs of streams may have the settings of others.
        more = [(key, name) for key, name in fields.items() if key not in own]
        for key, name in (*own.items(), *sampled.items(), *more):
            made = variable(name, masking, sampling)
            self._text(f'{comma}"{key}":')
            comma = ","
            if key == "tries":
                first = first_column(name, masking, json=True)
                self._add(tries_json, b"%b", first=first)
            else:
                form, first = made.json_form, first_column(name, masking, json=True)
                self._add(made.json, form, made.of_head, made.json_moment, first)
        self._text("}")

    def _add_heading(self, heading: Callable[[float], bytes]) -> None:
        def moment(wall: float, *_: object) -> bytes:
            return heading(wall)

        self._add(lambda entry: heading(entry.when_wall), b"%b", moment=moment)

    def _text(self, plain: str) -> None:
        if plain:
            raw = plain.encode("ascii")
            self._pieces[-1].append(raw)
            self._first_form += _escaped(raw)

    def _add(
        self,
        write: Get,
        form: bytes,
        of_head: bool = False,
        moment: Moment | None = None,
        first: FirstColumn | None = None,
    ) -> None:
        if first is None and moment is not None:
            first = _first_of(column_of(moment))
        self._first_form += b"%b"
        self._first.append(first or called(write, form))
        if of_head:
            self._pieces[-1].append(write)
        else:
            self._writers.append(write)
            self._forms.append(form)
            self._moments.append(moment)
            self._pieces.append([])

    def line(self, entry: Entry) -> bytes:
        """The line of `entry`."""
        form = self._known.get(entry.head)  # type: ignore[arg-type]  # Words are never in it
        if form is None:
            self._see(entry.head)
            return b"".join(
                [one if isinstance(one, bytes) else one(entry) for one in self._whole]
            )
        if not form:
            form = self._of_head(entry)
        line: bytes = form % tuple([write(entry) for write in self._writers])
        return line

    def _all_pieces(self) -> Iterator[_Piece]:
        """What a line is made of, from its beginning to its end."""
        writers = zip(self._forms, self._writers, strict=True)
        for piece in self._pieces:
            yield from piece
            for form, write in islice(writers, 1):
                yield write if form == b"%b" else _formed(form, write)

    def lines_of(self, ended: list[Ended], epoch: float, client_of: ClientOf) -> bytes:
        """The lines of all of them. `epoch`: the wall clock at zero of the monotonic one."""
        alike, known, keeps = self._alike, self._known, self._keeps
        kinds: list[tuple[bytes, ...]] = []
        written: list[Written] = []  # line by line of `kinds`
        others: list[tuple[int, bytes]] = []  # which line they stand before
        first: list[Written] = []
        first_clients: list[str] = []
        first_places: list[int] = []  # of theirs in `others`
        for exchange, now in ended:
            head, door = exchange.head, exchange.door
            peer: Peer = door.peer
            client = client_of(peer, head) if head.block.forwarded else peer.address
            node: Node | None = exchange.node
            if (
                not isinstance(exchange, Exchange)
                or node is None
                or exchange.past
                or exchange.error is not None
                or door.asked is not None
                or door.verdict
                or not keeps
                or isinstance(head, Onward)  # what is written is another one
            ):
                line = self.line(entry_of(exchange, client, epoch + now, now))
                others.append((len(kinds), line))
                continue
            if head not in known:  # nor will the rest come again soon
                self._see(head)
                first_places.append(len(others))
                others.append((len(kinds), b""))
                first.append((exchange, now))
                first_clients.append(client)
                continue
            key = (
                head,
                client,
                exchange.status,
                exchange.upstream_status,
                exchange.bytes_out,
                exchange.bytes_in,
                node,
                exchange.route,
                peer.listener,
            )
            kind, target = alike.get(key, _NOTHING)
            if target is not node.target:
                entry = exchange_entry(exchange, client, epoch + now, now)
                kind = self._remember(key, entry, node.target)
            kinds.append(kind)
            written.append((exchange, now))
        if first:
            words = [column(first, epoch, first_clients) for column in self._first]
            lines = map(self._first_form.__mod__, zip(*words, strict=True))
            for at, line in zip(first_places, lines, strict=True):
                others[at] = others[at][0], line
        pieces = self._filled(kinds, written, epoch)
        width = 2 * len(self._columns) + 1
        for place, line in reversed(others):
            pieces.insert(place * width, line)
        return b"".join(pieces)

    def _filled(
        self, kinds: list[tuple[bytes, ...]], ended: list[Written], epoch: float
    ) -> list[bytes]:
        """All pieces of the lines of these, which are of these kinds."""
        if not kinds:
            return []
        fixed = list(zip(*kinds, strict=True))
        between = [column(ended, epoch) for column in self._columns]
        turns = chain.from_iterable(zip(fixed, between, strict=False))
        return list(chain.from_iterable(zip(*turns, fixed[-1], strict=True)))

    def _remember(
        self, key: tuple[Any, ...], entry: Entry, target: Target
    ) -> tuple[bytes, ...]:
        """The line of what is like `entry`, cut where it is another one each time."""
        parts = [b""]
        every = zip(self._moments, self._forms, self._writers, strict=True)
        pieces = self._written(entry)
        for moment, form, write in every:
            parts[-1] += next(pieces)
            if moment is None:
                parts[-1] += form % (write(entry),)
            else:
                parts.append(b"")
        parts[-1] += next(pieces)
        kind = tuple(parts)
        if sum(map(len, kind)) <= REMEMBERED_PIECE_BYTES:
            if len(self._alike) >= REMEMBERED_LINES:
                self._alike.clear()
            self._alike[key] = kind, target
        return kind

    def _of_head(self, entry: Entry) -> bytes:
        """The line, with a form in the place of what changes with each exchange."""
        form = _joined([_escaped(one) for one in self._written(entry)], self._forms)
        if isinstance(entry.head, RequestHead) and len(form) <= REMEMBERED_PIECE_BYTES:
            self._known[entry.head] = form
        return form

    def _see(self, head: RequestHead | Words) -> None:
        """Something is worth being made ready for `head` when it comes once more."""
        if (
            isinstance(head, RequestHead)
            and len(head.target) + len(head.block.raw) <= REMEMBERED_PIECE_BYTES
        ):
            if len(self._known) >= REMEMBERED_HEADS:
                self._known.clear()
            self._known[head] = b""

    def _written(self, entry: Entry) -> Iterator[bytes]:
        for piece in self._pieces:
            yield b"".join(
                [one if isinstance(one, bytes) else one(entry) for one in piece]
            )

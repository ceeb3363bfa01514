"""The chunked transfer coding (RFC 9112 section 7.1), strictly.

Imports: wire. Used by: net.checks, net.http1, wire.bodies, wire.http2.

A decoder is fed whatever the socket gave and returns the data in it; it keeps at most one partial line, and the
trailers. Chunk extensions are validated and dropped, trailers are validated and kept in `trailers`. What cannot become
right any more is refused at once, not when its line ends (in a long line: within `SELDOM_BYTES`).

Chunks of a few bytes cost a multiple of what their bytes do, whoever reads them. Runs of them are therefore found and
taken apart by one regular expression each, and `appetite` says how much to read at once, so that nobody's chunks hold
up the others for long.
"""

from __future__ import annotations

import re
from typing import Final

from lolly_tx.wire.errors import BadMessage

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"(?:[\t ]*;[\t ]*%b(?:[\t ]*=[\t ]*(?:%b|%b))?)*+\r\n" % (_TOKEN, _TOKEN, _QUOTED)
)


def _small_chunks() -> bytes:
    """A chunk of 1 to 15 bytes, without extensions; its data is the group."""
    digits = b"123456789abcdef"
    data = [
        rb"(?<=[%b%b]\r\n)[\x00-\xff]{%d}" % (digit, digit.upper(), size)
        for size, digit in enumerate((digits[n : n + 1] for n in range(15)), 1)
    ]
    return rb"0{0,15}+[1-9a-fA-F]\r\n(%b)\r\n" % b"|".join(data)


_SMALL_CHUNK: Final = re.compile(_small_chunks())
_SMALL_CHUNKS: Final = re.compile(rb"(?:%b)++" % _small_chunks())
# What may still become a size line.
_SIZE_START: Final = re.compile(
    rb"[0-9A-Fa-f]{1,16}(?:[\t ]*+(?:;[\t -~\x80-\xff]*+)?\r?)?"
)
_TRAILER_LINES: Final = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)*+"
)
# What may follow them: one that is not complete yet.
_TRAILER_START: Final = re.compile(
    rb"\r?|[!#$%&'*+\-.^_`|~0-9A-Za-z]++(?::[\t -~\x80-\xff]*+\r?)?"
)

MAX_LINE_BYTES: Final = 4096
"""One size line with its extensions, which nobody needs and some parsers read without end."""
MAX_EXTENSION_BYTES: Final = 65536
"""All extensions of a message together: else tiny chunks make a small body a large one."""
MAX_TRAILER_BYTES: Final = 16384
"""All trailers of a message: they stay in memory until the last has come."""
MAX_CHUNK: Final = 2**63 - 1
SELDOM_BYTES: Final = 256
"""A line that is longer is looked at again when it ends, or so many bytes later."""
LARGE_MEAL: Final = 65536
"""How much to read of a body at once."""
SMALL_MEAL: Final = 8192
"""The same of one whose chunks are tiny."""
TINY_BYTES: Final = 64
"""So small are they then, on average."""

# Fields that mean nothing, or something dangerous, after the body (RFC 9110 section 6.5.1).
_NOT_IN_TRAILERS: Final = re.compile(
    rb"(?i)(?:connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|host|via|cookie|set-cookie"
    rb"|authorization|www-authenticate|proxy.*|forwarded|x-forwarded-.*|x-real-ip|cache-control|max-forwards|range"
    rb"|if-.*|age|date|expires|location|retry-after|vary|warning|.*_.*)"
)

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILER: Final = 3
_DONE: Final = 4


class ChunkDecoder:
    """Decodes one body.

    `done`: the last chunk and the trailer section have been read. `rest`: the bytes after them, set with `done`.
    `trailers`: the trailer section's field lines, b"" when there are none. `appetite`: how many bytes to feed next, at
    most, going by the chunks of the last time. `verbatim`, `left`: see `wire.bodies`.
    """

    __slots__ = (
        "_extensions",
        "_left",
        "_partial",
        "_state",
        "appetite",
        "done",
        "rest",
        "trailers",
    )

    verbatim = False
    left = None

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self.trailers = b""
        self.appetite = LARGE_MEAL
        self._extensions = 0
        self._left = 0
        self._partial = b""
        self._state = _SIZE

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`, which continues what was fed before. Raises `BadMessage`."""
        if self._partial:
            partial = len(self._partial)
            data = self._partial + data
            if partial > SELDOM_BYTES and self._not_worth_a_look(data, partial):
                self._partial = data
                return b""
            self._partial = b""
        pieces: list[bytes] = []
        at = 0
        size = len(data)
        while at < size:
            if self._state == _DATA:
                end = min(size, at + self._left)
                pieces.append(data[at:end])
                self._left -= end - at
                at = end
                if not self._left:
                    self._state = _DATA_END
            elif self._state == _DATA_END:
                if not data.startswith(b"\r\n", at):
                    if size - at == 1 and data[at] == 13:
                        self._partial = b"\r"
                        break
                    raise BadMessage("chunk data without its CRLF")
                at += 2
                self._state = _SIZE
            elif self._state == _SIZE:
                match = _SIZE_LINE.match(data, at)
                if match is None:
                    self._keep_line(data[at:])
                    break
                digits = match[1]
                self._extensions += match.end() - at - len(digits) - 2
                if match.end() - at > MAX_LINE_BYTES:
                    raise BadMessage("chunk size line too long")
                if self._extensions > MAX_EXTENSION_BYTES:
                    raise BadMessage("too many chunk extensions")
                self._left = int(digits, 16)
                if 0 < self._left < 16:
                    run = _SMALL_CHUNKS.match(data, at)
                    if run is not None:
                        at = run.end()
                        pieces += _SMALL_CHUNK.findall(data, run.start(), at)
                        continue
                at = match.end()
                if self._left > MAX_CHUNK:
                    raise BadMessage("chunk size out of range")
                self._state = _DATA if self._left else _TRAILER
            else:
                match = _TRAILER_LINES.match(data, at)
                assert match is not None
                self.trailers += match[0]
                at = match.end()
                if len(self.trailers) > MAX_TRAILER_BYTES:
                    raise BadMessage("trailers too large")
                if data.startswith(b"\r\n", at):
                    self._state = _DONE
                    self.done = True
                    self.rest = data[at + 2 :]
                else:
                    self._keep_trailer(data[at:])
                break
        if len(pieces) == 1:
            self.appetite = LARGE_MEAL
            return pieces[0]
        tiny = len(pieces) * TINY_BYTES > size
        self.appetite = SMALL_MEAL if tiny else LARGE_MEAL
        return b"".join(pieces)

    def _not_worth_a_look(self, data: bytes, seen: int) -> bool:
        """Whether `data` just continues a long line, of which `seen` bytes are known."""
        return (
            data.find(b"\n", seen) < 0
            and len(data) // SELDOM_BYTES == seen // SELDOM_BYTES
        )

    def _keep_line(self, partial: bytes) -> None:
        if len(partial) > MAX_LINE_BYTES:
            raise BadMessage("chunk size line too long")
        if not _SIZE_START.fullmatch(partial):
            raise BadMessage("malformed chunk size")
        self._partial = partial

    def _keep_trailer(self, partial: bytes) -> None:
        if not _TRAILER_START.fullmatch(partial):
            raise BadMessage("malformed trailers")
        if len(self.trailers) + len(partial) > MAX_TRAILER_BYTES:
            raise BadMessage("trailers too large")
        self._partial = partial


def encode_chunk(data: bytes) -> bytes:
    """`data`, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: bytes = b"") -> bytes:
    """The end of a chunked body with those of the `trailers` (field lines) that may be passed on."""
    if not trailers:
        return b"0\r\n\r\n"
    kept = [
        line
        for line in trailers.split(b"\r\n")[:-1]
        if not _NOT_IN_TRAILERS.fullmatch(line.partition(b":")[0])
    ]
    return b"".join([b"0\r\n", *(line + b"\r\n" for line in kept), b"\r\n"])

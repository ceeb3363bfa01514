"""HTTP/1.1 read as strictly as RFC 9112 allows, to judge what the proxy sends to either side.

Deliberately simple, line by line, and without a line of `lolly_tx`: it must not share
the proxy's mistakes. Used by: strict_origin, corpus_judge, fuzz.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[!-~]+")
_DIGITS = re.compile(rb"[0-9]+")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[\t -~\x80-\xff]+)?)")
_SIZE_START = re.compile(rb"[0-9A-Fa-f]{0,16}(?:;[\t -~\x80-\xff]*)?\r?")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?")


class Broken(Exception):
    """Not a message that may be sent."""


Fields = list[tuple[bytes, bytes]]


@attrs.define
class Message:
    """A request (`start` is method, target, version) or a response (status).

    `complete`: with all of its body. `until_close`: the body ends with the connection.
    """

    start: tuple[bytes, ...]
    fields: Fields
    body: bytes = b""
    trailers: Fields = attrs.Factory(list)
    complete: bool = False
    until_close: bool = False
    interim: list[int] = attrs.Factory(list)

    def all(self, name: str) -> list[str]:
        """The values of the fields called `name`, lower case."""
        wanted = name.encode().lower()
        return [v.decode("latin-1") for n, v in self.fields if n == wanted]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start[0])


def read_fields(lines: list[bytes]) -> Fields:
    """Field lines without their CRLF."""
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise Broken(f"field line {line[:60]!r}")
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise Broken(f"control byte in {line[:60]!r}")
        fields.append((name.lower(), value.strip(b"\t ")))
    return fields


def _framing(message: Message) -> int | None:
    """Content-Length, -1 for chunked, None for neither."""
    lengths = message.all("content-length")
    codings = message.all("transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise Broken("more than one framing field")
    if codings:
        if codings[0].lower() != "chunked":
            raise Broken(f"Transfer-Encoding {codings[0]!r}")
        return -1
    if lengths:
        if not _DIGITS.fullmatch(lengths[0].encode("latin-1")):
            raise Broken(f"Content-Length {lengths[0]!r}")
        return int(lengths[0])
    return None


def _read_chunks(message: Message, data: bytes, at: int) -> int:
    """Read a chunked body into `message`; where it ends, if it does."""
    body = []
    try:
        while True:
            end = data.find(b"\r\n", at)
            if end < 0:
                if not _SIZE_START.fullmatch(data, at):
                    raise Broken(f"chunk size {data[at : at + 30]!r}")
                return at
            size = _SIZE.fullmatch(data, at, end)
            if size is None:
                raise Broken(f"chunk size {data[at:end][:30]!r}")
            length = int(size[1], 16)
            at = end + 2
            if not length:
                break
            body.append(data[at : at + length])
            at += length
            if len(data) < at + 2:
                if data[at:] not in (b"", b"\r"):
                    raise Broken("chunk without CRLF")
                return at
            if data[at : at + 2] != b"\r\n":
                raise Broken("chunk without CRLF")
            at += 2
    finally:
        message.body = b"".join(body)
    lines: list[bytes] = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return at
        if end == at:
            message.trailers = read_fields(lines)
            message.complete = True
            return at + 2
        lines.append(data[at:end])
        at = end + 2


def _read_body(message: Message, data: bytes, at: int, length: int | None) -> int:
    if length is None:
        message.complete = True
        return at
    if length < 0:
        return _read_chunks(message, data, at)
    message.body = data[at : at + length]
    message.complete = len(message.body) == length
    return at + len(message.body)


def read_request(data: bytes) -> tuple[Message, int] | None:
    """The request at the start of `data` and where it ends; None: not even its head."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    words = tuple(lines[0].split(b" "))
    if (
        len(words) != 3
        or not _TOKEN.fullmatch(words[0])
        or not _TARGET.fullmatch(words[1])
        or words[2] not in (b"HTTP/1.1", b"HTTP/1.0")
    ):
        raise Broken(f"request line {lines[0][:80]!r}")
    message = Message(words, read_fields(lines[1:]))
    hosts = message.all("host")
    if len(hosts) != 1 or not hosts[0] or re.search(r"[\s,@/?#\\]", hosts[0]):
        raise Broken(f"Host {hosts!r}")
    return message, _read_body(message, data, end + 4, _framing(message))


def read_responses(
    data: bytes, methods: list[str] | Callable[[Message], str], ended: bool
) -> tuple[list[Message], bytes]:
    """The final responses in `data` and what is behind them.

    `methods`: of the requests, GET where it is shorter; or what tells the method that a
    response belongs to. `ended`: the connection is closed.
    """
    found: list[Message] = []
    interim: list[int] = []
    at = 0
    while at < len(data):
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return found, data[at:]
        lines = data[at:end].split(b"\r\n")
        status = _STATUS.fullmatch(lines[0])
        if status is None:
            raise Broken(f"status line {lines[0][:80]!r}")
        message = Message((status[1],), read_fields(lines[1:]))
        length = _framing(message)
        at = end + 4
        if message.status < 200 and message.status != 101:
            interim.append(message.status)
            continue
        message.interim, interim = interim, []
        found.append(message)
        if callable(methods):
            method = methods(message)
        else:
            method = methods[len(found) - 1] if len(found) <= len(methods) else "GET"
        if message.status == 101:
            message.body, message.complete = data[at:], True
            return found, b""
        if method == "HEAD" or message.status in (204, 304):
            if message.status == 204 and length is not None:
                raise Broken("204 with framing")
            message.complete = True
        elif length is None:
            message.until_close = True
            message.body, message.complete = data[at:], ended
            at = len(data)
        else:
            at = _read_body(message, data, at, length)
            if not message.complete:
                return found, b""
    return found, data[at:]

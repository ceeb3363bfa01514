"""WebSocket for who takes part in it (RFC 6455): the opening handshake and frames, on either side.

    client                                    server
    opening_request(...)               -->    ServerOpening.receive -> 101
    ClientOpening.receive              <--
    frame(...), masked                 <->    frame(...)                      FrameReader.read, on both

What a proxy needs to know of frames that only pass is in `wire.websocket`.

Imports: nothing of ours. Used by: net.websockets.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1

CONTINUATION, TEXT, BINARY = range(3)
CLOSE, PING, PONG = 8, 9, 10
NORMAL, LEAVING, PROTOCOL_ERROR, NO_STATUS, BAD_TEXT, TOO_LARGE = (
    1000,
    1001,
    1002,
    1005,
    1007,
    1009,
)

MOST_HEAD_BYTES = 16384
"""Of the opening handshake, either way."""
MOST_FRAME_BYTES = 1 << 20
"""Of a frame that is taken; messages may be of any number of them."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REQUEST = re.compile(rb"GET (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")


class Refused(Exception):
    """There will be no WebSocket. `status`: what a server answers; 0 on the client's side."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class BadFrame(Exception):
    """The peer broke the rules. `code`: for the Close."""

    def __init__(self, why: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(why)
        self.code = code


def accept_of(key: bytes) -> bytes:
    """What proves that a server has understood (section 4.2.2)."""
    return b64encode(sha1(key + _GUID).digest())  # noqa: S324  # what the RFC says


def opening_request(host: str, path: str, key: bytes) -> bytes:
    """What a client begins with. `key`: of 16 random bytes, in base64."""
    return (
        b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n"
        % (path.encode("ascii"), host.encode("ascii"), key)
    )


class _Head:
    """A head as it comes. `rest`: what follows it."""

    def __init__(self, status: int) -> None:
        self.rest = b""
        self._status = status

    def receive(self, data: bytes) -> tuple[bytes, dict[bytes, bytes]] | None:
        """The first line and the fields, by names in lower case; None: not whole. Raises `Refused`."""
        self.rest += data
        head, end, rest = self.rest.partition(b"\r\n\r\n")
        if len(head) > MOST_HEAD_BYTES:
            raise Refused("the head is too long", self._status and 431)
        if not end:
            return None
        self.rest = rest
        first, *lines = head.split(b"\r\n")
        fields: dict[bytes, bytes] = {}
        for line in lines:
            match = _FIELD.fullmatch(line)
            name = b"" if match is None else match[1].lower()
            if match is None or name in fields:
                raise Refused("a field is wrong, or there twice", self._status)
            fields[name] = match[2]
        return first, fields


def _has(fields: dict[bytes, bytes], name: bytes, token: bytes) -> bool:
    return token in [one.strip().lower() for one in fields.get(name, b"").split(b",")]


class ServerOpening:
    """What a server makes of the first bytes. `path`: the only one it serves; "" for any.

    `origins`: pages whose scripts may connect; a browser that says another is refused.
    """

    def __init__(self, path: str, origins: tuple[str, ...]) -> None:
        self._head = _Head(400)
        self._path = path.encode("ascii")
        self._origins = [one.encode("ascii") for one in origins]

    @property
    def rest(self) -> bytes:
        """What came behind the request."""
        return self._head.rest

    def receive(self, data: bytes) -> bytes:
        """The answer, once the request is whole. Raises `Refused`."""
        found = self._head.receive(data)
        if found is None:
            return b""
        first, fields = found
        request = _REQUEST.fullmatch(first)
        if request is None or b"host" not in fields:
            raise Refused("no request for a WebSocket", 400)
        if self._path and request[1].partition(b"?")[0] != self._path:
            raise Refused("nothing is there", 404)
        if not _has(fields, b"upgrade", b"websocket") or not _has(
            fields, b"connection", b"upgrade"
        ):
            raise Refused("no WebSocket is asked for", 426)
        if fields.get(b"sec-websocket-version") != b"13":
            raise Refused("another version", 426)
        key = fields.get(b"sec-websocket-key", b"")
        if _KEY.fullmatch(key) is None:
            raise Refused("the key is wrong", 400)
        if b"origin" in fields and fields[b"origin"] not in self._origins:
            raise Refused("this page may not connect", 403)
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_of(key)
        )


def refusal(refused: Refused) -> bytes:
    """The answer of a server that says no."""
    more = b"Sec-WebSocket-Version: 13\r\n" if refused.status == 426 else b""
    text = str(refused).encode() + b"\n"
    return (
        b"HTTP/1.1 %d Refused\r\n%bConnection: close\r\nContent-Length: %d\r\n\r\n%b"
        % (
            refused.status,
            more,
            len(text),
            text,
        )
    )


class ClientOpening:
    """What a client makes of the answer. `key`: that it has sent."""

    def __init__(self, key: bytes) -> None:
        self._head = _Head(0)
        self._accept = accept_of(key)

    @property
    def rest(self) -> bytes:
        """What came behind the answer."""
        return self._head.rest

    def receive(self, data: bytes) -> bool:
        """Whether the answer is whole, and yes. Raises `Refused`."""
        found = self._head.receive(data)
        if found is None:
            return False
        first, fields = found
        if not first.startswith(b"HTTP/1.1 101"):
            raise Refused(f"the answer is {first[:60].decode('latin-1')!r}")
        if fields.get(b"sec-websocket-accept") != self._accept:
            raise Refused("the server has not understood")
        if not _has(fields, b"upgrade", b"websocket"):
            raise Refused("the server speaks something else")
        return True


def frame(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """One frame, a whole message. `mask`: four random bytes, of a client; b"": of a server."""
    size, bit = len(payload), 0x80 if mask else 0
    if size < 126:
        head = bytes((0x80 | opcode, bit | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, bit | 127)) + size.to_bytes(8, "big")
    return head + mask + masked(payload, mask) if mask else head + payload


def masked(payload: bytes, mask: bytes) -> bytes:
    """`payload` under `mask`, or out from under it (section 5.3)."""
    size = len(payload)
    over = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(over, "big")).to_bytes(
        size, "big"
    )


def close(code: int) -> bytes:
    """What a Close carries."""
    return code.to_bytes(2, "big")


def code_of(payload: bytes) -> int:
    """What a Close says (sections 5.5.1 and 7.4); `NO_STATUS`: nothing. Raises `BadFrame`."""
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2], "big")
    known = 1000 <= code <= 1014 and code not in (1004, 1005, 1006)
    if len(payload) < 2 or not (known or 3000 <= code <= 4999):
        raise BadFrame("a Close with no code that may be sent")
    try:
        payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        raise BadFrame("a Close whose reason is no text", BAD_TEXT) from None
    return code


def is_failure(code: int) -> bool:
    """Whether that says that something went wrong, and not that all is said. Codes of applications are their own."""
    return code < 3000 and code not in (NORMAL, LEAVING, NO_STATUS)


class FrameReader:
    """Cuts what comes into frames. `from_client`: they have to be masked; else they must not be."""

    def __init__(self, from_client: bool) -> None:
        self._from_client = from_client
        self._kept = b""
        self._within = False

    def read(self, data: bytes) -> list[tuple[int, bytes]]:
        """The kinds and payloads of whole frames; those of messages are all BINARY. Raises `BadFrame`."""
        data, self._kept = self._kept + data, b""
        found = []
        at, end = 0, len(data)
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            size, begin = second & 0x7F, at + 2
            self._check(first, second)
            if size >= 126:
                more = 2 if size == 126 else 8
                if end - begin < more:
                    break
                size = int.from_bytes(data[begin : begin + more], "big")
                begin += more
            if size > MOST_FRAME_BYTES:
                raise BadFrame("a frame too large", TOO_LARGE)
            mask = b""
            if self._from_client:
                mask = data[begin : begin + 4]
                begin += 4
            if end - begin < size:
                break
            payload = data[begin : begin + size]
            opcode = first & 0x0F
            if opcode < CLOSE:
                self._message(opcode, bool(first & 0x80))
                opcode = BINARY
            found.append((opcode, masked(payload, mask) if mask else payload))
            at = begin + size
        self._kept = data[at:]
        return found

    def _check(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70 or opcode not in (0, 1, 2, 8, 9, 10):
            raise BadFrame("a frame of an unknown kind")
        if bool(second & 0x80) != self._from_client:
            raise BadFrame("a frame that is masked and should not be, or the reverse")
        if opcode >= CLOSE and (not first & 0x80 or second & 0x7F > 125):
            raise BadFrame("a control frame too large, or in pieces")

    def _message(self, opcode: int, last: bool) -> None:
        if (opcode == CONTINUATION) != self._within:
            raise BadFrame("a message within another, or none to go on with")
        self._within = not last

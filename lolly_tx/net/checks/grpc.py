"""The check of gRPC: asks a target, in HTTP/2, whether a service of it is serving (grpc.health.v1).

    preface, SETTINGS, the call --> SETTINGS, the answer's head, a message, trailers --> verdict

A probe has its connection to itself, and goes without what makes HTTP/2 hard: one stream, an answer of a few bytes.

Imports: domain, net.checks, net.sockets, wire, wire.hpack, wire.http2. Used by:
net.checks.kinds.
"""

from __future__ import annotations

from lolly_tx.domain.target import Target
from lolly_tx.net.checks.http import USER_AGENT, TCPCheck
from lolly_tx.net.checks.probes import Probe
from lolly_tx.net.sockets.tls_names import ALPN_HTTP2
from lolly_tx.net.sockets.transports import is_secure
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import render_fields
from lolly_tx.wire.grammar import RESPONSE_LIMITS
from lolly_tx.wire.grpc import (
    CHECK_PATH,
    MOST_ANSWER_BYTES,
    SERVING,
    STATES,
    grpc_status,
    health_answer,
    health_question,
)
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.encoder import Encoder, LineMemory
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.blocks import Assembly
from lolly_tx.wire.http2.requests import trailer_lines
from lolly_tx.wire.http2.responses import response_head
from lolly_tx.wire.http2.settings import (
    ENABLE_PUSH,
    SETTINGS_ACK,
    settings,
)
from lolly_tx.wire.http2_errors import Http2Error, name_of

MOST_FRAMES = 100
"""Of an answer: a few are usual, a flood of them is an attack."""
CONTINUATIONS = 4
STREAM = 1


class GrpcProbe(Probe):
    """Makes the call, and reads its answer."""

    _reader: fr.FrameReader
    _decoder: Decoder
    _assembly: Assembly | None = None
    _message = b""
    _status = 0
    _frames = 0

    def connectionMade(self) -> None:
        """Make the call; over TLS only if HTTP/2 was agreed on."""
        transport = self.transport
        assert transport is not None  # connected
        agreed = getattr(transport, "negotiatedProtocol", None)
        if is_secure(transport) and agreed != ALPN_HTTP2:
            self.finish(False, "the target does not agree on HTTP/2 (ALPN h2)")
            return
        self._reader = fr.FrameReader()
        self._decoder = Decoder(BlockMemory(RESPONSE_LIMITS, most_bytes=0))
        transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Read on; a verdict as soon as there is one."""
        if self._over:
            self._swallow(data)
            return
        try:
            for kind, flags, stream, payload in self._reader.read(data):
                self._frames += 1
                if self._frames > MOST_FRAMES:
                    raise BadMessage("too many frames")
                self._take(kind, flags, stream, payload)
                if self.done.called:
                    return
        except (BadMessage, Http2Error) as error:
            self.finish(False, f"invalid response: {error.reason}")

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == fr.OVERSIZED:
            raise fr.too_large(flags)
        if self._assembly is not None:
            block = self._assembly.add(kind, flags, stream, payload)
            if block is not None:
                flags, self._assembly = self._assembly.flags, None
                self._take_block(flags, block)
            return
        fr.check(kind, stream, len(payload))
        if kind == fr.HEADERS:
            block = fr.header_block(flags, stream, payload)
            if flags & fr.END_HEADERS:
                self._take_block(flags, block)
            else:
                most = 2 * RESPONSE_LIMITS.head_bytes
                self._assembly = Assembly(stream, flags, block, most, CONTINUATIONS)
        elif kind == fr.DATA:
            self._message += fr.content(flags, payload)
            if len(self._message) > MOST_ANSWER_BYTES:
                raise BadMessage("answer too long")
            if flags & fr.END_STREAM:
                raise BadMessage("no grpc-status")
        elif kind == fr.RST_STREAM:
            self.finish(False, f"stream reset: {name_of(fr.number(payload))}")
        elif kind == fr.GOAWAY:
            if fr.goaway_says(payload)[0] < STREAM:
                self.finish(False, "the target goes away")
        elif not flags & fr.ACK:
            self._acknowledge(kind, payload)

    def _acknowledge(self, kind: int, payload: bytes) -> None:
        assert self.transport is not None  # it has sent something
        if kind == fr.SETTINGS:
            self.transport.write(SETTINGS_ACK)
        elif kind == fr.PING:
            self.transport.write(fr.ping(payload, ack=True))

    def _take_block(self, flags: int, block: bytes) -> None:
        fields = self._decoder.decode(block).fields
        if not self._status:
            head = response_head(fields)
            if head.status < 200:
                return
            self._status = head.status
            lines = head.block.raw
            if head.status != 200:
                self._judge(f"{head.status} from {CHECK_PATH.decode()}")
                return
        else:
            lines = trailer_lines(fields)
        if flags & fr.END_STREAM:
            code = grpc_status(lines)
            if code:
                self._judge(f"grpc-status {code}")
            elif b"grpc-status" not in lines:
                raise BadMessage("no grpc-status")
            else:
                state = health_answer(self._message)
                self._judge(STATES[state], state == SERVING)

    def _judge(self, cause: str, ok: bool = False) -> None:
        self.finish(ok, cause, self._status)


class GrpcCheck(TCPCheck):
    """A target whose service says that it is serving is up. The parameters are TCPCheck's."""

    probe = GrpcProbe

    def _request(self, target: Target) -> bytes:
        checked = self.settings
        lines = render_fields(
            [
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
                (b"user-agent", USER_AGENT.encode()),
                *(
                    (k.encode(), v.encode("latin-1"))
                    for k, v in checked.headers.items()
                ),
            ]
        )
        block = Encoder(LineMemory(0)).request(
            b"POST",
            target.scheme.encode(),
            (checked.host or target.authority).encode("latin-1"),
            CHECK_PATH,
            lines,
        )
        question = health_question(checked.service)
        return b"".join(
            (
                fr.PREFACE,
                settings([(ENABLE_PUSH, 0)]),
                fr.headers(STREAM, block, False, fr.LEAST_FRAME_BYTES),
                fr.frame(fr.DATA, fr.END_STREAM, STREAM, question),
            )
        )

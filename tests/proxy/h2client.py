"""An HTTP/2 client in memory for the world of `tests.proxy.world`: another implementation, and raw frames.

client = Http2Client(world)
stream = client.get("/")              a request, with `h2`
client.raw(frame(...))                bytes of the test's own
client.answers[stream].status         what came back so far
"""

from __future__ import annotations

from typing import Any

import attrs
import h2.config
import h2.connection
import h2.events
import h2.settings
from hpack import Encoder

from lolly_tx.wire.http2.frames import FrameReader, frame, goaway_says, number
from tests.proxy.world import World

PSEUDO = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "x"),
    (":path", "/"),
]


@attrs.define
class Answer:
    """What has come on a stream."""

    status: int = 0
    fields: list[tuple[bytes, bytes]] = attrs.Factory(list)
    interim: list[int] = attrs.Factory(list)
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] | None = None
    ended: bool = False
    reset: int | None = None
    waiting: int = 0


class Http2Client:
    """See the module. `reads`: windows are widened as bodies come."""

    def __init__(self, world: World, *, reads: bool = True, **settings: Any) -> None:
        self.world = world
        self.line = world.client()
        self.answers: dict[int, Answer] = {}
        self.reads = reads
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(
                {getattr(h2.settings.SettingCodes, k): v for k, v in settings.items()}
            )
        self.goaway: tuple[int, int, bytes] | None = None
        self.frames: list[tuple[int, int, int, bytes]] = []
        self._reader = FrameReader(1 << 24)
        self.turn()

    def turn(self) -> None:
        """Send what there is, let the proxy's turn end, take what has come."""
        data = self.h2.data_to_send()
        if data and not self.line.lost:
            self.line.send(data)
        self.world.pass_time()
        got = self.line.take()
        found = self._reader.read(got)
        self.frames += found
        for kind, _, _, payload in found:
            if kind == 7:
                self.goaway = goaway_says(payload)
        # The library knows no graceful end: for it nothing may follow a GOAWAY.
        got = b"".join([frame(*each) for each in found if each[0] != 7])
        for event in self.h2.receive_data(got):
            self._take(event)
        data = self.h2.data_to_send()
        if data and not self.line.lost:
            self.line.send(data)
            self.turn()

    def _take(self, event: Any) -> None:
        stream = getattr(event, "stream_id", 0) or 0
        answer = self.answers.setdefault(stream, Answer())
        if isinstance(event, h2.events.ResponseReceived):
            answer.status = int(dict(event.headers)[b":status"])
            answer.fields = [f for f in event.headers if f[0] != b":status"]
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(int(dict(event.headers)[b":status"]))
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.reads:
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length, stream
                    )
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)

    def request(
        self,
        *fields: tuple[str, str],
        method: str = "GET",
        path: str = "/",
        end: bool = True,
        turn: bool = True,
    ) -> int:
        """A request; its stream."""
        stream: int = self.h2.get_next_available_stream_id()
        head = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "x"),
            (":path", path),
            *fields,
        ]
        self.h2.send_headers(stream, head, end_stream=end)
        self.answers[stream] = Answer()
        if turn:
            self.turn()
        return stream

    def get(self, path: str = "/", *fields: tuple[str, str], turn: bool = True) -> int:
        """A GET."""
        return self.request(*fields, path=path, turn=turn)

    def send(self, stream: int, data: bytes, end: bool = False) -> None:
        """More of its body."""
        for at in range(0, len(data) or 1, 16384):
            piece = data[at : at + 16384]
            self.h2.send_data(stream, piece, end_stream=end and at + 16384 >= len(data))
        self.turn()

    def reset(self, stream: int, code: int = 8) -> None:
        """Give it up."""
        self.h2.reset_stream(stream, code)
        self.turn()


class RawClient:
    """Frames of the test's own making. `frames`: what has come, without those of the greeting."""

    def __init__(self, world: World, greeting: bytes | None = None) -> None:
        self.world = world
        self.line = world.client()
        self._reader = FrameReader(1 << 24)
        self._encoder = Encoder()
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.send(preface if greeting is None else greeting)
        if greeting is None:
            self.frames.clear()

    def send(self, *frames: bytes) -> None:
        """Send them in one piece, and take what comes."""
        data = b"".join(frames)
        if data and not self.line.lost:
            self.line.send(data)
        self.world.pass_time()
        self.frames += self._reader.read(self.line.take())

    def block(self, *fields: tuple[Any, Any], pseudo: Any = PSEUDO) -> bytes:
        """A header block of a GET and these fields."""
        encoded: bytes = self._encoder.encode([*pseudo, *fields])
        return encoded

    @property
    def goaway(self) -> tuple[int, bytes] | None:
        """Code and debug data of the last GOAWAY."""
        found = [goaway_says(f[3])[1:] for f in self.frames if f[0] == 7]
        return found[-1] if found else None

    def reset(self, stream: int) -> int | None:
        """The code of the stream's reset."""
        found = [number(f[3]) for f in self.frames if f[0] == 3 and f[2] == stream]
        return found[-1] if found else None

    def kinds(self, stream: int) -> list[int]:
        """The kinds of the frames that came on a stream."""
        return [f[0] for f in self.frames if f[2] == stream]

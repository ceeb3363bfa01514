"""An HTTP/2 target in memory for the world of `tests.proxy.world`: another implementation, and raw frames.

target = Http2Target(world)           accepts the oldest connect to node a
target.requests[1].fields             what came on a stream
target.answer(1, b"ok")               with `h2`
target.raw(frame(...))                bytes of the test's own
"""

from __future__ import annotations

from typing import Any

import attrs
import h2.config
import h2.connection
import h2.events
import h2.settings

from lolly_tx.wire.http2.frames import FrameReader
from tests.proxy.world import World


@attrs.define
class Asked:
    """What has come on a stream."""

    fields: dict[bytes, bytes] = attrs.Factory(dict)
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] | None = None
    ended: bool = False
    reset: int | None = None


class Http2Target:
    """See the module. `reads`: windows are widened as bodies come."""

    def __init__(
        self,
        world: World,
        node: str = "a",
        *,
        reads: bool = True,
        greet: bool = True,
        **settings: int,
    ) -> None:
        self.world = world
        self.line = world.accept(node)
        self.requests: dict[int, Asked] = {}
        self.reads = reads
        self.frames: list[tuple[int, int, int, bytes]] = []
        self._reader = FrameReader(1 << 24)
        self._begun = False
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        if settings:
            codes = {
                getattr(h2.settings.SettingCodes, k): v for k, v in settings.items()
            }
            self.h2.local_settings = h2.settings.Settings(
                client=False, initial_values=codes
            )
        if greet:
            self.h2.initiate_connection()
            self.turn()

    def turn(self) -> None:
        """Send what there is, let the proxy's turn end, take what has come."""
        data = self.h2.data_to_send()
        if data and not self.line.lost:
            self.line.send(data)
        self.world.pass_time()
        got = self.line.take()
        plain = got
        if not self._begun and got:
            self._begun = True
            plain = got[24:]
        self.frames += self._reader.read(plain)
        for event in self.h2.receive_data(got):
            self._take(event)
        data = self.h2.data_to_send()
        if data and not self.line.lost:
            self.line.send(data)
            self.turn()

    def _take(self, event: Any) -> None:
        stream = getattr(event, "stream_id", 0) or 0
        if not stream:
            return
        asked = self.requests.setdefault(stream, Asked())
        if isinstance(event, h2.events.RequestReceived):
            asked.fields = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            asked.body += event.data
            if self.reads and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.TrailersReceived):
            asked.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            asked.ended = True
        elif isinstance(event, h2.events.StreamReset):
            asked.reset = int(event.error_code)

    def raw(self, *frames: bytes) -> None:
        """Send them in one piece."""
        self.line.send(b"".join(frames))
        self.turn()

    def head(
        self,
        stream: int,
        *fields: tuple[str, str],
        status: int = 200,
        end: bool = False,
    ) -> None:
        """The head of an answer, without a turn."""
        head = [(":status", str(status)), *fields]
        self.h2.send_headers(stream, head, end_stream=end)

    def answer(
        self,
        stream: int,
        body: bytes = b"ok",
        *fields: tuple[str, str],
        status: int = 200,
    ) -> None:
        """An answer in one piece."""
        length = ("content-length", str(len(body)))
        self.head(stream, ("date", "d"), length, *fields, status=status)
        self.h2.send_data(stream, body, end_stream=True)
        self.turn()

    def send(self, stream: int, data: bytes, end: bool = False) -> None:
        """More of a body."""
        self.h2.send_data(stream, data, end_stream=end)
        self.turn()

"""What the HTTP/2 connections of one listener share: settings, and what their header blocks were before.

Imports: net, net.http1, wire, wire.hpack, wire.http2. Used by: net.http2, service.
"""

from __future__ import annotations

from base64 import b64encode
from os import urandom
from typing import Final

import attrs

from lolly_tx.net.http1.shared import Http1Settings, Shared, Site
from lolly_tx.net.turn import Turn
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory
from lolly_tx.wire.hpack.encoder import LineMemory
from lolly_tx.wire.http2.flow import FIRST_WINDOW
from lolly_tx.wire.http2.frames import window_update
from lolly_tx.wire.http2.known import RequestHeads
from lolly_tx.wire.http2.settings import (
    ENABLE_CONNECT_PROTOCOL,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    NO_RFC7540_PRIORITIES,
    settings,
)

STREAM_WINDOW: Final = 65535
"""Bytes of a request's body that a client may send ahead, at first."""
LARGEST_STREAM_WINDOW: Final = 524288
"""The same once the target has been seen to take them as they come."""
CONNECTION_WINDOW: Final = 1048576
"""The same for all requests of a connection together."""


@attrs.frozen
class Http2Settings:
    """What clients may do with HTTP/2, beside what `Http1Settings` says for all.

    `websocket`: extended CONNECT is offered (RFC 8441). `streams`: open at once. `resets`: of streams, at once; a tenth
    of them more each second. `odd_frames`: those that ask for nothing, the same way. `continuations`: frames of a
    header block after its first. `buffer_bytes`: of bodies that wait here, each way, for a connection. 0 resets or odd
    frames: no limit.
    """

    websocket: bool = False
    streams: int = 128
    resets: int = 100
    odd_frames: int = 1000
    continuations: int = 8
    buffer_bytes: int = 1 << 20


def _new_key() -> bytes:
    """A Sec-WebSocket-Key."""
    return b64encode(urandom(16))


class Http2Shared(Shared):
    """One for each listener. `greeting`: what our side of a connection begins with. `most_streams`: as `h2` says."""

    __slots__ = (
        "blocks",
        "greeting",
        "h2",
        "heads",
        "limits",
        "lines",
        "most_streams",
        "turn",
    )

    def __init__(
        self,
        site: Site,
        settings_: Http1Settings,
        secure: bool,
        h2: Http2Settings,
        turn: Turn,
    ) -> None:
        super().__init__(site, settings_, secure)
        self.h2 = h2
        self.most_streams: int = h2.streams
        self.limits: HeadLimits = settings_.limits
        self.blocks = BlockMemory(settings_.limits)
        self.heads = RequestHeads(settings_.limits, _new_key if h2.websocket else None)
        self.lines = LineMemory()
        self.turn = turn
        said = [
            (MAX_CONCURRENT_STREAMS, h2.streams),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (MAX_HEADER_LIST_SIZE, settings_.limits.head_bytes),
            (NO_RFC7540_PRIORITIES, 1),
        ]
        if h2.websocket:
            said.append((ENABLE_CONNECT_PROTOCOL, 1))
        self.greeting = settings(said) + window_update(
            0, CONNECTION_WINDOW - FIRST_WINDOW
        )

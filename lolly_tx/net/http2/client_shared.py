"""What the HTTP/2 connections to the targets of a pool share: settings, and what their header blocks were before.

Imports: net, net.http2, wire, wire.hpack, wire.http2. Used by: net.http2.answers,
net.http2.client, service.
"""

from __future__ import annotations

import attrs

from lolly_tx.net.http2.shared import CONNECTION_WINDOW, STREAM_WINDOW
from lolly_tx.net.turn import Turn
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory
from lolly_tx.wire.hpack.encoder import LineMemory
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.flow import FIRST_WINDOW
from lolly_tx.wire.http2.settings import (
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    MAX_HEADER_LIST_SIZE,
    settings,
)


@attrs.frozen(eq=False)
class ClientShared:
    """One for each pool. `alpn`: HTTP/2 has to have been agreed on, over TLS.

    `greeting`: what our side of a connection begins with. `blocks`, `lines`: what their header blocks were before.
    """

    alpn: bool
    limits: HeadLimits
    turn: Turn
    blocks: BlockMemory
    lines: LineMemory
    greeting: bytes

    @classmethod
    def of(cls, alpn: bool, limits: HeadLimits, turn: Turn) -> ClientShared:
        """One for responses with heads within `limits`."""
        said = settings(
            [
                (ENABLE_PUSH, 0),
                (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                (MAX_HEADER_LIST_SIZE, limits.head_bytes),
            ]
        )
        more = fr.window_update(0, CONNECTION_WINDOW - FIRST_WINDOW)
        greeting = fr.PREFACE + said + more
        return cls(alpn, limits, turn, BlockMemory(limits), LineMemory(), greeting)

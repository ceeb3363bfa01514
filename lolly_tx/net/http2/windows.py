"""What the peer of a connection says of windows, and of all else in its settings (RFC 9113 sections 6.5 and 6.9).

Imports: net.http2, wire.hpack, wire.http2. Used by: net.http2.client, net.http2.server,
net.tunnels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lolly_tx.net.http2.sending import Outlet, Sender
from lolly_tx.wire.hpack.encoder import Encoder
from lolly_tx.wire.http2.flow import widened
from lolly_tx.wire.http2.frames import ACK, window_increment
from lolly_tx.wire.http2.settings import SETTINGS_ACK, check_acknowledgement


class Table(Protocol):
    """The streams of a connection. `open`: by number."""

    @property
    def open(self) -> Mapping[int, Outlet]:
        """Those that are not closed."""


class Windows:
    """Those of a connection's `streams`, for what we send. All else that its peer has said is `sender.peer`."""

    __slots__ = ("_encoder", "_sender", "_streams")

    def __init__(self, sender: Sender, encoder: Encoder, streams: Table) -> None:
        self._sender = sender
        self._encoder = encoder
        self._streams = streams

    def settings(self, flags: int, payload: bytes) -> bool:
        """A SETTINGS frame; False: only the acknowledgement of ours. Raises `Http2Error`."""
        if flags & ACK:
            check_acknowledgement(payload)
            return False
        sender = self._sender
        peer = sender.peer
        window, table = peer.window, peer.table_bytes
        peer.take(payload)
        if peer.table_bytes != table:
            self._encoder.table_size(peer.table_bytes)
        if peer.window != window:
            more = peer.window - window
            for stream in self._streams.open.values():
                stream.window = widened(stream.window, more)
                self._unblock(stream)
        sender.send(SETTINGS_ACK)
        return True

    def widen(self, number: int, payload: bytes) -> None:
        """A WINDOW_UPDATE, of a stream that is or was open, or of the connection. Raises `Http2Error`."""
        more = window_increment(number, payload)
        if not number:
            sender = self._sender
            sender.window = widened(sender.window, more)
            sender.unblock()
            return
        stream = self._streams.open.get(number)
        if stream is not None:
            stream.window = widened(stream.window, more, number)
            self._unblock(stream)

    def _unblock(self, stream: Outlet) -> None:
        if stream.window > 0 and stream.queued:
            stream.stalled(False)
            self._sender.wait(stream)

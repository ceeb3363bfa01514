"""What each message passes through in a transport: one `send`, tried at once, and one `recv`, handed on.

Mixed in before Twisted's classes, and apart from `net.sockets.transports` because it is compiled, and what extends
Twisted's is not. What it looks at are attributes of its own, also where it is Twisted's code that assigns them: so a
message costs no look into a dictionary.

Imports: domain, net.sockets, Twisted. Used by: net.http1, net.sockets.records_at_once,
net.sockets.transports.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

from lolly_tx.domain.native import mypyc_attr
from lolly_tx.net.sockets.descriptors import receive, transmit

RECEIVE_BYTES: Final = 65536
"""How much one `recv` asks for: the stock transport's bufferSize."""

CLOSED: Final = -1
"""In place of the handle of a socket."""

_receive: Final = receive
_transmit: Final = transmit
_DONE: Final[Exception] = CONNECTION_DONE
_LOST: Final[Exception] = CONNECTION_LOST


@mypyc_attr(allow_interpreted_subclasses=True)
class AtOnce:
    """See the module. `handle`: of the socket (`net.sockets.descriptors`). All else is as in Twisted's classes.

    `receive_bytes`: how much the next `recv` asks for; its protocol may change it. `_broken`: sending has failed.
    """

    __deletable__ = ("protocol",)

    _aborting: bool = False
    _broken: bool = False
    _tempDataLen: int = 0
    _writeDisconnecting: bool = False
    TLS: bool = False
    connected: int = 0
    dataBuffer: bytes = b""
    disconnecting: int = 0
    handle: Any = CLOSED
    producer: Any = None
    protocol: Any = None
    receive_bytes: int = RECEIVE_BYTES
    streamingProducer: Any = False

    def write(self, data: Any) -> None:
        """Send `data`, at once if the kernel takes it; queue the rest.

        Never raises for the connection's sake: a failed send is left for the reactor to
        report, as with the stock transport.
        """
        if (
            self._tempDataLen
            or self.dataBuffer
            or not self.connected
            or self.disconnecting
            or self._writeDisconnecting
            or self._aborting
            or self.TLS
            or not isinstance(data, bytes)
            or (self.producer is not None and not self.streamingProducer)
        ):
            # A pull producer is asked for more when the queue drains: it needs one.
            self._write_later(data)
            return
        if not data:
            return
        try:
            sent = _transmit(self.handle, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The kernel reports an error once. doWrite will meet EPIPE and say so; but
            # should doRead come first, it would see a clean end of file.
            self._broken = True
            sent = 0
        if sent != len(data):
            self._queue(memoryview(data)[sent:] if sent else data)

    def doRead(self) -> Exception | None:
        """Hand one `recv` to the protocol."""
        try:
            data = _receive(self.handle, self.receive_bytes)
        except BlockingIOError:
            return None
        except OSError:
            return _LOST
        if data:
            self.protocol.dataReceived(data)
            return None
        return _LOST if self._broken else _DONE

    def _write_later(self, data: bytes) -> None:
        """Have the stock code write it."""
        raise NotImplementedError

    def _queue(self, data: bytes | memoryview) -> None:
        """Keep it until the kernel takes more."""
        raise NotImplementedError

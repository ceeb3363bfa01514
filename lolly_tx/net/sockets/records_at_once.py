"""What each message passes through in a transport over TLS: one record written at once, and one read and handed on.

As `net.sockets.at_once`, and apart from `net.sockets.tls` for the same reason. What is not done at once, a handshake
among it, is for the transport.

Imports: domain, net.sockets, pyOpenSSL. Used by: net.sockets.tls.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL

from lolly_tx.domain.native import mypyc_attr
from lolly_tx.net.sockets.at_once import AtOnce
from lolly_tx.net.sockets.records import RECORD_BYTES, read, write

_read: Final = read
_write: Final = write


@mypyc_attr(allow_interpreted_subclasses=True)
class RecordAtOnce(AtOnce):
    """See the module. `_ssl`: OpenSSL's connection. `_handshaking`: no byte to or from the protocol yet.

    `_writes_blocked`: OpenSSL has to read before it can write.
    """

    _handshaking: bool = True
    _ssl: Any = None
    _writes_blocked: bool = True

    def write(self, data: Any) -> None:
        """Encrypt and send `data`, at once if the kernel takes it; queue the rest."""
        if (
            self._tempDataLen
            or self.dataBuffer
            or not self.connected
            or self._handshaking
            or self.disconnecting
            or self._writeDisconnecting
            or self._aborting
            or self._broken
            or not isinstance(data, bytes)
            or (self.producer is not None and not self.streamingProducer)
        ):
            self._write_later(data)
            return
        if not data:
            return
        if len(data) > RECORD_BYTES:
            sent = self._send(data)
        else:
            try:
                sent = _write(self._ssl, data)
            except SSL.Error as error:
                sent = 0
                self._not_sent(error)
        if sent != len(data):
            self._queue(memoryview(data)[sent:] if sent else data)

    def doRead(self) -> Exception | None:
        """Hand the next record to the protocol."""
        if self._handshaking or self._writes_blocked:
            why = self._get_ready()
            if why is not None or self._handshaking:
                return why
        try:
            data = _read(self._ssl)
        except SSL.Error as error:
            return self._not_read(error)
        self.protocol.dataReceived(data)
        return None

    def _get_ready(self) -> Exception | None:
        """There is something to read, and it may not be for the protocol."""
        raise NotImplementedError

    def _not_read(self, error: Exception) -> Exception | None:
        """OpenSSL has no record, or no more. The result is doRead's."""
        raise NotImplementedError

    def _send(self, data: bytes | memoryview) -> int:
        """Send until the kernel takes no more."""
        raise NotImplementedError

    def _not_sent(self, error: Exception) -> None:
        """OpenSSL has not taken a record."""
        raise NotImplementedError

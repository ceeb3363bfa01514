"""Certificates that show an authority that a name is ours (RFC 8737): who asks for one, and what it gets.

    a folder that is there while an authority looks, HOST.pem in it
      a connection that begins meanwhile: its ClientHello is looked at, and left where it is
        offers "acme-tls/1" for such a host --> the handshake is with that file's certificate, and then it ends
        anything else                       --> as ever

The first bytes are looked at, because OpenSSL chooses the certificate before it asks what ALPN is to agree on. They are
files, so that every process that listens can show them, whichever has made the order.

Imports: net.sockets, wire, Twisted, pyOpenSSL. Used by: net.sockets.credentials,
net.sockets.tls, service, service.certificates.
"""

from __future__ import annotations

import os
import socket
from typing import Any, ClassVar

from OpenSSL import SSL
from twisted.logger import Logger

from lolly_tx.net.sockets.certificates import load_certificate
from lolly_tx.net.sockets.tls_contexts import context_of
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.wire.client_hello import LARGEST_HELLO, NotAHello, read_hello

ACME_TLS = b"acme-tls/1"
"""What the connection of an authority that looks speaks."""


class Challenges:
    """Those in `folder`, which is there only while there are any."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @property
    def pending(self) -> bool:
        """An authority may come. Asked for each connection: it is one call of the system."""
        return os.path.isdir(self._folder)

    def context_for(self, name: str) -> SSL.Context | None:
        """What shows that `name` is ours; None: nobody is asked to show that."""
        file = f"{name}.pem"
        try:
            if file not in os.listdir(self._folder):
                return None  # among them names that are paths
            certificate = load_certificate(os.path.join(self._folder, file))
            context = context_of(certificate, alpn=(ACME_TLS,))
        except (OSError, TLSSettingsError) as error:
            # It may have gone between two steps; who asks again gets the usual certificate.
            self.log.warn("no challenge for {name}: {error}", name=name, error=error)
            return None
        context.set_options(SSL.OP_NO_TICKET)
        return context


class Looking:
    """A look at the first bytes of one connection. `waiting`: there are too few yet."""

    def __init__(self, challenges: Challenges) -> None:
        self.waiting = True
        self._challenges = challenges
        self._seen = 0

    def look(self, sock: Any) -> SSL.Context | None:
        """What the handshake is to be with; None: as ever, unless it is `waiting` still."""
        try:
            data = sock.recv(LARGEST_HELLO + 5, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            data = b""  # the handshake finds out itself
        try:
            hello = read_hello(data)
        except NotAHello:
            hello = None
            self._seen = len(data)
        if hello is None and len(data) > self._seen:
            self._seen = len(data)
            # Bytes that are left where they are would wake us again and again.
            _wake_at(sock, self._seen + 1)
            return None
        self.waiting = False
        _wake_at(sock, 1)
        if hello is None or ACME_TLS not in hello.protocols:
            return None
        return self._challenges.context_for(hello.name)


def _wake_at(sock: Any, count: int) -> None:
    """Have a TCP socket be readable when there are so many bytes, or its end."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

"""A client of TLS 1.3 that sends KeyUpdate without end: `python -m tests.system.key_updates PORT COUNT`.

Neither `ssl` nor pyOpenSSL can, so this is the system's libssl, by its C names. All of the messages are made beforehand
and sent in one go, as who means harm would do it. It ends with 2 where there is no libssl, and prints when it has sent.

May import: nothing of ours. Used by: test_certificates.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
import sys
from typing import Any

NOT_REQUESTED = 0
_REQUEST = b"GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n"
_ROOM = 1 << 20


def library() -> Any | None:
    """The system's libssl, and its libcrypto with it; None without one that knows TLS 1.3."""
    name = ctypes.util.find_library("ssl")
    if name is None:
        return None
    found = ctypes.CDLL(name)
    if not hasattr(found, "SSL_key_update"):
        return None
    for each in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(found, each).restype = ctypes.c_void_p
    for each in ("BIO_s_mem", "BIO_new"):
        getattr(found, each).restype = ctypes.c_void_p
    return found


class Client:
    """A connection whose bytes pass through memory."""

    def __init__(self, library: Any, port: int) -> None:
        self.lib = library
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        context = ctypes.c_void_p(library.SSL_CTX_new(self._p("TLS_client_method")))
        self.ssl = ctypes.c_void_p(library.SSL_new(context))
        self.came, self.goes = (
            ctypes.c_void_p(library.BIO_new(self._p("BIO_s_mem"))) for _ in range(2)
        )
        library.SSL_set_bio(self.ssl, self.came, self.goes)
        library.SSL_set_connect_state(self.ssl)
        self.room = ctypes.create_string_buffer(_ROOM)
        while library.SSL_do_handshake(self.ssl) != 1:
            self.socket.sendall(self.made())
            data = self.socket.recv(65536)
            library.BIO_write(self.came, data, len(data))
        self.socket.sendall(self.made())

    def _p(self, name: str) -> ctypes.c_void_p:
        return ctypes.c_void_p(getattr(self.lib, name)())

    def made(self) -> bytes:
        """What is to be sent."""
        found = []
        while (size := self.lib.BIO_read(self.goes, self.room, _ROOM)) > 0:
            found.append(self.room.raw[:size])
        return b"".join(found)

    def updates(self, count: int) -> bytes:
        """So many KeyUpdate messages."""
        for _ in range(count):
            self.lib.SSL_key_update(self.ssl, NOT_REQUESTED)
            self.lib.SSL_do_handshake(self.ssl)
        return self.made()

    def request(self) -> bytes:
        """A request, behind all of them."""
        self.lib.SSL_write(self.ssl, _REQUEST, len(_REQUEST))
        return self.made()


def main(port: int, count: int) -> int:
    """Send them, then hold the connection until somebody ends it or us."""
    found = library()
    if found is None:
        return 2
    client = Client(found, port)
    data = client.updates(count)
    sys.stdin.readline()
    client.socket.sendall(data)
    print(f"{count} in {len(data)} bytes", flush=True)
    sys.stdin.readline()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))

"""The staples that clients are shown with certificates: the word of their authority that they are not revoked.

One process asks (`service.certificates.stapling`), every one that serves has them here, by certificate. Who takes
up a certificate again, as a reload does, finds its staple there already.

Imports: nothing of ours. Used by: net.sockets.credentials, service,
service.certificates.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping


class Staples:
    """See the module. Certificates are named by their `net.sockets.certificates.Certificate.fingerprint`.

    `heard`: told of what changes, in a form for other processes; set by who wants to know.
    """

    def __init__(self) -> None:
        self.heard: Callable[[dict[str, str]], None] = lambda news: None
        self._held: dict[str, bytes] = {}

    def of(self, fingerprint: str) -> bytes:
        """The staple of a certificate in DER, b"" for none."""
        return self._held.get(fingerprint, b"")

    def put(self, fingerprint: str, der: bytes) -> None:
        """Show this one from now on; b"": none."""
        if self.of(fingerprint) == der:
            return
        if der:
            self._held[fingerprint] = der
        else:
            del self._held[fingerprint]
        self.heard({fingerprint: b64encode(der).decode()})

    def whole(self) -> dict[str, str]:
        """All of them, for `take` in another process."""
        return {name: b64encode(der).decode() for name, der in self._held.items()}

    def take(self, news: Mapping[str, str]) -> None:
        """What another process has heard."""
        for fingerprint, text in news.items():
            self.put(fingerprint, b64decode(text))

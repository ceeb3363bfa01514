"""Where the API server of a cluster is, and what we show to be let in: files that are read again when they change.

    Access(place, ...).ready() --> the agent and the fields for one question

In a cluster nothing has to be set: address, token and authority are where Kubernetes puts them for each pod.

Imports: net, Twisted, pyOpenSSL. Used by: net.discovery, net.kubernetes.api,
service.providers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgent

from lolly_tx.net.failures import BadAnswer
from lolly_tx.net.quiet import QuietConnections

CONNECT_SECONDS = 5.0
"""For the name, the connection and TLS."""

MOST_FILE_BYTES = 1 << 20
"""Of a token, or of the certificates of authorities."""

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

Identity = tuple[int, ...]
InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


@attrs.frozen
class Place:
    """`url`: of the API server. `token`: a text; `token_file`, `ca`: files; "" = none; for `ca`: the system's."""

    url: str
    token: str = attrs.field(default="", repr=False)
    token_file: str = ""
    ca: str = ""


def place_of(
    url: str, token: str, token_file: str, ca: str, environ: Mapping[str, str]
) -> Place:
    """What the settings say; without a URL: that of the cluster we run in, or the empty one outside of any."""
    if url:
        return Place(url.rstrip("/"), token, token_file, ca)
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    if not host:
        return Place("")
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    if not token and not token_file:
        token_file = f"{_ACCOUNT}/token"
    return Place(
        f"https://{host}:{port}", token, token_file, ca or f"{_ACCOUNT}/ca.crt"
    )


class Access:
    """See the module. `agent`: in place of one of our own; files then matter as ever."""

    def __init__(
        self,
        place: Place,
        reactor: Any,
        in_thread: InThread,
        agent: IAgent | None = None,
    ) -> None:
        self.place = place
        self.in_thread = in_thread
        self._reactor = reactor
        self._given = agent
        self._agent: IAgent | None = agent
        self._connections: QuietConnections | None = None
        self._token: tuple[Identity, bytes] = ((), b"")
        self._ca: tuple[Identity, bytes] = ((), b"")

    async def ready(self) -> tuple[IAgent, Mapping[str, str]]:
        """Errbacks with `BadAnswer` where a file is missing or is none."""
        place = self.place
        if not place.url:
            raise BadAnswer(
                "no URL is set, and KUBERNETES_SERVICE_HOST is not either: this is no pod of a cluster"
            )
        if place.token_file or place.ca:
            before = self._ca
            self._token, self._ca = await self.in_thread(self._look)
            if self._ca != before:
                self.close()
        if self._agent is None:
            self._agent = self._made()
        token = place.token or self._token[1].decode("ascii", "replace").strip()
        if not token:
            return self._agent, {}
        if not token.isascii() or not token.isprintable():
            raise BadAnswer(f"{place.token_file or 'token'}: is no token")
        if not _private(place.url):
            raise BadAnswer(f"{place.url}: a token is not sent in the clear, use https")
        return self._agent, {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        """Keep no connection; the next question begins with new ones."""
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.closeCachedConnections().addErrback(lambda _: None)
        self._agent = self._given

    def _look(self) -> tuple[tuple[Identity, bytes], tuple[Identity, bytes]]:
        """In a thread."""
        place = self.place
        return _changed(place.token_file, self._token), _changed(place.ca, self._ca)

    def _made(self) -> IAgent:
        connections = self._connections = QuietConnections(self._reactor)
        # What was asked may have been done: only we know whether to ask again.
        connections.retryAutomatically = False
        policy = BrowserLikePolicyForHTTPS()
        if self.place.ca:
            policy = BrowserLikePolicyForHTTPS(_trusted(self.place.ca, self._ca[1]))
        agent: IAgent = Agent(
            self._reactor, policy, connectTimeout=CONNECT_SECONDS, pool=connections
        )
        return agent


def _private(url: str) -> bool:
    """Whether nobody on the way can read what is sent: by TLS, or because it leaves no machine."""
    found = urlsplit(url)
    return found.scheme == "https" or found.hostname in (
        "127.0.0.1",
        "::1",
        "localhost",
    )


def _changed(path: str, before: tuple[Identity, bytes]) -> tuple[Identity, bytes]:
    if not path:
        return (), b""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            seen = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
            if seen == before[0]:
                return before
            data = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise BadAnswer(f"{path}: {error.strerror}") from None
    if len(data) > MOST_FILE_BYTES:
        raise BadAnswer(f"{path}: more than {MOST_FILE_BYTES} bytes")
    return seen, data


def _trusted(path: str, data: bytes) -> Any:
    try:
        found = load_pem_x509_certificates(data)
    except ValueError:
        raise BadAnswer(f"{path}: no certificates in PEM form") from None
    return trustRootFromCertificates(
        [Certificate(X509.from_cryptography(one)) for one in found]
    )

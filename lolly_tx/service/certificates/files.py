"""The certificates of listeners, from the files that the settings name: at the start, and again when they change.

    stale: what has another stat than before?           -- nothing: no more is done
      read, in a thread: certificate, key, do they fit?  -- refused: said once, what was stays
      take: connections from now on get it; those there are stay

`service.certificates.watching` has this done each second.

Imports: config, net.sockets, service, Twisted. Used by: service,
service.certificates.watching, service.metrics.

Files are told apart by what their names lead to, so that a link that is pointed elsewhere is a change. One that cannot
be used is looked at again when it changes again. What is not served any more was removed from its folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
from twisted.logger import Logger

from lolly_tx.config.listening import ListenerTLS
from lolly_tx.net.sockets.certificates import (
    Certificate,
    Signature,
    files_of,
    load_certificate,
    signature_of,
)
from lolly_tx.net.sockets.challenges import Challenges
from lolly_tx.net.sockets.client_certificates import ClientPolicy, load_policy
from lolly_tx.net.sockets.credentials import Credentials, Terms
from lolly_tx.net.sockets.handshakes import Handshakes
from lolly_tx.net.sockets.staples import Staples
from lolly_tx.net.sockets.tls_contexts import context_of
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1, TLSSettingsError
from lolly_tx.service.isotime import iso_time


@attrs.frozen
class Reading:
    """What files had: `loaded` by path, `refused` with the reason by path, `terms` if they have changed."""

    loaded: dict[str, Certificate]
    refused: dict[str, str]
    signatures: dict[str, Signature]
    terms: Terms | None = None


def terms_of(tls: ListenerTLS, alpn: tuple[bytes, ...]) -> Terms:
    """What the settings ask of clients, with the files they name. Raises TLSSettingsError."""
    sites: list[tuple[str, ClientPolicy]] = []
    for site in tls.sites:
        crl = site.client_crl or ("" if site.client_ca else tls.client_crl)
        policy = load_policy(site.client, site.client_ca or tls.client_ca, crl)
        if policy.mode == "off":
            policy = ClientPolicy()  # one of its own: a site is a site
        sites += [(host, policy) for host in site.hosts]
    own = load_policy(tls.client, tls.client_ca, tls.client_crl)
    return Terms(alpn, tls.minimum, own, tuple(sites))


class ListenerCertificates:
    """Those of one listener. Raises TLSSettingsError, when one of its files cannot be used at the start.

    `renewed`, `refusals`: files taken up and refused since the start. `refused`: reasons that hold now, by path.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        tls: ListenerTLS,
        handshakes: Handshakes | None = None,
        *,
        alpn: tuple[bytes, ...] = (ALPN_HTTP1,),
        challenges: Challenges | None = None,
        staples: Staples | None = None,
    ) -> None:
        self.tls = tls
        self._alpn = alpn
        self.renewed = 0
        self.refusals = 0
        self.refused: dict[str, str] = {}
        self._files = files_of(tls.certificate)
        self._signatures: dict[str, Signature] = {}
        # Whether each key is its own is said by the contexts, which `Credentials` makes.
        found = [self._load(path, self._signatures) for path in self._files]
        self._held = {one.path: one for one in found}
        self._signatures[""] = self._clients()
        terms = terms_of(tls, alpn)
        self.credentials = Credentials(
            found, terms, handshakes, challenges, staples if tls.ocsp else None
        )

    def _load(self, path: str, signatures: dict[str, Signature]) -> Certificate:
        key = self.tls.key or path
        # Before the reading: what changes in the middle of it is read again.
        signatures[path] = signature_of((path, key))
        return load_certificate(path, key)

    def _clients(self) -> Signature:
        tls = self.tls
        paths = [tls.client_ca, tls.client_crl]
        for site in tls.sites:
            paths += [site.client_ca, site.client_crl]
        return signature_of(filter(None, paths))

    def stale(self) -> bool:
        """Whether a file is another than it was when it was looked at last. Only asks for their state."""
        try:
            files = files_of(self.tls.certificate)
        except TLSSettingsError as error:
            self._refuse({error.path: error.reason})
            return False
        for path in self.tls.certificate:
            if path not in files:
                self.refused.pop(path, None)  # a folder that can be read again
        return (
            files != self._files
            or self._signatures[""] != self._clients()
            or any(
                self._signatures.get(path) != signature_of((path, self.tls.key or path))
                for path in files
            )
        )

    def read(self) -> Reading:
        """What has changed, as far as it can be used. Takes its time, and may be asked in a thread."""
        reading = Reading({}, {}, {})
        try:
            files = files_of(self.tls.certificate)
        except TLSSettingsError as error:
            reading.refused[error.path] = error.reason
            files = []
        for path in files:
            if self._signatures.get(path) != signature_of((path, self.tls.key or path)):
                try:
                    one = self._load(path, reading.signatures)
                    context_of(one)  # says whether the key is its own
                    reading.loaded[path] = one
                except TLSSettingsError as error:
                    reading.refused[path] = f"{error.path}: {error.reason}"
        clients = self._clients()
        if clients != self._signatures[""]:
            reading.signatures[""] = clients
            try:
                return attrs.evolve(reading, terms=terms_of(self.tls, self._alpn))
            except TLSSettingsError as error:
                reading.refused[error.path] = error.reason
        return reading

    def take(self, reading: Reading) -> None:
        """Serve it."""
        self._signatures.update(reading.signatures)
        self._held.update(reading.loaded)
        try:
            self._files = files_of(self.tls.certificate)
        except TLSSettingsError:
            pass  # what there was stays
        served = [self._held[path] for path in self._files if path in self._held]
        for path in [p for p in self._held if p not in self._files]:
            del self._held[path]
            self._signatures.pop(path, None)
        for path in [
            *reading.loaded,
            *(p for p in self.refused if p not in self._files),
        ]:
            if path not in reading.refused:
                self.refused.pop(path, None)
        self._refuse(reading.refused)
        try:
            if tuple(served) != self.credentials.certificates and served:
                self.credentials.renew(served)
            if reading.terms is not None:
                self.credentials.agree(reading.terms)
        except TLSSettingsError as error:
            self._refuse({error.path: error.reason})
            return
        for path, one in reading.loaded.items():
            self.renewed += 1
            self.log.info(
                "certificate {path} taken up: {names}, until {until}",
                path=path,
                names=", ".join(one.names) or "no name",
                until=iso_time(one.leaf.not_valid_after_utc.timestamp()),
            )
        if reading.terms is not None:
            self.log.info("client authorities of {path} taken up", path=self._files[0])

    def _refuse(self, refused: dict[str, str]) -> None:
        for path, reason in refused.items():
            if self.refused.get(path) != reason:
                self.refusals += 1
                self.refused[path] = reason
                self.log.error(
                    "certificate file {path} is not taken up, what was before stays"
                    " in force: {reason}",
                    path=path,
                    reason=reason,
                )

    def shown(self, listener: str, wall: float) -> Iterator[dict[str, Any]]:
        """Each certificate as JSON-able values. `wall`: seconds since the epoch."""
        for index, one in enumerate(self.credentials.certificates):
            leaf = one.leaf
            begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
            yield {
                "listener": listener,
                "path": one.path,
                "default": index == 0,
                "names": list(one.names),
                "subject": leaf.subject.rfc4514_string(),
                "issuer": leaf.issuer.rfc4514_string(),
                "serial": f"{leaf.serial_number:x}",
                "not_before": iso_time(begins.timestamp()),
                "not_after": iso_time(ends.timestamp()),
                "expires_in_seconds": round(ends.timestamp() - wall),
                "fingerprint": one.fingerprint,
                "refused": self.refused.get(one.path),
            }

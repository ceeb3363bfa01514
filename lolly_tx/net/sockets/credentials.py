"""The certificates of a listener, and what it asks of its clients: which of it a handshake gets.

    base context --server name--> the context of a certificate under a policy

Every connection begins with the base context, which has no certificate. It has the keys of
session tickets: OpenSSL makes them with it, and takes them from nowhere else. So certificates
come and go and sessions stay, and another base context is another key. A session knows nothing of
names. Where policies differ by name, connections that ask for a certificate get no ticket, and one
that is resumed has shown none.

Imports: net.sockets, Twisted, pyOpenSSL. Used by: service.certificates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
from OpenSSL import SSL
from twisted.logger import Logger

from lolly_tx.net.sockets.certificates import ByName, Certificate
from lolly_tx.net.sockets.challenges import Challenges
from lolly_tx.net.sockets.client_certificates import NOBODY, ClientPolicy
from lolly_tx.net.sockets.handshakes import Handshakes
from lolly_tx.net.sockets.staples import Staples
from lolly_tx.net.sockets.tls_contexts import bare_context, context_of
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1, server_name


@attrs.frozen(eq=False)
class Terms:
    """What holds for all names. `sites`: a policy of its own for a name, "*.x" for all with one label more."""

    alpn: tuple[bytes, ...] = (ALPN_HTTP1,)
    minimum: str = "1.2"
    policy: ClientPolicy = NOBODY
    sites: tuple[tuple[str, ClientPolicy], ...] = ()


class Credentials:
    """See the module (`net.sockets.tls.ContextSource`). `certificates`: the first is for whoever names none of them.

    `challenges`: what authorities are shown while they look. `staples`: what clients who ask get with a certificate.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        certificates: Sequence[Certificate],
        terms: Terms = Terms(),
        handshakes: Handshakes | None = None,
        challenges: Challenges | None = None,
        staples: Staples | None = None,
    ) -> None:
        self._staples = staples
        self.handshakes = handshakes or Handshakes()
        self.challenges = challenges
        self.certificates: tuple[Certificate, ...] = ()
        self.terms = terms
        self._contexts: dict[tuple[Certificate, ClientPolicy], SSL.Context] = {}
        self._names: ByName[Certificate] = ByName(())
        self._sites: ByName[ClientPolicy] = ByName(terms.sites)
        self.renew(certificates)
        self.context = self._base()

    def renew(self, certificates: Sequence[Certificate]) -> None:
        """Serve other certificates, one at least, from now on. Raises TLSSettingsError, and changes nothing."""
        policy = self.terms.policy
        contexts = {}
        for one in certificates:
            known = self._contexts.get((one, policy))
            contexts[one, policy] = known or self._made(one, policy)
        self._contexts = contexts
        self.certificates = tuple(certificates)
        self._names = ByName(
            (name, one) for one in self.certificates for name in one.names
        )

    def agree(self, terms: Terms) -> None:
        """Go by other terms; no session goes on. Raises TLSSettingsError, and changes nothing."""
        before = self.terms, self._contexts
        self.terms, self._contexts = terms, {}
        try:
            self.renew(self.certificates)
        except Exception:
            self.terms, self._contexts = before
            raise
        self._sites = ByName(terms.sites)
        self.rotate()

    def rotate(self) -> None:
        """Have other keys for tickets; those given out are worth nothing any more."""
        self.context = self._base()

    def site_of(self, name: str) -> ClientPolicy | None:
        """What a name (lower case, no final dot) has of its own. Names of one answer may share a connection."""
        return self._sites.find(name)

    def admits(self, connection: SSL.Connection) -> bool:
        """Whether a connection, its handshake done, has what its name asks for.

        Not so for one that was resumed from a session of another name (CVE-2025-23419).
        """
        if not self.terms.sites:
            return True
        policy = self._policy(server_name(connection))
        return policy.mode != "require" or connection.get_peer_certificate() is not None

    def _policy(self, name: str) -> ClientPolicy:
        return self._sites.find(name) or self.terms.policy

    def _base(self) -> SSL.Context:
        context = bare_context(alpn=self.terms.alpn, minimum=self.terms.minimum)
        policy = self.terms.policy
        context.set_verify(policy.verification)
        # Asked in every handshake, also where the client names nobody.
        context.set_tlsext_servername_callback(self._begin)
        return context

    def _begin(self, connection: SSL.Connection) -> None:
        try:
            self._choose(connection)
        except Exception:
            # Without a certificate the handshake ends, with an alert.
            self.log.failure("No certificate could be chosen for a connection")

    def _choose(self, connection: SSL.Connection) -> None:
        name = server_name(connection)
        certificate = self._names.find(name) or self.certificates[0]
        policy = self._policy(name)
        key = certificate, policy
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = self._made(*key)
        connection.set_context(context)
        if self.terms.sites:
            connection.set_verify(policy.verification)
            if policy.mode != "off":
                connection.set_options(SSL.OP_NO_TICKET)

    def _made(self, certificate: Certificate, policy: ClientPolicy) -> SSL.Context:
        terms = self.terms
        context = context_of(certificate, alpn=terms.alpn, minimum=terms.minimum)
        policy.apply(context)
        if self._staples is not None:
            # Asked of the context that was chosen by name, not of the base one.
            context.set_ocsp_server_callback(_stapler(self._staples, certificate))
        return context


def _stapler(staples: Staples, certificate: Certificate) -> Any:
    def staple(connection: SSL.Connection, data: object) -> bytes:
        return staples.of(certificate.fingerprint)

    return staple

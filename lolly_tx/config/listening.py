"""The settings of a listener: where it is, and its TLS.

Imports: config, config.kinds, config.middleware. Used by: config, config.rules,
service, service.certificates.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

import attrs

from lolly_tx.config.accesslogs import OWN_LOG, LogChoice
from lolly_tx.config.kinds.addresses import LISTEN, OPTIONAL_FILE
from lolly_tx.config.kinds.plain import FLAG, TEXT, Choice
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import (
    CERTIFICATE_FILES,
    HOST_PATTERNS,
    NETWORKS,
    ListOf,
    Table,
)
from lolly_tx.config.kinds.tlsfields import NO_FIELDS, TLS_FIELDS
from lolly_tx.config.middleware.using import USE, Use

Network = IPv4Network | IPv6Network
ClientMode = Literal["off", "request", "require"]


@attrs.frozen
class TLSSite:
    """What differs for the names of a site."""

    hosts: tuple[str, ...] = attrs.field(
        metadata=about(
            HOST_PATTERNS,
            'Names, one or a list: "admin.example.com", "*.example.org" for one label'
            " more. A request on a connection that asked for one of them (SNI) and is for"
            " a host outside of the site, or the reverse, is answered with 421.",
            key="host",
        )
    )
    client: ClientMode = attrs.field(
        default="require",
        metadata=about(
            Choice("off", "request", "require"), "As that of the listener, for these."
        ),
    )
    client_ca: str = attrs.field(
        default="",
        metadata=about(OPTIONAL_FILE, 'The same; "" = the listener\'s.'),
    )
    client_crl: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            "The same; \"\" = the listener's, where `client_ca` is the listener's, too.",
        ),
    )


@attrs.frozen
class ListenerTLS:
    """TLS of a listener."""

    certificate: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            CERTIFICATE_FILES,
            "PEM file with the certificate chain, the site's own first; or a list of files"
            " with chain and key, or a folder of them (*.pem). Clients get the one for the"
            " name they ask for (SNI): exact, then wildcard, else the first, by name in a"
            " folder. Files that change are taken up within 2 s.",
        ),
    )
    key: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            'PEM file with the private key; "" when `certificate` has it too, as those of'
            " lists and folders must.",
        ),
    )
    acme: str = attrs.field(
        default="",
        metadata=about(
            TEXT,
            "Name of the [acme.NAME] that certificates for the hosts of its routes come"
            ' from, after those of `certificate`; "" = none.',
        ),
    )
    ocsp: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether clients get, with a certificate, the word of its authority that it is not revoked"
            " (OCSP stapling). The responder that the certificate names is asked, in time and again; the"
            " file needs the issuer's certificate behind it.",
        ),
    )
    minimum: Literal["1.2", "1.3"] = attrs.field(
        default="1.2",
        metadata=about(
            Choice("1.2", "1.3"), "The oldest version of TLS that is spoken."
        ),
    )
    client: ClientMode = attrs.field(
        default="off",
        metadata=about(
            Choice("off", "request", "require"),
            'Certificates of clients: "request" takes those who show none, "require" does'
            " not; one that `client_ca` has not signed is refused either way.",
        ),
    )
    client_ca: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE, "PEM file of the authorities whose clients are let in."
        ),
    )
    client_crl: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            "PEM file of what they have revoked: one list (CRL) of each authority of a"
            " chain. One that is out of date refuses everybody.",
        ),
    )
    fields: Mapping[str, str] = attrs.field(
        default=NO_FIELDS,
        metadata=about(
            TLS_FIELDS,
            'Header fields that tell targets of it: `{ X-Client-Subject = "$tls_subject" }`,'
            " of $tls_version, $tls_cipher, $tls_server_name, $tls_alpn, and of the client's"
            " certificate $tls_verify (SUCCESS or NONE), $tls_subject, $tls_issuer, $tls_serial,"
            " $tls_fingerprint (SHA-256)."
            " What a client sends under these names is removed.",
        ),
    )
    sites: tuple[TLSSite, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(Table(TLSSite), "sites"),
            "What differs for a name; none = nothing.",
            key="site",
        ),
    )


@attrs.frozen
class Listener:
    """An address where clients connect."""

    name: str
    endpoint: str = attrs.field(
        metadata=about(
            LISTEN,
            'Any Twisted server endpoint string: "tcp:8080", "tcp:8080:interface='
            '127.0.0.1", "unix:/run/lolly.sock", "ssl:..." and those of plugins.',
        )
    )
    tls: ListenerTLS | None = attrs.field(
        default=None,
        metadata=about(Table(ListenerTLS), "Its presence turns TLS on."),
    )
    proxy_protocol: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            NETWORKS,
            'Load balancers that have to begin with a PROXY header (v1 or v2): addresses, networks, "unix". The'
            " client it names counts in place of theirs. Anybody else who sends one is closed. none = nobody sends"
            " one.",
        ),
    )
    http2: bool = attrs.field(
        default=True,
        metadata=about(
            FLAG,
            "Whether it speaks HTTP/2 too where it has TLS, with clients that ask for it by"
            " ALPN.",
        ),
    )
    http2_websocket: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether a WebSocket may come over HTTP/2, by extended CONNECT (RFC 8441).",
        ),
    )
    h2c: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether it speaks HTTP/2 without TLS, with clients that begin with its"
            " preface; others get HTTP/1.1 as ever.",
        ),
    )
    health: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether it answers /healthz and /readyz itself, before any route and for any"
            " Host, as the admin side does but without reasons.",
        ),
    )
    use: Use = attrs.field(
        default=(),
        metadata=about(
            USE,
            "Middleware on the way of every request of its routes, the outermost first, ahead of that of the routes:"
            " names of tables of `middleware`, or tables on the spot.",
        ),
    )
    access_log: LogChoice = attrs.field(
        default=None,
        metadata=about(
            OWN_LOG,
            "What is written of its requests in place of what [access_log] says; `access_log = false`:"
            " nothing.",
        ),
    )

"""The proxy's side towards clients, plain or TLS, and how a client connects to it."""

from __future__ import annotations

import ssl
from typing import Any

import attrs
import trustme


@attrs.frozen
class Front:
    """A plain listener; with other fields, another one.

    `word`: before the names of its figures. `listener`: lines of the listener's table.
    `files`: beside the configuration. `options`: of `loop.create_connection`. `http2`: more of them, for HTTP/2.
    """

    word: str = ""
    listener: str = ""
    files: dict[str, bytes] = attrs.field(factory=dict)
    options: dict[str, Any] = attrs.field(factory=dict)
    http2: dict[str, Any] = attrs.field(factory=dict)

    def in_config(self, config: str) -> str:
        """`config`, of `pool_config`, with this listener."""
        return config.replace("[[route]]", f"{self.listener}[[route]]", 1)


def h2c_front() -> Front:
    """A plain listener where HTTP/2 is spoken as well, by its preface."""
    return Front("h2c ", "h2c = true\n")


def tls_front() -> Front:
    """A TLS listener with a certificate of an authority that the client trusts."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    http2 = ssl.create_default_context()
    authority.configure_trust(http2)
    http2.set_alpn_protocols(["h2"])
    return Front(
        "TLS ",
        'tls.certificate = "site.pem"\n',
        {"site.pem": issued.private_key_and_cert_chain_pem.bytes()},
        {"ssl": context, "server_hostname": "localhost"},
        {"ssl": http2},
    )

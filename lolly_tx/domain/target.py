"""A target: an address to send traffic to, frozen.

Imports: domain.routing. Used by: config, config.facts, config.kinds, config.rules,
domain.node, domain.pool, domain.roster, importing.lolly, lolly_tx, net, net.checks,
net.library, net.sockets, proxy.chains, proxy.records, service, service.admin,
service.changes, service.checks, service.forwards, service.providers, service.records,
service.stores, service.tunnels, service.upgrades, simulate, testing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Literal

import attrs

from lolly_tx.domain.routing.hosts import valid_host

_UNSAFE = re.compile(r"[^a-z0-9]+")


_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<authority>[^/?#]*)(?P<rest>.*)",
    re.DOTALL,
)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@]+)(?::([0-9]{1,5}))?")
_SECRET = re.compile(r"//.*@", re.DOTALL)
_PORTS = {"http": 80, "https": 443}

_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_SETTINGS = ("weight", "max_conns", "backup", "down", "priority")

HTTP = ("http", "https")
"""The schemes of targets that speak HTTP."""

STREAM_SCHEMES = ("tcp", "tls", "udp")
"""Those of targets that speak anything else: plain, inside TLS, or in datagrams."""


def speaks_http(address: str) -> bool:
    """Whether what an operator wrote, a URL or an endpoint string, can be a target that speaks HTTP."""
    return address.partition("://")[0].lower() not in STREAM_SCHEMES


def speaks_datagrams(address: str) -> bool:
    """Whether what an operator wrote is a target that is sent datagrams."""
    return address.partition("://")[0].lower() == "udp"


def target_id(address: str) -> str:
    """A host-safe name (`[a-z0-9-]+`) for an address: "http://10.0.0.1:80" -> "http-10-0-0-1-80"."""
    return _UNSAFE.sub("-", address.lower()).strip("-") or "target"


def valid_id(text: str) -> bool:
    """Whether `text` can be the id of a target: small letters, digits and -, at most 64."""
    return _ID.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """Whether `text` has the form of a URL, whatever is wrong with it."""
    return _URL.fullmatch(text) is not None


def host_and_port(text: str) -> tuple[str, int | None] | None:
    """What "HOST:PORT" or "HOST" says; None for anything else."""
    parts = _AUTHORITY.fullmatch(text)
    if parts is None or not valid_host(parts[1]):
        return None
    return parts[1].strip("[]").lower(), int(parts[2]) if parts[2] else None


def read_url(text: str, schemes: Collection[str] = HTTP) -> tuple[str, str, int]:
    """The scheme, host and port of a target's URL, which has nothing more. Raises ValueError: what it must be."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError('must be a URL such as "http://127.0.0.1:9001"')
    scheme = match["scheme"].lower()
    if scheme not in schemes:
        known = " or ".join(f'"{one}://"' for one in schemes)
        raise ValueError(f"must begin with {known}")
    if "@" in match["authority"]:
        raise ValueError("must have no user and password")
    if match["rest"] not in ("", "/"):
        raise ValueError("must be scheme, host and port only, without a path")
    place = host_and_port(match["authority"])
    if place is None:
        host, colon, _ = match["authority"].rpartition(":")
        wrong = "port" if colon and host_and_port(host) else "host"
        raise ValueError(f"has no valid {wrong}")
    host, port = place
    if port is None:
        port = _PORTS.get(scheme)
    if port is None:
        raise ValueError("must have a port")
    if not 1 <= port <= 65535:
        raise ValueError("has a port that is not between 1 and 65535")
    return scheme, host, port


@attrs.frozen
class Target:
    """One backend address.

    `id`: unique in its pool, host-safe; live state is kept under it across reloads.
    `address`: what the operator wrote (URL or endpoint string); shown in logs and the API.
    `scheme`: "http" or "https" (spoken over whatever the endpoint connects).
    `host`, `port`: for URL targets; "" and 0 for endpoint strings.
    `endpoint`: a Twisted client endpoint string, or "" for URL targets.
    `weight`: share of the traffic, >= 1. `max_conns`: exchanges at once, 0 = no limit.
    `backup`: used only when no primary is available. `down`: never used until enabled by the operator.
    `priority`: the tier, 0 is the best; traffic spills to the next when a tier is not well enough.
    Raises ValueError for numbers below the least.
    """

    id: str
    address: str
    scheme: Literal["http", "https"] = "http"
    host: str = ""
    port: int = 0
    endpoint: str = ""
    weight: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    max_conns: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    backup: bool = False
    down: bool = False
    priority: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    @classmethod
    def from_url(cls, url: str, *, id: str = "", **settings: Any) -> Target:
        """The target at `url`: "http" or "https", or for any other protocol "tcp", "tls" or "udp", and "://HOST:PORT".

        `id`: made from the URL without it. `settings`: `weight`, `max_conns`, `backup`, `down`, `priority`.
        Raises ValueError for what is no such URL and for numbers below the least, TypeError for other settings.
        """
        for name in settings:
            if name not in _SETTINGS:
                known = ", ".join(_SETTINGS)
                raise TypeError(f"a target has no setting {name!r}; known: {known}")
        try:
            scheme, host, port = read_url(url, (*HTTP, *STREAM_SCHEMES))
        except ValueError as e:
            shown = _SECRET.sub("//...@", url)
            raise ValueError(f'the target "{shown}" {e}') from None
        if id and not valid_id(id):
            raise ValueError(f"the id {id!r} must be small letters, digits and -")
        return cls(
            id=id or target_id(url),
            address=url,
            scheme="https" if scheme in ("https", "tls") else "http",
            host=host,
            port=port,
            **settings,
        )

    @property
    def place(self) -> tuple[str, str, int, str]:
        """Where its connections lead: what is known of a node holds for one place."""
        return self.scheme, self.host, self.port, self.endpoint

    @property
    def authority(self) -> str:
        """The Host to send when the pool's `host` setting is "target"."""
        if not self.host:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

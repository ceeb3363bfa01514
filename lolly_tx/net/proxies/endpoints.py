r"""Client endpoint strings of what is behind a proxy, for targets of pools and whatever else connects.

    socks5:HOST:PORT:via=PROXY\:1080                       SOCKS5; a name is left to the proxy to look up
    connect:HOST:PORT:via=PROXY\:3128                      CONNECT of an HTTP proxy
    ...:user=alice:password_file=/run/secrets/proxy        who we are; or password_env=NAME of a variable
    ...:via=tls\:proxy.example.com\:3128                   `via` may be any client endpoint string, its colons escaped
    ...:timeout=10                                         seconds until there is a connection, 10 without it

A password is never part of a string: strings are shown, by commands and in logs.

Imports: domain.access, domain.routing, net.proxies, net.sockets, wire, Twisted. Used
by: service.forwards, twisted.plugins.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    clientFromString,
)
from twisted.internet.interfaces import IStreamClientEndpoint

from lolly_tx.domain.access.login import Login, login_of
from lolly_tx.domain.routing.hosts import BadHost, host_name
from lolly_tx.net.proxies.through import HANDSHAKE_SECONDS, ThroughProxy
from lolly_tx.net.sockets.later_tls import with_tls
from lolly_tx.wire.asking import asking

_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/]+):([0-9]{1,5})")


def password_in(path: str) -> str:
    """The first line of a file. Raises OSError and ValueError."""
    lines = Path(path).read_text("utf-8").splitlines()
    if not lines or not lines[0]:
        raise ValueError(f"{path}: its first line is empty")
    return lines[0]


def _login(user: str, password_file: str, password_env: str) -> Login | None:
    if password_file and password_env:
        raise ValueError("password_file and password_env are two passwords")
    password = ""
    if password_file:
        password = password_in(password_file)
    elif password_env:
        password = os.environ.get(password_env, "")
        if not password:
            raise ValueError(f"the environment has no {password_env}")
    return login_of(user, password)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65535):
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _host(text: str) -> str:
    """With brackets, if it is an IPv6 address."""
    shown = f"[{text}]" if ":" in text and not text.startswith("[") else text
    try:
        return host_name(shown.encode("ascii"))
    except (BadHost, UnicodeError):
        raise ValueError(f"{text!r} is no host") from None


def parse_client(
    reactor: Any,
    socks: bool,
    host: str,
    port: str,
    via: str = "",
    user: str = "",
    password_file: str = "",
    password_env: str = "",
    timeout: str = "",
) -> ThroughProxy:
    """What `socks5:HOST:PORT...` means where `socks`, else `connect:`. Raises ValueError, TypeError and OSError."""
    if not via:
        raise ValueError(r"needs a proxy: via=HOST\:PORT")
    seconds = float(timeout) if timeout else HANDSHAKE_SECONDS
    if not 0 < seconds < 3600:
        raise ValueError(f"{timeout!r} are no seconds")
    login = _login(user, password_file, password_env)
    where, number = _host(host), _port(port)
    return ThroughProxy(
        _below(reactor, via),
        lambda: asking(socks, where, number, login),
        reactor,
        seconds,
    )


def _below(reactor: Any, via: str) -> IStreamClientEndpoint:
    """What connects to the proxy."""
    place = _PLACE.fullmatch(via)
    if place is None:
        return clientFromString(reactor, with_tls(via))  # type: ignore[no-any-return]  # untyped
    host, port = place[1].strip("[]"), _port(place[2])
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port)
    return HostnameEndpoint(reactor, host, port)

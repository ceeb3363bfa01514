"""Addresses that are listened on, as the names and endpoint strings that ours have.

Imports: importing. Used by: importing.lolly, importing.nginx.
"""

from __future__ import annotations

import re

from lolly_tx.importing.draft import plain_name

_EVERYWHERE = ("", "*", "0.0.0.0")
_BOTH = r":interface=\:\:"
"""All addresses of IPv6, and of IPv4 as well: there cannot be a port of IPv4 beside it."""
_PORT = re.compile(r"(?:tcp|udp):\d+(?=$|:backlog=|:interface=\\:\\:(?:$|:backlog=))")
_BACKLOG = re.compile(r":backlog=\d+$")


def listened_at(name: str, kind: str, host: str, port: int) -> tuple[str, str]:
    """Name and endpoint of a port. `name`: at all addresses of this machine; `kind`: "tcp" or "udp"."""
    bare = host.strip("[]")
    if bare in _EVERYWHERE:
        return name, f"{kind}:{port}"
    if bare == "::":
        return name, f"{kind}:{port}{_BOTH}"
    interface = bare.replace(":", r"\:")
    suffix = re.sub(r"[.:]+", "-", bare).strip("-")
    return plain_name(f"{name}-{suffix}"), f"{kind}:{port}:interface={interface}"


def together(one: str, other: str) -> str:
    """The endpoint of two of one name: both families where one is of IPv6, and the length of a queue that is said."""
    port = _PORT.match(one)
    if port is None:
        return other
    backlog = _BACKLOG.search(other) or _BACKLOG.search(one)
    both = _BOTH if _BOTH in one + other else ""
    return f"{port[0]}{both}{backlog[0] if backlog else ''}"


def name_of_port(port: int) -> str:
    """The name of a listener there."""
    return {80: "http", 443: "https"}.get(port, f"port-{port}")


def unix_endpoint(path: str) -> str:
    """That of a UNIX socket."""
    escaped = re.sub(r"([\\:=])", r"\\\1", path)
    return f"unix:{escaped}"

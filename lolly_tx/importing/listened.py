"""Addresses that are listened on, as the names and endpoint strings that ours have.

Imports: importing. Used by: importing.lolly, importing.nginx.
"""

from __future__ import annotations

import re

from lolly_tx.importing.draft import plain_name

_EVERYWHERE = ("", "*", "0.0.0.0")


def listened_at(name: str, kind: str, host: str, port: int) -> tuple[str, str]:
    """Name and endpoint of a port. `name`: at all addresses of this machine; `kind`: "tcp" or "udp"."""
    bare = host.strip("[]")
    if bare in _EVERYWHERE:
        return name, f"{kind}:{port}"
    interface = bare.replace(":", r"\:")
    suffix = "ipv6" if bare == "::" else re.sub(r"[.:]+", "-", bare).strip("-")
    return plain_name(f"{name}-{suffix}"), f"{kind}:{port}:interface={interface}"


def name_of_port(port: int) -> str:
    """The name of a listener there."""
    return {80: "http", 443: "https"}.get(port, f"port-{port}")


def unix_endpoint(path: str) -> str:
    """That of a UNIX socket."""
    escaped = re.sub(r"([\\:=])", r"\\\1", path)
    return f"unix:{escaped}"

"""Addresses as people type them: `8080`, `:8080`, `host:8080`, `https://host`, `unix:PATH`.

Imports: config.kinds, domain.routing. Used by: commands.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

import attrs

from lolly_tx.config.kinds.plain import quoted
from lolly_tx.domain.routing.hosts import valid_host

_PLACE = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?P<host>\[[^\]/]*\]|[^:/\[\]@?#]*)"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Place:
    """`scheme`: "http", "https" or "" where none was typed. `host`: "" for none; of a UNIX socket only `path`."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def is_name(self) -> bool:
        """Whether the host is a name, other than that of this machine."""
        if not self.host or self.host == "localhost":
            return False
        try:
            ip_address(self.host)
        except ValueError:
            return True
        return False

    def listening(self, nowhere: str = "") -> str:
        """The server endpoint string. A name says whose requests it is for, not where: it listens on all addresses.

        `nowhere`: where, when no host was typed; "" for all addresses.
        """
        if self.path:
            return f"unix:{_escaped(self.path)}"
        host = "" if self.is_name else self.host or nowhere
        host = "127.0.0.1" if host == "localhost" else host
        return f"tcp:{self.port}" + (f":interface={_escaped(host)}" if host else "")

    def target(self) -> str:
        """The target as TOML; on this machine when no host was typed."""
        if self.path:
            return f"{{ endpoint = {literal(f'unix:{_escaped(self.path)}')} }}"
        host = f"[{self.host}]" if ":" in self.host else self.host or "127.0.0.1"
        return literal(f"{self.scheme or 'http'}://{host}:{self.port}")


def place(text: str) -> Place:
    """What `text` names. Raises ValueError with the reason."""
    if text.startswith("unix:"):
        if len(text) > len("unix:"):
            return Place("", "", 0, text[5:])
        raise ValueError(f'"{text}" has no path')
    text = f":{text}" if text.isascii() and text.isdigit() else text
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is not as 8080, host:8080 or https://host')
    scheme = (found["scheme"] or "").lower()
    if scheme and scheme not in _PORTS:
        raise ValueError(f'"{text}": the scheme is http or https')
    port = int(found["port"] or _PORTS.get(scheme, 0))
    if not 0 < port < 65536:
        raise ValueError(f'"{text}" needs a port between 1 and 65535')
    host = found["host"].lower()
    if host and not valid_host(host):
        raise ValueError(f'"{text}": that is no host')
    return Place(scheme, host.strip("[]"), port)


def literal(text: str) -> str:
    """`text` as a TOML string that means itself: nothing in it is filled in from the environment."""
    return quoted(text.replace("${", "$${"))


def _escaped(text: str) -> str:
    """`text` within an endpoint string."""
    return re.sub(r"([\\:=])", r"\\\1", text)

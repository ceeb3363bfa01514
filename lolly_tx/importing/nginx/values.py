"""Values as nginx writes them.

Imports: config.kinds, domain.routing, importing. Used by: importing.nginx.
"""

from __future__ import annotations

import ipaddress
import re

from lolly_tx.config.kinds.plain import duration_text, size_text
from lolly_tx.domain.routing.hosts import valid_host
from lolly_tx.importing.report import NotThere

_TIME = re.compile(r"(\d+)(ms|[yMwdhms]?)\s*")
_SECONDS = {
    "ms": 0.001,
    "": 1.0,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "M": 2592000.0,
    "y": 31536000.0,
}
_SIZE = re.compile(r"(\d{1,15})([kKmMgG]?)")
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def seconds(text: str) -> float:
    """A time, such as "1m 30s" or "60". Raises `NotThere`."""
    total, at = 0.0, 0
    for match in _TIME.finditer(text):
        if match.start() != at:
            break
        total += int(match[1]) * _SECONDS[match[2]]
        at = match.end()
    if not text or at != len(text):
        raise NotThere(f"{text} is no time that is known before a request")
    return total


def time_text(text: str) -> str:
    """The same as our files have it."""
    return duration_text(seconds(text))


def size_bytes(text: str) -> int:
    """A size, such as "8k". Raises `NotThere`."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise NotThere(f"{text} is no size that is known before a request")
    return int(match[1]) * _BYTES[match[2].lower()]


def size(text: str) -> str:
    """The same as our files have it."""
    return size_text(size_bytes(text))


def count(text: str) -> int:
    """A whole number. Raises `NotThere`."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise NotThere(f"{text} is no number that is known before a request")
    return int(text)


def flag(text: str) -> bool:
    """Whether it says "on", not "off". Raises `NotThere`."""
    if text not in ("on", "off"):
        raise NotThere(f"{text} is neither on nor off")
    return text == "on"


def network(text: str) -> str:
    """An address or a network, with no bits beyond its prefix. Raises `NotThere`."""
    if text == "unix:":
        return "unix"
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise NotThere("names are not looked up here; write its addresses") from None


def split_port(text: str) -> tuple[str, int | None]:
    """Host and port of "HOST:PORT", "[::1]:PORT" or either alone. Raises `NotThere`."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::(\d{1,5}))?", text)
    if match is None or int(match[2] or 1) > 65535:
        raise NotThere(f"{text} is no address")
    return match[1], int(match[2]) if match[2] else None


def host(text: str) -> str:
    """A name or an address that a URL may have. Raises `NotThere`."""
    if not valid_host(text):
        raise NotThere(f"{text or 'nothing'} is no host name")
    return text.lower()


def expression(text: str) -> str:
    """A regular expression of nginx in our syntax: groups with names have a P."""
    return re.sub(r"\(\?<(?=[A-Za-z])", "(?P<", text)


def has_variable(text: str) -> bool:
    """Whether it is another for each request."""
    return bool(re.search(r"\$[A-Za-z0-9_{]", text))

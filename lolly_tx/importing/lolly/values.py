"""Values as lolly writes them.

Imports: config.kinds, importing, importing.lolly. Used by: importing.lolly.convert,
importing.lolly.proxies, importing.lolly.servers, importing.lolly.streams.
"""

from __future__ import annotations

import re

from lolly_tx.config.kinds.plain import duration_text, size_text
from lolly_tx.importing.lolly.reading import Value
from lolly_tx.importing.report import NotThere

_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_SIZE = re.compile(r"(\d{1,15})\s*([KMG]?)I?B?", re.I)
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def seconds(value: Value) -> float:
    """A duration as Go writes it, such as "1m30s". Raises `NotThere`."""
    text, total, at = value.text, 0.0, 0
    for match in _PART.finditer(text):
        if match.start() != at:
            break
        total += float(match[1]) * _SECONDS[match[2]]
        at = match.end()
    if at != len(text) and text != "0":
        raise NotThere(f"{text} is no duration")
    return total


def time_text(value: Value) -> str:
    """The same as our files have it. Raises `NotThere`."""
    return duration_text(seconds(value))


def size_bytes(value: Value) -> int:
    """A size, such as "10MB". Raises `NotThere`."""
    match = _SIZE.fullmatch(value.text)
    if match is None:
        raise NotThere(f"{value.text} is no size")
    return int(match[1]) * _BYTES[match[2].upper()]


def size(value: Value) -> str:
    """The same as our files have it. Raises `NotThere`."""
    return size_text(size_bytes(value))


def count(value: Value) -> int:
    """A whole number from 0 on. Raises `NotThere`."""
    if not re.fullmatch(r"\d{1,9}", value.text):
        raise NotThere(f"{value.text} is no number")
    return int(value.text)


def share(value: Value) -> float:
    """A part of one. Raises `NotThere`."""
    if not re.fullmatch(r"[01](\.\d*)?|\.\d+", value.text):
        raise NotThere(f"{value.text} is no part of one")
    return float(value.text)


def tls_version(value: Value) -> str:
    """The oldest of some versions of TLS. Raises `NotThere`."""
    found = sorted(re.findall(r"1\.[23]", " ".join(value.texts)))
    if not found:
        raise NotThere("it begins with TLS 1.2")
    return str(found[0])

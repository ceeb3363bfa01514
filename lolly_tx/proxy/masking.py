"""Credentials in URLs, hidden before anybody writes them down.

Imports: nothing of ours. Used by: proxy.accesslog.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

# More parameters than any honest URL has: the whole query is hidden, because looking at
# each of thousands would let a client buy a lot of our time with one request.
MAX_PARAMETERS = 100

REMEMBERED_NAMES = 1024
"""Names of parameters about which is remembered whether they carry a secret."""
REMEMBERED_NAME_BYTES = 64
"""The longest of them."""

_PARAMETER = re.compile(rb"(?<=[?&;])([^=&;#?]*+)=([^&;#]*+)")
_NAMES = re.compile(rb"[?&;]([^=&;#?]*+)=")
_USER_INFO = re.compile(rb"(?<=//)[^/?#@]*+@(?:[^/?#@]*+@)*+")
_SECRET_INSIDE = re.compile(
    rb"token|secret|passw|passphrase|pwd|apikey|accesskey|signature|credential"
    rb"|sessionid|jwt|authorization"
)
_SECRET_WORDS = frozenset({b"key", b"sig", b"auth", b"session"})


def mask_secrets(url: bytes) -> bytes:
    """`url` with the values of secret-looking parameters and user information hidden."""
    if b"@" in url:
        url = _USER_INFO.sub(b"***@", url)
    names = _NAMES.findall(url)
    if len(names) > MAX_PARAMETERS:
        return url[: url.index(b"?") + 1] + b"***" if b"?" in url else b"***"
    if any(map(_names_secret, names)):
        return _PARAMETER.sub(_without_secret, url)
    return url


def _names_secret(name: bytes) -> bool:
    """Whether a parameter called `name` is likely to carry a credential."""
    if len(name) > REMEMBERED_NAME_BYTES:
        return _looks_secret(name)
    return _known_secret(name)


def _looks_secret(name: bytes) -> bool:
    words = re.split(rb"[^a-z0-9]+", unquote_to_bytes(name).lower())
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or _SECRET_INSIDE.search(b"".join(words)) is not None
    )


_known_secret = lru_cache(REMEMBERED_NAMES)(_looks_secret)


def _without_secret(parameter: re.Match[bytes]) -> bytes:
    name = parameter[1]
    return name + b"=***" if _names_secret(name) else parameter[0]

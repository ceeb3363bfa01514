"""Credentials in URLs, hidden before anybody writes them down.

Imports: nothing of ours. Used by: proxy.records, proxy.templates, proxy.variables,
service.records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
_NAMED_FIRST = re.compile(rb"[ \t]*+([^\s:=/?&;#]++)[ \t]*+[:=]")
_NAMES = re.compile(rb"[?&;]([^=&;#?]*+)=")
_USER_INFO = re.compile(rb"(?<=//)[^/?#@]*+@(?:[^/?#@]*+@)*+")
_SECRET_INSIDE = re.compile(
    rb"token|secret|passw|passphrase|pwd|apikey|accesskey|signature|credential"
    rb"|sessionid|jwt|authorization"
)
_SECRET_WORDS = frozenset({b"key", b"sig", b"auth", b"session", b"pass"})
# As a whole only, as OAuth has it (RFC 6749 section 4.1.2): there are codes of countries, too.
_SECRET_NAMES = frozenset({b"code"})
_SECRET_FIELDS = frozenset({b"cookie", b"cookie2", b"set-cookie"})
_SECRET_COOKIES = frozenset({b"sid", b"ssid", b"connect.sid", b"phpsessid"})


class Masking:
    """Hides what looks secret, and what is called one of `names` beside that, whatever its case.

    `names`: of query parameters, header fields and cookies.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(_folded(name.encode()) for name in names)

    def url(self, url: bytes) -> bytes:
        """`url` with the values of such parameters, user information and the fragment hidden."""
        if b"#" in url:
            return self.url(url[: url.index(b"#")]) + b"#***"
        if b"@" in url:
            url = _USER_INFO.sub(b"***@", url)
        if b"?" not in url and b"&" not in url and b";" not in url:
            return url  # most of them
        names = _NAMES.findall(url)
        if len(names) > MAX_PARAMETERS:
            return url[: url.index(b"?") + 1] + b"***" if b"?" in url else b"***"
        if any(map(self._hides, names)):
            return _PARAMETER.sub(self._without_secret, url)
        return url

    def target(self, method: bytes, target: bytes) -> bytes:
        """The target of a request in the same way. Where there is no method ("-") it is a line that may be anything."""
        named = _NAMED_FIRST.match(target) if method == b"-" else None
        if named is not None and self.hides_field(named[1].lower()):
            return target[: named.end()] + b"***"
        return self.url(target)

    def hides_field(self, name: bytes) -> bool:
        """Whether the value of a header field of that name (lower case) is hidden."""
        return name in _SECRET_FIELDS or self._hides(name)

    def hides_cookie(self, name: bytes) -> bool:
        """Whether the value of a cookie of that name is hidden."""
        return _folded(name) in _SECRET_COOKIES or self._hides(name)

    def _hides(self, name: bytes) -> bool:
        if _names_secret(name):
            return True
        return bool(self._names) and _folded(unquote_to_bytes(name)) in self._names

    def _without_secret(self, parameter: re.Match[bytes]) -> bytes:
        name = parameter[1]
        return name + b"=***" if self._hides(name) else parameter[0]


def _folded(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


def _names_secret(name: bytes) -> bool:
    """Whether a parameter called `name` is likely to carry a credential."""
    if len(name) > REMEMBERED_NAME_BYTES:
        return _looks_secret(name)
    return _known_secret(name)


def _looks_secret(name: bytes) -> bool:
    words = re.split(rb"[^a-z0-9]+", unquote_to_bytes(name).lower())
    whole = b"".join(words)
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or whole in _SECRET_NAMES
        or _SECRET_INSIDE.search(whole) is not None
    )


_known_secret = lru_cache(REMEMBERED_NAMES)(_looks_secret)

USUAL = Masking()
"""Hides what looks secret."""


class _Open(Masking):
    """Hides nothing."""

    def url(self, url: bytes) -> bytes:
        return url

    def hides_field(self, name: bytes) -> bool:
        return False

    def hides_cookie(self, name: bytes) -> bool:
        return False


OPEN = _Open()
"""Hides nothing: for what is used, and not written down."""

mask_secrets = USUAL.url

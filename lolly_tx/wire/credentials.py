"""User and password of the Basic scheme (RFC 7617), said to us and by us.

Imports: domain.access. Used by: proxy.forwards, proxy.middleware, service.forwards,
wire.asking.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error

from lolly_tx.domain.access.login import Login

_BASIC = re.compile(rb"(?i)basic[ ]+([A-Za-z0-9+/_-]+={0,2})")
LONGEST = 1024
"""Bytes of what is looked at."""


def basic_credentials(value: bytes) -> tuple[bytes, bytes] | None:
    """User and password of a field's `value`; None: these are none."""
    found = _BASIC.fullmatch(value.strip(b" \t"))
    if found is None or len(found[1]) > LONGEST:
        return None
    try:
        said = b64decode(found[1], validate=True)
    except Error:
        return None
    user, colon, password = said.partition(b":")
    if not colon or any(byte < 32 or byte == 127 for byte in said):
        return None
    return user, password


def basic_line(login: Login | None) -> bytes:
    """The field line, with its CRLF, by which a proxy knows us; b"": it need not."""
    if login is None:
        return b""
    said = b64encode(login.user + b":" + login.password)
    return b"Proxy-Authorization: Basic %b\r\n" % said

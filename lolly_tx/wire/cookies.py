"""Cookies of requests, read (RFC 6265 section 5.4).

Imports: wire. Used by: proxy, proxy.caching.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lolly_tx.wire.message import RequestHead


def cookie_reader(name: str) -> Callable[[RequestHead], list[bytes]]:
    """Reads the values of the cookie `name` of a request, in order: there is one for each path and domain."""
    find = re.compile(
        rb"(?:^|;)[ \t]*%b=([^;, \t]*)" % re.escape(name.encode("ascii"))
    ).findall

    def read(head: RequestHead) -> list[bytes]:
        lines = head.block.get_all(b"cookie")
        return [value for cookies in lines for value in find(cookies)]

    return read

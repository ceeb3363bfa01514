r"""Percent-escapes of URLs, written and read in the ways a proxy needs (RFC 3986).

    quoted      bytes as a part of a path or a query
    escaped     a reference as a field may carry it, and a browser cannot mistake

What browsers do with a reference that is none (WHATWG URL): tabs and line ends are taken out, "\" is "/", and two
slashes in front begin another host. So such bytes become escapes, and a path begins with one slash.

Imports: nothing of ours. Used by: proxy, proxy.middleware.
"""

from __future__ import annotations

import re

_NOT_IN_PATHS = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;=:@/-]")
_NOT_IN_LOCATIONS = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]%-]")


def _escape(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(match[0])


def quoted(raw: bytes) -> bytes:
    """`raw` as part of a path: what would end the path, or is no part of a URL, is escaped; "/" is not."""
    return _NOT_IN_PATHS.sub(_escape, raw)


def escaped(reference: bytes) -> bytes:
    """`reference` with escapes in place of whatever is no part of a URL; escapes that are there stay."""
    return _NOT_IN_LOCATIONS.sub(_escape, reference)


def own_location(reference: bytes) -> bytes:
    """The same as a path of the same host, however many slashes it begins with, or none."""
    return b"/" + escaped(reference).lstrip(b"/")

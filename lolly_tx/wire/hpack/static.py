"""The static table of HPACK, and the kinds of representations (RFC 7541 section 6 and appendix A).

Imports: nothing of ours. Used by: wire.hpack, wire.http2.
"""

from __future__ import annotations

Field = tuple[bytes, bytes]
"""Name and value, without anything around them."""

INDEXED = 0x80
INSERTED = 0x40
SIZE_UPDATE = 0x20
NEVER_INDEXED = 0x10
NOT_INDEXED = 0x00
"""The first bits of a representation."""

HUFFMAN = 0x80
"""The first bit of a string."""

OVERHEAD_BYTES = 32
"""What an entry is counted to take beside its name and value (section 4.1)."""

PATH = b":path"

TABLE_BYTES = 4096
"""The size of a dynamic table as long as nobody has said another (RFC 9113 section 6.5.2)."""

CREDENTIALS = frozenset(
    (b"authorization", b"proxy-authorization", b"cookie", b"set-cookie")
)
"""Names of fields whose values are nobody else's business: what has them is not remembered where others could tell."""

_LINES = b"""\
:authority
:method: GET
:method: POST
:path: /
:path: /index.html
:scheme: http
:scheme: https
:status: 200
:status: 204
:status: 206
:status: 304
:status: 400
:status: 404
:status: 500
accept-charset
accept-encoding: gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate"""


def _fields() -> tuple[Field, ...]:
    """What the lines say, from index 1 on."""
    fields = [(b"", b"")]
    for line in _LINES.split(b"\n"):
        name, _, value = line.rpartition(b": ") if b": " in line else (line, b"", b"")
        fields.append((name, value))
    return tuple(fields)


STATIC = _fields()
"""By index; 0 is nobody's."""

FIRST_DYNAMIC = len(STATIC)
"""The index of the newest entry of the dynamic table."""

r"""Ordinary heads of HTTP/1.1: an expression for each kind that finds what matters while it validates.

    GET / HTTP/1.1    lines  Host  lines  [Connection: keep-alive  lines]
    HTTP/1.1 200 OK   lines  Date  lines  Content-Length  lines  [Connection: keep-alive  lines]

where `lines` are fields that a proxy passes on. Most of what clients and targets say is of this form, and is read in
two thirds of the time that it takes to validate first and search then, as `wire.http1` and `wire.fields` do with
everything else. They are the reference: what is taken here means the same to them (`tests.wire.fuzz_heads`).

Imports: wire. Used by: wire.http1.
"""

from __future__ import annotations

import re
from typing import Final

from lolly_tx.wire.grammar import (
    NAME_NO_UNDERSCORE,
    REQUEST_NAMES,
    RESPONSE_NAMES,
    TARGET,
    TOKEN,
    VALUE,
    any_of,
)


def lines(names: tuple[bytes, ...], name: bytes) -> bytes:
    """A pattern of any number of lines with a field called as in the pattern `name`, but for those of `names`."""
    # Most begin with another letter than any of `names`.
    letters = {each[0] for each in names}
    others = b"".join(
        [
            b"\\x%02x" % byte
            for byte in range(256)
            if bytes((byte,)).lower()[0] not in letters
            and re.fullmatch(name, bytes((byte,)))
        ]
    )
    line = rb"(?:[%b]|(?!(?i:%b):))%b:%b\r\n" % (others, any_of(names), name, VALUE)
    return b"(?:%b)*+" % line


_STAY: Final = rb"(?i:connection:[\t ]*+keep-alive)[\t ]*+\r\n"

_LINES: Final = lines(REQUEST_NAMES, NAME_NO_UNDERSCORE)
_HOST: Final = rb"(?i:host):[\t ]*+([!-~]++)[\t ]*+\r\n"

REQUEST: Final = re.compile(
    rb"(?!CONNECT )(%b) (%b) HTTP/1\.1" % (TOKEN, TARGET)
    + rb"(\r\n%b%b%b)(?:%b(%b))?+\r\n" % (_LINES, _HOST, _LINES, _STAY, _LINES)
)
"""A request: method, target, fields before the Connection line, the Host value, fields behind that line or None."""

_OTHERS: Final = lines(RESPONSE_NAMES, TOKEN)
_DATE: Final = rb"(?i:date):%b\r\n" % VALUE
_LENGTH: Final = rb"(?i:content-length):[\t ]*+(0|[1-9][0-9]{0,17}+)[\t ]*+\r\n"

RESPONSE: Final = re.compile(
    rb"HTTP/1\.1 ([1-5][0-9][0-9])(?: (%b))?(\r\n%b(?:" % (VALUE, _OTHERS)
    + rb"%b%b%b|%b%b%b" % (_DATE, _OTHERS, _LENGTH, _LENGTH, _OTHERS, _DATE)
    + rb")%b)(?:%b(%b))?+\r\n" % (_OTHERS, _STAY, _OTHERS)
)
"""A response: status, reason, fields before the Connection line, Content-Length in one of two places, fields behind
that line or None."""

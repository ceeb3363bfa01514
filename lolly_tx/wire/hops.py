"""What Connection says, and fields taken out of a block: they end at this hop (RFC 9110 section 7.6.1).

Imports: wire. Used by: wire.fieldlines, wire.fields.
"""

from __future__ import annotations

import re
from typing import Final

from lolly_tx.wire.errors import BadMessage

_LINE: Final = re.compile(rb"\n([^:]++):[^\n]*+")

# Names a Connection field must not be able to delete: framing, routing, and what we set
# ourselves.
_PROTECTED: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"forwarded",
        b"x-real-ip",
        b"close",
        b"keep-alive",
        b"upgrade",
    )
)

MAX_OPTIONS: Final = 64
"""Different names in the Connection fields of one message."""
_FEW: Final = 4
# So many names are looked for one by one, faster than by going through all lines.

# What Connection mostly says: names no field.
HARMLESS: Final = frozenset((b"keep-alive", b"close"))


def options(values: list[bytes]) -> tuple[bytes, ...]:
    """What the Connection fields with `values` name, each once, in order."""
    # Equal pieces are dropped before any is stripped: a field may have thousands.
    pieces = dict.fromkeys(b",".join(values).split(b","))
    names = dict.fromkeys([piece.strip(b"\t ") for piece in pieces])
    names.pop(b"", None)
    if len(names) > MAX_OPTIONS:
        raise BadMessage("too many names in Connection", 431)
    return tuple(names)


def deletable(named: tuple[bytes, ...]) -> list[bytes]:
    """Those of the options `named` by Connection that name a field it may take out."""
    return [
        option
        for option in named
        if option not in _PROTECTED and not option.startswith(b"x-forwarded-")
    ]


def names_in(low: bytes) -> list[bytes]:
    """The names of all fields of a block in lower case."""
    return [match[1] for match in _LINE.finditer(low)]


def without(raw: bytes, low: bytes, cut: list[bytes]) -> bytes:
    """The block `raw` without the fields named in `cut`; `low`: itself in lower case."""
    cuts = []
    names = cut if len(cut) == 1 else set(cut)
    if len(names) > _FEW:
        cuts = [match.span() for match in _LINE.finditer(low) if match[1] in names]
    else:
        for name in names:
            line = b"\n" + name + b":"
            at = low.find(line)
            while at >= 0:
                end = low.index(b"\n", at + 1)
                cuts.append((at, end))
                at = low.find(line, end)
    if len(cuts) == 1:
        [(at, end)] = cuts
        return raw[:at] + raw[end:]
    pieces = []
    begin = 0
    for at, end in sorted(cuts):
        pieces.append(raw[begin:at])
        begin = end
    pieces.append(raw[begin:])
    return b"".join(pieces)

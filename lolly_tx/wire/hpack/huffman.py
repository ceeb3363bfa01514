r"""Strings in the Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), a byte at a time.

    the code is canonical: the lengths of the 257 codes say all
    a tree of 256 inner nodes, and from each a row:  byte -> (symbols that end in it, the node it leads to)

The rows are made when this is imported, which takes some hundredths of a second; only who speaks HTTP/2 imports it.

Imports: wire.http2. Used by: wire.hpack.decoder.
"""

from __future__ import annotations

from typing import Any, Final

from lolly_tx.wire.http2.errors import COMPRESSION_ERROR, Http2Error

LENGTHS: Final = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606"
    "0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171817"
    "181816171817171717151617161717181615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17"
    "1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)
"""Of each symbol's code, in bits; the last is EOS, the end of a string, which no string may contain."""
EOS: Final = 256


LONGEST_BITS: Final = max(LENGTHS)


def codes() -> list[int]:
    """The code of each symbol: counted up from one length to the next."""
    made = [0] * len(LENGTHS)
    code = before = 0
    for length, symbol in sorted((length, n) for n, length in enumerate(LENGTHS)):
        code <<= length - before
        before = length
        made[symbol] = code
        code += 1
    return made


Row = list[Any]
"""For each byte the pair (symbols, row that it leads to); last, whether a string may end here."""


def _tree() -> list[list[int]]:
    """Inner nodes, the root first: where a 0 and a 1 lead, to another of them or, as ~symbol, to a leaf."""
    nodes = [[0, 0]]
    for symbol, (code, length) in enumerate(zip(codes(), LENGTHS, strict=True)):
        at = 0
        for bit in range(length - 1, 0, -1):
            side = code >> bit & 1
            if not nodes[at][side]:
                nodes[at][side] = len(nodes)
                nodes.append([0, 0])
            at = nodes[at][side]
        nodes[at][code & 1] = ~symbol
    return nodes


def _steps(nodes: list[list[int]]) -> list[list[tuple[bytes, int]]]:
    """For each node and each half byte, the symbols and the next node; -1 where EOS is."""
    steps = []
    for start in range(len(nodes)):
        row = []
        for half in range(16):
            at, symbols = start, b""
            for bit in (8, 4, 2, 1):
                at = nodes[at][1 if half & bit else 0]
                if at == ~EOS:
                    at = -1
                    break
                if at < 0:
                    symbols += bytes((~at,))
                    at = 0
            row.append((symbols, at))
        steps.append(row)
    return steps


def _rows() -> Row:
    """The row of the root, and behind it all others."""
    nodes = _tree()
    steps = _steps(nodes)
    rows: list[Row] = [[] for _ in range(len(nodes) + 1)]
    dead = rows[-1]  # a string with EOS in it, which is found at its end
    dead += [(b"", dead)] * 256
    dead.append(False)
    shared: dict[tuple[bytes, int], tuple[bytes, Row]] = {}
    for start, row in enumerate(steps):
        for first, middle in row:
            for second, end in steps[middle] if middle >= 0 else [(b"", -1)] * 16:
                key = (first + second, end)
                if key not in shared:
                    shared[key] = (key[0], rows[end])
                rows[start].append(shared[key])
    at = 0
    for _ in range(8):  # the root, and up to seven bits of padding: the first of EOS
        rows[at].append(True)
        at = nodes[at][1]
    for each in rows[:-1]:
        if len(each) == 256:
            each.append(False)
    return rows[0]


_ROOT: Final = _rows()


def decode(data: bytes) -> bytes:
    """The string that `data` is the code of.

    Raises `Http2Error` for EOS in it, and for padding that is longer than seven bits or not the first bits of EOS.
    """
    row = _ROOT
    pieces = []
    for byte in data:
        symbols, row = row[byte]
        pieces.append(symbols)
    if not row[256]:
        raise Http2Error(COMPRESSION_ERROR, "malformed Huffman code")
    return b"".join(pieces)

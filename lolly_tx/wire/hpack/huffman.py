r"""Strings in the Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), a byte at a time.

    the code is canonical: the lengths of the 257 codes say all
    a tree of 256 inner nodes, and from each a row:  byte -> (symbols that end in it, the node it leads to)

Imports: wire. Used by: wire.hpack.decoder, wire.hpack.native, wire.hpack.reading.
"""

from __future__ import annotations

from typing import Final

from lolly_tx.wire.http2_errors import COMPRESSION_ERROR, Http2Error

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

Row = list[tuple[bytes, int]]


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


def _half_steps(nodes: list[list[int]]) -> list[Row]:
    """For each node and each half byte, the symbols that end in it and the node it leads to; `_DEAD` where EOS is."""
    steps = []
    for start in range(len(nodes)):
        row = []
        for half in range(16):
            at, symbols = start, b""
            for bit in (8, 4, 2, 1):
                at = nodes[at][1 if half & bit else 0]
                if at == ~EOS:
                    at = _DEAD
                    break
                if at < 0:
                    symbols += bytes((~at,))
                    at = 0
            row.append((symbols, at))
        steps.append(row)
    return [*steps, [(b"", _DEAD)] * 16]


def _padded(nodes: list[list[int]]) -> frozenset[int]:
    """Where a string may end: at the root, and after up to seven bits of padding, which are the first of EOS."""
    ends = [0]
    for _ in range(7):
        ends.append(nodes[ends[-1]][1])
    return frozenset(ends)


_TREE: Final = _tree()
_DEAD: Final = len(_TREE)
_HALF_STEPS: Final = _half_steps(_TREE)
_ENDS: Final = _padded(_TREE)

# Made when it is needed: a tenth of the nodes is what most strings go through.
_ROWS: Final[list[Row]] = [[] for _ in _HALF_STEPS]


def _make_row(node: int) -> None:
    steps = _HALF_STEPS
    _ROWS[node] = [
        (first + second, end)
        for first, middle in steps[node]
        for second, end in steps[middle]
    ]


def decode(data: bytes) -> bytes:
    """The string that `data` is the code of.

    Raises `Http2Error` for EOS in it, and for padding that is longer than seven bits or not the first bits of EOS.
    """
    rows = _ROWS
    node = 0
    pieces = []
    for byte in data:
        try:
            symbols, node = rows[node][byte]
        except IndexError:
            _make_row(node)
            symbols, node = rows[node][byte]
        pieces.append(symbols)
    if node not in _ENDS:
        raise Http2Error(COMPRESSION_ERROR, "malformed Huffman code")
    return b"".join(pieces)

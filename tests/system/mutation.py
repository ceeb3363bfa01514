"""Raw messages made slightly, or badly, wrong.

May import: tests.system. Used by: fuzz.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.system.corpus_judge import Case
from tests.system.strict_origin import raw_bytes

LARGEST_BYTES = 40000
"""Larger cases of the corpus are left out: they cost the fuzzer more than the proxy."""

_BYTES = [
    bytes((n,)) for n in b"\r\n\0 \t:;,=\"'/\\#?%@_-+0159afAFxX\x0b\x0c\x7f\x80\xa0\xff"
]
_LINES = [
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length : 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer_Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive, Host, X-Case",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"Host: other.test",
    b"Host: a b",
    b"Host:",
    b"TE: trailers",
    b"Trailer: X-T",
    b"X-Forwarded-For: 6.6.6.6",
    b"Forwarded: for=6.6.6.6",
    b"X: a\r\n b",
    b"X: " + b"v" * 5000,
    b"",
]
_NUMBERS = [
    b"-1", b"0", b"00", b"1", b"0x10", b"4096", b"65536", b"99999999999",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551616",
    b"7fffffffffffffff", b"ffffffffffffffff", b"1" * 40,
]  # fmt: skip
_WORDS = [
    b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"GET", b"HEAD", b"POST", b"OPTIONS", b"*",
    b"CONNECT", b"TRACE", b"http://other.test/", b"//", b"/../", b"%2e", b"%zz", b"chunked",
    b"\r\n\r\n", b"\r\n", b"\n\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 S\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n",
]  # fmt: skip

Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]


def _insert(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(data))
    return (
        data[:at] + random.choice(_BYTES) * random.choice((1, 1, 1, 2, 70)) + data[at:]
    )


def _replace(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.choice(_BYTES) + data[at + 1 :]


def _flip(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]


def _delete(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at + random.choice((1, 1, 2, 3, 10, 50)) :]


def _repeat(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data))
    piece = data[at : at + random.choice((1, 2, 5, 20, 80))]
    return data[:at] + piece * random.choice((2, 2, 3, 30)) + data[at + len(piece) :]


def _cut(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: random.randint(1, len(data))]


def _splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    at, start = random.randint(0, len(data)), random.randint(0, len(other))
    return data[:at] + other[start:] + (data[at:] if random.random() < 0.5 else b"")


def _append(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data + random.choice(others)


def _add_line(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    ends = [found.end() for found in re.finditer(rb"\r\n", data)] or [0]
    at = random.choice(ends)
    return data[:at] + random.choice(_LINES) + b"\r\n" + data[at:]


def _move_line(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    lines = data.split(b"\r\n")
    random.shuffle(lines) if random.random() < 0.1 else lines.insert(
        random.randrange(len(lines)), lines.pop(random.randrange(len(lines)))
    )
    return b"\r\n".join(lines)


def _number(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb"[0-9A-Fa-f]+", data))
    if not found:
        return data
    at = random.choice(found)
    return data[: at.start()] + random.choice(_NUMBERS) + data[at.end() :]


def _word(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb"[^ \r\n:]+", data))
    if not found:
        return data
    at = random.choice(found)
    return data[: at.start()] + random.choice(_WORDS) + data[at.end() :]


def _line_end(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb"\r\n", data))
    if not found:
        return data
    at = random.choice(found)
    end = random.choice(
        (b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n ", b"\0\r\n")
    )
    return data[: at.start()] + end + data[at.end() :]


def _case(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data.swapcase() if random.random() < 0.3 else data.upper()


_MUTATIONS: tuple[Mutation, ...] = (
    _insert, _insert, _replace, _replace, _flip, _delete, _repeat, _cut, _splice, _append,
    _append, _add_line, _add_line, _add_line, _move_line, _number, _word, _line_end, _case,
)  # fmt: skip


def mutate(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """`data` with one to four things done to it; `others` to borrow from."""
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        data = random.choice(_MUTATIONS)(random, data, others) or b"\r\n"
    return data


def flat(raw: Any) -> bytes:
    """A raw message of a case without its pauses."""
    return b"".join(
        raw_bytes(each) for each in ([raw] if isinstance(raw, str) else raw)
    )


def prepare(
    random: Random, count: int, cases: list[Case], share_as_is: float = 0.05
) -> list[tuple[bytes, str]]:
    """`count` mutated inputs, each with what the origin does after it (responses)."""
    raws = [(flat(case["raw"]), case.get("after", "")) for case in cases]
    raws = [each for each in raws if 0 < len(each[0]) <= LARGEST_BYTES]
    short = [raw for raw, _ in raws if len(raw) < 2000]
    inputs = []
    for _ in range(count):
        raw, after = random.choice(raws)
        if random.random() >= share_as_is:
            raw = mutate(random, raw, short)
        inputs.append((raw, after))
    return inputs

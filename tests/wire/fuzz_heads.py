"""The scan of heads against the regular expressions: the same verdict and the same values, always.

    python -m tests.wire.fuzz_heads [--heads N] [--seed N] [--sanitize]

Heads are made of pieces that matter to a proxy, and mutated; each is read by a reader that scans, by one that takes
ordinary heads in one go, and by one that does neither, whole or cut off at any place. `--sanitize`: the scanner is
built with ASan and UBSan (`make fuzz-native` preloads what they need). The digest is of all that was read: the same for
the pure and for the compiled build.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from typing import Any

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import RequestReader, ResponseReader
from lolly_tx.wire.ordinary import REQUEST, RESPONSE
from tests.wire.native import SANITIZED, scanner

NAMES = (
    b"Host host Connection Content-Length Transfer-Encoding TE Trailer Upgrade Expect Keep-Alive Forwarded"
    b" X-Forwarded-For X-Forwarded- X-Forwarded-Proto X-Real-IP Proxy Proxy- Proxy-Authorization HTTP2-Settings"
    b" Lolly-Hop Cookie Accept User-Agent X_Y Date Proxy-Authenticate Proxy-Connection Server Set-Cookie X-Request-Id h"
    b" Proxyx"
).split()
VALUES = (
    b"a.test|[::1]:80|close|keep-alive|Keep-Alive, X-Foo|upgrade|websocket|chunked|Chunked|gzip, chunked|0|13|013|+1"
    b"|1, 1|99999999999999999999|trailers|100-continue|for=1.2.3.4;proto=http|1.2.3.4, 5.6.7.8|a=b; c=\xc3\xa9|| \t"
    b"|x\ty |Sat, 21 Nov 2026 20:48:42 GMT|0123456789abcdef|text/plain; q=0.5"
).split(b"|")
STARTS = (
    b"GET / HTTP/1.1|POST /a%20b?x=%zz HTTP/1.1|GET /%00 HTTP/1.1|GET /a%2 HTTP/1.1|OPTIONS * HTTP/1.1|GET * HTTP/1.0"
    b'|CONNECT a:1 HTTP/1.1|CONNECTX / HTTP/1.1|GET http://a.test/x HTTP/1.1|HEAD /?a"b HTTP/1.1|GET /a"b HTTP/1.1'
    b"|GET /\xc3 HTTP/1.1|GET /?\xc3 HTTP/1.1|GET  / HTTP/1.1|GET / HTTP/1.2|GET / HTTP/1.1 |G@T / HTTP/1.1"
    b"|GET /#f HTTP/1.1|CONNECT / HTTP/1.1"
).split(b"|")
STATUS = (
    b"HTTP/1.1 200 OK|HTTP/1.0 404 Not Found|HTTP/1.1 204|HTTP/1.1 304 |HTTP/1.1 600 X|HTTP/1.1 099 X|HTTP/1.1 20 X"
    b"|HTTP/1.1 200OK|HTTP/1.1 101 S|HTTP/2.0 200 OK|HTTP/1.1  200 OK|HTTP/1.1 200 \xff\t~|HTTP/1.1 200 a\x7f"
).split(b"|")
COMMON = {
    True: (b"Host: a.test", b"Connection: keep-alive", b"Cookie: a=b", b"X_Y: 1"),
    False: (
        b"Date: Sat",
        b"Content-Length: 13",
        b"connection:Keep-Alive ",
        b"Server: x",
    ),
}
"""Lines of most requests, and of most responses."""
LIMITS = HeadLimits(head_bytes=600, fields=12, line_bytes=60)
BLOCK = (
    "raw kept length length_kept chunked connection upgrade plain expect wants_trailers forwarded hops host has_host"
    " date"
).split()
HEAD = "method target version end old plain is_head status reason whole".split()


def head_of(chance: random.Random, request: bool) -> bytes:
    """One that may be right."""
    lines: list[bytes] = []
    common = chance.random() < 0.5
    if common:
        lines += COMMON[request][: chance.choice((1, 2, 2, 3, 4))]
    for _ in range(chance.choice((0, 1, 2, 3, 5, 8, 13)[: 3 if common else 7])):
        name, blank = chance.choice(NAMES), chance.choice((b" ", b"", b"\t", b"  "))
        lines.append(name + b":" + blank + chance.choice(VALUES))
    chance.shuffle(lines)
    starts = STARTS if request else STATUS
    usual = common and chance.random() < 0.7
    lines.insert(0, starts[0] if usual else chance.choice(starts))
    return (
        b"\r\n".join(lines) + b"\r\n\r\n" + chance.choice((b"", b"", b"body", b"\r\n"))
    )


def mutated(chance: random.Random, data: bytes) -> bytes:
    """With a byte or two that are others, more or fewer."""
    changed = bytearray(data)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            changed[at:at] = bytes((chance.randrange(256),))
        elif kind == 1:
            del changed[at : at + chance.choice((1, 2, 5))]
        elif kind == 2 and at < len(changed):
            changed[at] = chance.choice(b"\r\n:\0 \t_%?*\x7f\xffAz09-")
        else:
            changed[at:at] = changed[at // 2 : at]
    return bytes(changed)


def read(reader: Any, data: bytes) -> Any:
    """What a reader makes of `data`, comparable."""
    try:
        head = reader.read(data)
    except BadMessage as error:
        return type(error), error.reason, error.status
    if head is None:
        return None
    known = [(name, getattr(head, name, None)) for name in HEAD]
    return known + [(name, getattr(head.block, name, None)) for name in BLOCK]


def differences(
    heads: int, seed: int, flags: tuple[str, ...] = (), digest: Any = None
) -> list[bytes]:
    """What the two read differently, of so many; the first few. `digest` takes what the reference reads."""
    module = scanner(flags)
    assert module is not None, "no C compiler"
    chance = random.Random(seed)
    found: list[bytes] = []
    taken = ordinary = 0
    for number in range(heads):
        request = bool(number & 1)
        data = mutated(chance, head_of(chance, request))
        if chance.random() < 0.1:
            data = data[: chance.randrange(len(data) + 1)]
        if request:
            scanning: Any = RequestReader(LIMITS, scan=module.scan_request)
            reference: Any = RequestReader(LIMITS, scan=None)
            passing: Any = RequestReader(LIMITS, scan=None)
            passing._blocks.passing = 2
            ordinary += REQUEST.match(data) is not None
            taken += module.scan_request(data, 600, 60, 12) is not None
        else:
            scanning = ResponseReader(LIMITS, scan=module.scan_response)
            reference = ResponseReader(LIMITS, scan=None)
            passing = ResponseReader(LIMITS, scan=None)
            passing._memory.passing = 2
            ordinary += RESPONSE.match(data) is not None
            taken += module.scan_response(data, 600, 60, 12) is not None
        wanted = read(reference, data)
        if digest is not None:
            digest.update(repr(wanted).encode())
        if read(scanning, data) != wanted or read(passing, data) != wanted:
            found.append(data)
            if len(found) == 5:
                break
    # A scan that takes nothing is never wrong.
    assert taken > heads // 10, f"the scan took {taken} of {heads}"
    assert ordinary > heads // 50, f"{ordinary} of {heads} were ordinary"
    return found


def main() -> int:
    """Look for differences; 1: there are some."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sanitize", action="store_true")
    options = parser.parse_args()
    flags = SANITIZED if options.sanitize else ()
    digest = hashlib.sha256()
    found = differences(options.heads, options.seed, flags, digest)
    for data in found:
        print(f"read differently: {data!r}")
    print(
        f"{options.heads} heads, {len(found)} differences, digest {digest.hexdigest()[:16]}"
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""What finding the route of a request costs, for a few routes and for 1,000.

Run: `python benchmarks/routes.py [ROUNDS]`. Prints microseconds (best of five); asserts nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from lolly_tx.domain.routing.locations import Condition
from lolly_tx.domain.routing.routes import Pattern, RouteTable

Route = tuple[tuple[str, ...], str]


def tables() -> dict[str, tuple[Sequence[Route], bytes, bytes]]:
    """By name: routes as (hosts, path), and the host and the path that are asked for."""
    many = range(1000)
    two = [((), "/"), ((), "/api/")]
    prefixes = [
        ((), "/"),
        *[((), f"/{'abcdefgh'[n % 8]}/service{n}/v1/") for n in many],
    ]
    return {
        "one route": ([((), "/")], b"www.example.com", b"/static/app.js"),
        "two prefixes": (two, b"www.example.com", b"/static/app.js"),
        "1,000 hosts": (
            [((f"h{n}.example.com",), "/") for n in many],
            b"h700.example.com",
            b"/static/app.js",
        ),
        "1,000 prefixes": (prefixes, b"x", b"/d/service715/v1/users/42?page=2"),
        "1,000 exact": ([((), f"=/page/{n}") for n in many], b"x", b"/page/700"),
        "1,000 expressions, the last": (
            [((), f"~^/s{n}/[0-9]+$") for n in many],
            b"x",
            b"/s999/4711",
        ),
        "path to be decoded": (two, b"x", b"/a%20b/../static/app.js"),
    }


def cost(table: RouteTable[str], host: bytes, path: bytes, rounds: int) -> float:
    """Microseconds per request, as `proxy.proxy` asks; the best of five."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(rounds):
            table.only or table.find(host, path, None, None)
        best = min(best, time.perf_counter() - start)
    return best / rounds * 1e6


def main() -> None:
    """Print a line for each table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for name, (routes, host, path) in tables().items():
        table = RouteTable(
            Pattern(hosts, one, str(n)) for n, (hosts, one) in enumerate(routes)
        )
        print(f"{name:30} {cost(table, host, path, rounds):7.3f}")
    never = (Condition("never", lambda head, peer: False),)
    patterns = [Pattern((), "/x", str(n), never) for n in range(100)]
    table = RouteTable([*patterns, Pattern((), "/", "last")])
    print(f"{'100 conditions that fail':30} {cost(table, b'x', b'/x/y', rounds):7.3f}")


if __name__ == "__main__":
    main()

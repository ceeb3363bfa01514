"""`python -m tests.system.faults [NAMES] [--brief | --long] [--workers N]`: see the package."""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import sys
import time

from tests.system.faults.figures import (
    CI,
    LONG,
    SHORT,
    Findings,
    Registered,
    Size,
    percentile_of,
)
from tests.system.faults.scenarios import SCENARIOS

STARVED = 0.3
"""A goal that is missed while the proxy had no processor for so much of the time says little of
the proxy: it may try once more, and both lines are printed."""


def main(arguments: list[str]) -> int:
    """Run what is named, or everything; the status is 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.faults")
    parser.add_argument("names", nargs="*", help="such as L01; none = all")
    sizes = parser.add_mutually_exclusive_group()
    for option, level, what in (
        ("--brief", CI, "the sizes of test_faults.py, where times may be longer"),
        ("--long", LONG, "full sizes"),
    ):
        sizes.add_argument(
            option, dest="level", action="store_const", const=level, help=what
        )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="of the proxy")
    given = parser.parse_args(arguments)
    unknown = set(given.names) - set(SCENARIOS)
    if unknown:
        known = ", ".join(sorted(SCENARIOS))
        parser.error(f"no such test: {', '.join(sorted(unknown))}; there are {known}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # It says so when one writes to a connection that was just reset, which is the point.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    level = SHORT if given.level is None else given.level
    size = Size(level, given.seed, given.workers)
    all_found = []
    for name in given.names or sorted(SCENARIOS):
        started = time.monotonic()
        found = run(SCENARIOS[name], size)
        if not found.good and found.starved > STARVED:
            print(f"{found.line()}, so once more", flush=True)
            found = run(SCENARIOS[name], size)
        took = time.monotonic() - started
        print(f"{found.line()} ({took:.1f} s)", flush=True)
        all_found.append(found)
    all_found.append(event_loop(all_found))
    table(all_found)
    return 0 if all(found.good for found in all_found) else 1


def run(registered: Registered, size: Size) -> Findings:
    """One scenario; its own failure is a finding as well."""
    found = registered.findings(size)
    try:
        asyncio.run(registered.run(found, size))
    except Exception as error:
        found.equal("ended with", f"{type(error).__name__}: {error}", "figures")
    return found


def event_loop(all_found: list[Findings]) -> Findings:
    """L32: the event loops of all proxies that have been under test."""
    found = Findings("L32", "the event loop is never held")
    for each in all_found:
        found.beats.update(each.beats)
    found.note("beats", found.beats.total())
    late = {
        one.name: sum(n for b, n in one.beats.items() if b > 0.02) for one in all_found
    }
    where = ", ".join(f"{name} {count}" for name, count in late.items() if count)
    found.note("held for more than 20 ms", where or "never")
    found.most("p99.9 held", 1000 * percentile_of(found.beats, 0.999), 20, " ms")
    longest = max((b for b, n in found.beats.items() if n), default=0.0)
    found.most("longest held", 1000 * longest, 100, " ms")
    print(found.line(), flush=True)
    return found


def table(all_found: list[Findings]) -> None:
    """Every figure with its goal."""
    print()
    print(f"{'test':5} {'figure':32} {'value':>20}  {'goal':16}")
    for found in all_found:
        for each in found.figures:
            mark = "" if each.good is not False else "MISSED"
            print(
                f"{found.name:5} {each.name:32} {each.value:>20}  {each.goal:16} {mark}"
            )
    missed = [found.name for found in all_found if not found.good]
    met = len(all_found) - len(missed)
    print(f"\n{met} of {len(all_found)} tests meet their goals", end="")
    print(f"; missed: {', '.join(missed)}" if missed else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

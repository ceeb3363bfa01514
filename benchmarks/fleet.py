"""What sharing failures by a store changes for a fleet, under a virtual clock: no socket, no time of its own.

    python -m benchmarks.fleet [--seconds S] [--seeds N]

One target of four, to which each instance sends so many requests a second. First it dies: how many requests fail, and
how long it takes until all have ejected it; each instance by itself, and with a store. Then it answers 1 % and 5 % of
its requests with an error: how often an instance ejects it in an hour of `--seconds`. Means of the seeds.
"""

from __future__ import annotations

import argparse
from random import Random
from statistics import mean

import attrs

from lolly_tx.config.local_fault import LocalFault
from lolly_tx.domain.errors import BadResponse
from tests.service.stores.test_fleet import STEP, Fleet

ERROR = BadResponse("no HTTP")
FLEETS = ((3, 1.0), (10, 1.0), (30, 1.0), (30, 0.3), (100, 0.3))
"""Instances, and requests a second from each."""
DEAD_SECONDS = 60.0


@attrs.frozen
class Seen:
    """What became of it. `after`: seconds until all had ejected it."""

    failed: int
    ejections: int
    after: float


def play(
    count: int, rate: float, errors: float, seconds: float, share: bool, seed: int
) -> Seen:
    """A fleet whose target fails that share of its requests; to the end, or until all have ejected what is dead."""
    fleet, random = Fleet(count), Random(seed)
    fleet.fake.sharers = count
    for one in fleet.all:
        one.faults.go_by(LocalFault(hosts=0))
        if not share:
            one.share("")
    fleet.pass_time(2.0)
    began, failed = fleet.clock.seconds(), 0
    while fleet.clock.seconds() - began < seconds:
        fleet.clock.advance(STEP)
        for one in fleet.all:
            if random.random() >= rate * STEP or "a" in one.out():
                continue
            if random.random() < errors:
                failed += 1
                one.fail("a", ERROR)
            else:
                one.succeed("a")
        if errors == 1.0 and all(n.node("a").ejection != "up" for n in fleet.all):
            break
    after = fleet.clock.seconds() - began
    ejections = sum(one.node("a").stats.ejections for one in fleet.all)
    fleet.stop()
    return Seen(failed, ejections, after)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    seeds = range(options.seeds)
    print(
        "instances, requests/s   dead: failed, all eject after    errors: ejections/h"
    )
    for count, rate in FLEETS:
        for share in (False, True):
            dead = [play(count, rate, 1.0, DEAD_SECONDS, share, s) for s in seeds]
            hours = options.seconds / 3600 * count
            false = [
                mean(
                    play(count, rate, part, options.seconds, share, s).ejections
                    for s in seeds
                )
                / hours
                for part in (0.01, 0.05)
            ]
            print(
                f"{count:4} x {rate:<4g} {'by a store' if share else 'each alone'}     "
                f"{mean(one.failed for one in dead):5.0f},"
                f" {mean(one.after for one in dead):5.1f} s                "
                f"{false[0]:6.1f} at 1 %, {false[1]:6.1f} at 5 %",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""What it costs to be seen: the CPU of a request with a log, a recorder, scrapes, against none of them.

    python -m benchmarks.observing [--starts N] [--rounds N] [--seconds S] [--only log]
                                   [--browser] [--unique] [--slices N]

Proxies that differ in one setting each take the load in turns, as in `peers.py`; `plain` is the
measure. `scraped`: `/metrics` is fetched every second, five to fifteen times as often as usual.
`templated`: the log by a template of the user's. `--unique`: no two heads alike, so that no
line is made ready. Prints microseconds per request, medians over all rounds, and the
difference to plain in per cent; fails nothing. `--slices`: so many short slices of load for each in turns, as
`chain.py` has them, where the machine has more to do; without scrapes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.chain import HEADING, Proxy, in_turns, started, table
from benchmarks.peers import LOLLY, ROOT, UNIQUE, Field, Peer, lolly, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

ADMIN = '[admin]\nendpoint = "tcp:{admin}:interface=127.0.0.1"\n'
KINDS = {
    "plain": "",
    "common": '[access_log]\npath = "{folder}/common.log"\nformat = "combined"\n',
    "json": '[access_log]\npath = "{folder}/json.log"\nformat = "json"\n',
    "templated": '[access_log]\npath = "{folder}/own.log"\n'
    'format = "$client $method $uri $status $request_id"\n',
    "recorder": "[recorder]\n",
    "scraped": "",
}
EVERY = 1.0
"""Seconds between two scrapes."""


@contextmanager
def scraped(name: str, admin: int) -> Iterator[None]:
    """Have the metrics fetched meanwhile, where that is what is measured."""
    done = threading.Event()

    def fetch() -> None:
        while not done.wait(EVERY):
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics").read()

    thread = threading.Thread(target=fetch)
    if name == "scraped":
        thread.start()
    yield
    done.set()
    if name == "scraped":
        thread.join()


def run(options: argparse.Namespace) -> list[Peer]:
    """Start them all, load each in turns, end them."""
    with tempfile.TemporaryDirectory(prefix="observing") as name:
        folder = Path(name)
        options.script = str(folder / "unique.lua")
        Path(options.script).write_text(UNIQUE.replace("{path}", options.path))
        field = Field(folder)
        try:
            found = []
            for kind, settings in KINDS.items():
                if options.only and kind not in {"plain", *options.only}:
                    continue
                port, admin = field.ports.pop(), field.ports.pop()
                rest = (ADMIN + settings).replace("{folder}", str(folder))
                text = LOLLY + rest.replace("{admin}", str(admin))
                path = field.write(f"{kind}.toml", text, port)
                process = field.start(kind, port, lolly(path), PYTHONPATH=str(ROOT))
                found.append((Peer(kind, port, process), admin))
            for number in range(options.rounds + 1):
                for peer, admin in found:
                    with scraped(peer.name, admin):
                        measure(peer, options)
                    if not number:  # to warm up
                        peer.costs.clear()
        finally:
            field.stop()
    return [peer for peer, _ in found]


def run_slices(options: argparse.Namespace) -> list[Proxy]:
    """The same in slices."""
    with tempfile.TemporaryDirectory(prefix="observing") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx reads the files as somebody else
        field = Field(folder)
        os.sched_setaffinity(0, {1})
        try:
            found = []
            for kind, settings in KINDS.items():
                if kind == "scraped" or (
                    options.only and kind not in {"plain", *options.only}
                ):
                    continue
                text = LOLLY + settings.replace("{folder}", str(folder))
                found.append(started(field, kind, text, str(ROOT), options.unique))
            in_turns(found, options.slices, 10)
        finally:
            field.stop()
    return found


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--browser", action="store_true", help="a browser's heads")
    parser.add_argument("--unique", action="store_true", help="no two heads alike")
    parser.add_argument("--only", action="append", default=[], choices=KINDS)
    parser.add_argument("--slices", type=int, default=0)
    options = parser.parse_args()
    if options.slices:
        proxies = run_slices(options)
        print(HEADING)
        table(proxies)
        return
    options.tls = False
    options.connections, options.path = 32, "/"
    costs: dict[str, list[float]] = {}
    for _ in range(options.starts):
        for peer in run(options):
            costs.setdefault(peer.name, []).extend(map(sum, peer.costs))
    plain = statistics.median(costs["plain"])
    for name, all_costs in costs.items():
        cost = statistics.median(all_costs)
        more = (cost / plain - 1) * 100
        print(
            f"{name:10} {cost:7.2f} us {more:+6.1f} %   least {min(all_costs):7.2f} us"
        )


if __name__ == "__main__":
    main()

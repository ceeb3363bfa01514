"""What the clients of a stream do once they are connected, and what of a scenario means nothing to them.

Imports: config, simulate. Used by: simulate.scenario, simulate.sessiontargets,
simulate.world.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from lolly_tx.config.datagrams import of_datagrams
from lolly_tx.config.model import Config
from lolly_tx.config.schema import about
from lolly_tx.config.streams import Stream
from lolly_tx.simulate.kinds import BYTES, LATENCY
from lolly_tx.simulate.latency import Constant, Latency, Lognormal


@attrs.frozen
class Staying:
    """A session from its connect to its end."""

    lasts: Latency = attrs.field(
        default=Lognormal(10.0, 120.0),
        metadata=about(
            LATENCY,
            "How long one lasts once it is up, where nobody cuts it: as a latency.",
        ),
    )
    sent: Latency = attrs.field(
        default=Constant(1024.0),
        metadata=about(
            BYTES, "Bytes that its client sends in that time: a size, or as a latency."
        ),
    )
    received: Latency = attrs.field(
        default=Constant(65536.0),
        metadata=about(BYTES, "Bytes that its client gets."),
    )


def stream_of(config: Config, asked: str, pool: str) -> Stream | None:
    """The stream whose sessions come: the one `asked` for, else one that has `pool` where nothing else leads there."""
    if asked:
        return config.streams.get(asked)
    if any(pool in route.pools for route in config.routes):
        return None
    return next((one for one in config.streams.values() if pool in one.pools), None)


def unfit(
    stream: Stream, tree: Mapping[str, Any]
) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Where a scenario, as it was written, says what is none of its sessions' business, and why."""
    if of_datagrams(stream.endpoint):
        yield (
            ("stream",),
            f"stream {stream.name} passes datagrams on, whose sessions are not simulated",
        )
    load = tree.get("load")
    if isinstance(load, Mapping) and load.get("posts"):
        yield ("load", "posts"), "is of requests, and clients of a stream make none"
    for table, key, said in (
        ("target", "errors", "is of requests; a target of a stream refuses or resets"),
        ("target", "when_full", 'is of requests; who is beyond "capacity" is refused'),
        ("target", "queue", 'is of requests; who is beyond "capacity" is refused'),
    ):
        for index, entry in enumerate(_entries(tree, table)):
            if key in entry:
                yield (table, index, key), said
    for index, entry in enumerate(_entries(tree, "fault")):
        if entry.get("kind") == "status":
            yield ("fault", index, "kind"), '"status" is of requests'


def _entries(tree: Mapping[str, Any], table: str) -> list[Mapping[str, Any]]:
    found = tree.get(table)
    entries = found if isinstance(found, list) else []
    return [one if isinstance(one, Mapping) else {} for one in entries]

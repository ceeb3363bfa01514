"""What the clients of a stream do once they are connected, and what of a scenario means nothing to them.

Imports: config, config.kinds, simulate. Used by: simulate.scenario,
simulate.sessiontargets, simulate.staging, simulate.world.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from lolly_tx.config.kinds.datagrams import of_datagrams
from lolly_tx.config.kinds.plain import Fraction
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.model import Config
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
            BYTES,
            "Bytes that its client sends in that time; of datagrams: in each. A size, or as a latency.",
        ),
    )
    received: Latency = attrs.field(
        default=Constant(65536.0),
        metadata=about(BYTES, "Bytes that its client gets, likewise."),
    )
    every: Latency = attrs.field(
        default=Constant(1.0),
        metadata=about(
            LATENCY,
            "Datagrams: from one that a client sends to its next: as a latency.",
        ),
    )
    answered: float = attrs.field(
        default=1.0,
        metadata=about(
            Fraction(0.0, 1.0),
            "Datagrams: the share that targets answer at all; 0 = nobody waits for an answer.",
        ),
    )


_FULL = 'is of requests; who is beyond "capacity" is refused'
_OF_REQUESTS = {
    "errors": "is of requests; a target of a stream refuses or resets",
    "when_full": _FULL,
    "queue": _FULL,
}
_OF_CONNECTIONS = {
    "errors": "is of requests; a target of datagrams refuses them, or is silent",
    "when_full": "is of requests; a target of datagrams refuses them, or is silent",
    "queue": "is of requests; say by `latency` how long they wait at a target",
    "capacity": "is of requests and connections; say by `latency` how long datagrams wait at a target",
}
"""What a target of a stream does not have, and why: of connections, and of datagrams."""


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
    udp = of_datagrams(stream.endpoint)
    load = tree.get("load")
    if isinstance(load, Mapping) and load.get("posts"):
        yield ("load", "posts"), "is of requests, and clients of a stream make none"
    session = tree.get("session")
    said_there = session if isinstance(session, Mapping) else {}
    for key in ("every", "answered"):
        if key in said_there and not udp:
            yield (
                ("session", key),
                f"is of datagrams, and stream {stream.name} passes none on",
            )
    for key, said in (_OF_CONNECTIONS if udp else _OF_REQUESTS).items():
        for index, entry in enumerate(_entries(tree, "target")):
            if key in entry:
                yield ("target", index, key), said
    for index, entry in enumerate(_entries(tree, "fault")):
        if entry.get("kind") == "status":
            yield ("fault", index, "kind"), '"status" is of requests'
        if udp and entry.get("kind") == "reset":
            yield (
                ("fault", index, "kind"),
                '"reset" is of connections; datagrams are lost by "hang", or refused by "refuse"',
            )


def _entries(tree: Mapping[str, Any], table: str) -> list[Mapping[str, Any]]:
    found = tree.get(table)
    entries = found if isinstance(found, list) else []
    return [one if isinstance(one, Mapping) else {} for one in entries]

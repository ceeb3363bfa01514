"""What happened to a node or a pool, as a value.

Imports: nothing of ours. Used by: domain.interfaces, domain.node, domain.roster,
domain.shared, domain.snapshot, net.library, service, service.checks, service.forwards,
service.records, service.tunnels, service.workers, simulate, testing.

Every change of one of the three facts of availability is exactly one `Event`.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Event:
    """One change, with its cause.

    `at`: seconds, monotonic clock. `pool`, `node`: names ("" when the event is the pool's own). `fact`:
    "health", "ejection", "enabled", "membership", "panic", "shadow"; "agent" (what a target says of itself),
    "drain" (a check asked for no new clients), "check" (one check of several changed its mind), "tunnel" (a connector
    that has the target is connected, or none is any more), "listener" (of the one that `node` names; it has no pool:
    what the operator says of it, and when a drain has ended), "connector" (of a tunnel: one of its connections has come
    or gone; `node` names it, and it has no pool), "local_fault" (of this machine: `node` says of what kind, and it has
    no pool). `old`, `new`: words of that fact, such as "up", "down", "ejected", "trial", "drain". `cause`: one line for
    a person: "check: 503 from /health", "passive: 3 failures, last: connection refused".
    """

    at: float
    pool: str
    node: str
    fact: str
    old: str
    new: str
    cause: str


CONNECTED_WORD, GONE_WORD = "connected", "gone"
"""Of the fact "connector"."""


def connector_event(at: float, name: str, new: str, cause: str) -> Event:
    """A connection of a connector has come or gone."""
    old = GONE_WORD if new == CONNECTED_WORD else CONNECTED_WORD
    return Event(at, "", name, "connector", old, new, cause)

"""The counters of a running proxy as JSON-able values: per listener, per pool, per connection pool.

Imports: net.sockets, proxy, service. Used by: service.service.

Everything here is read when somebody asks; the counters themselves are plain attributes.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.service.certificates import ListenerCertificates


def listener_statistics(acceptor: Acceptor) -> dict[str, Any]:
    """Connections of one listener, in numbers."""
    proxied = acceptor.proxied
    return {
        "accepted": acceptor.accepted,
        "open": len(acceptor.doors),
        "turned_away": acceptor.turned_away,
        "shed": acceptor.shed,
        "draining": acceptor.draining,
        "proxy_refused": {} if proxied is None else dict(proxied.refused),
    }


def tls_statistics(certificates: ListenerCertificates, wall: float) -> dict[str, Any]:
    """Handshakes of one listener, and the files behind them. `wall`: seconds since the epoch."""
    handshakes = certificates.credentials.handshakes
    served = certificates.credentials.certificates
    ends = min(one.leaf.not_valid_after_utc.timestamp() for one in served)
    return {
        "handshakes": handshakes.completed,
        "failed": dict(handshakes.failures),
        "certificates": {
            "renewed": certificates.renewed,
            "refused": certificates.refusals,
            "expires_in_seconds": round(ends - wall),
        },
    }


def pool_statistics(forwarder: Forwarder, in_flight: int, now: float) -> dict[str, Any]:
    """One pool: its exchanges, its extra attempts, its limits and its connections."""
    pool, counters = forwarder.pool, forwarder.counters
    budget, hedging, room = (
        forwarder.policy.budget,
        forwarder.policy.hedging,
        forwarder.policy.room,
    )
    return {
        "available": len(pool.available(now)),
        "targets": len(pool.nodes),
        "exchanges": counters.exchanges,
        "in_flight": in_flight,
        "bytes_in": counters.bytes_in,
        "bytes_out": counters.bytes_out,
        "failed": counters.failed,
        "gone": counters.gone,
        "refused": {"in_all": pool.refusals, "by_caps": pool.capped},
        "retries": forwarder.retries,
        "budget": None
        if budget is None
        else {
            "requests": budget.requests,
            "spent": budget.spent,
            "refused": budget.refused,
            "left": round(budget.balance(now), 2),
            "amplification": round(budget.amplification, 4),
        },
        "hedges": None
        if hedging is None
        else {"started": hedging.started, "won": hedging.won},
        "queue": None
        if room is None
        else {
            "waiting": len(room.line),
            "refused": room.line.refused,
            "expired": room.line.expired,
        },
        "panic": {"odds": round(pool.panic_odds, 6), "leases": pool.panics},
        "ejections": {
            "now": pool.ejections.count,
            "refused": pool.ejections.refused,
            "shadowed": pool.ejections.shadowed,
        },
        "connections": _connections(forwarder),
    }


def _connections(forwarder: Forwarder) -> dict[str, Any]:
    words = ("open", "idle", "connects", "unsolicited")
    each: dict[str, dict[str, int]] = {}
    for node, upstream in forwarder.upstreams:
        one = each.setdefault(node.id, dict.fromkeys(words, 0))
        for word in words:
            one[word] += getattr(upstream, word)
    total = {word: sum(one[word] for one in each.values()) for word in words}
    return {**total, "targets": each}

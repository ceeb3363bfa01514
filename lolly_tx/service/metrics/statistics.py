"""The counters of a running proxy as JSON-able values: per listener, per pool, per connection pool.

Imports: config, net.sockets, proxy, proxy.caching, proxy.streams, service,
service.certificates, service.forwards, service.records, service.tunnels. Used by:
service, service.upgrades.

Everything here is read when somebody asks; the counters themselves are plain attributes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from lolly_tx.config.model import Config
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.proxy.counters import Counters
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.proxy import Proxy
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.proxy.streams.streamnames import stream_of
from lolly_tx.service.listener_drains import ListenerDrains
from lolly_tx.service.listeners import Listeners, address_of
from lolly_tx.service.past import NOTHING, Past
from lolly_tx.service.pools import RunningPool
from lolly_tx.service.serving import Colleagues
from lolly_tx.service.stopping import Left
from lolly_tx.service.tunnels.running import Tunnels
from lolly_tx.service.watchdog import WatchdogSnapshot

if TYPE_CHECKING:
    from lolly_tx.proxy.caching.store import Store
    from lolly_tx.proxy.streams.streaming import StreamCounters
    from lolly_tx.service.certificates.files import ListenerCertificates
    from lolly_tx.service.records.recording import AccessLogs
    from lolly_tx.service.records.spans import Spans

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.forwards.places import Forward

POOLS_AT_ONCE = 50
"""Pools whose counters are told in one go, some 2 ms."""


class Counted(Protocol):
    """The running proxy, as far as it is counted."""

    listeners: Listeners
    resources: dict[str, ReverseProxyResource]
    running_pools: dict[str, RunningPool]
    past: Past
    colleagues: Colleagues | None
    listener_drains: ListenerDrains
    stream_counters: dict[str, StreamCounters]
    tunnels: Tunnels
    forwards: dict[str, Forward]

    @property
    def now(self) -> Callable[[], float]:
        """The monotonic clock, seconds."""

    @property
    def acceptors(self) -> Mapping[str, Acceptor]:
        """What makes doors for clients, by listener."""

    def statistics(self) -> dict[str, Any]:
        """All counters, of other processes as well."""


def telling_of(service: Counted, wall: float) -> Generator[None, None, dict[str, Any]]:
    """Listeners and pools, as this process counts them, some pools at each step. `wall`: seconds since the epoch."""
    now = service.now()
    files = dict(service.listeners.certificates)
    pools: dict[str, Any] = {}
    served = service.past.served(service.running_pools.values())
    told = {
        "listeners": {
            name: {
                **listener_statistics(acceptor),
                **request_statistics(service.resources[name].proxy),
                **served.get(name, NOTHING),
                **({"tls": tls_statistics(files[name], wall)} if name in files else {}),
            }
            for name, acceptor in service.acceptors.items()
            # One that is only prepared has nothing to tell.
            if name in service.resources
        }
        | {
            name: {
                **listener_statistics(acceptor),
                **stream_statistics(service.stream_counters[stream]),
                **({"tls": tls_statistics(files[name], wall)} if name in files else {}),
            }
            for name, acceptor in service.acceptors.items()
            if (stream := stream_of(name)) in service.stream_counters
        }
        | {
            name: {
                **listener_statistics(acceptor),
                **forward_statistics(one),
                **({"tls": tls_statistics(files[name], wall)} if name in files else {}),
            }
            for one in service.forwards.values()
            if (acceptor := service.acceptors.get(name := one.place_name)) is not None
        },
        "pools": pools,
        **service.tunnels.told(),
    }
    for number, (name, one) in enumerate(tuple(service.running_pools.items()), 1):
        pools[name] = pool_statistics(one.forwarder, one.in_flight, now)
        if not number % POOLS_AT_ONCE:
            yield
    return told


def places_of(service: Counted, counted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The listeners: where they are, how they are, and who is connected there, whichever process serves them.

    `counted`: all counters.
    """
    told, drains = counted["listeners"], service.listener_drains
    found, acceptors = [], service.acceptors
    for name, place in service.listeners.places.items():
        connections, oldest = _connections_at(service, acceptors, name)
        served = name in told
        found.append(
            {
                "name": name,
                "endpoint": place.text,
                "address": address_of(place.port),
                "tls": place.secure,
                "state": drains.state(name),
                "drain_ends_in_seconds": drains.left(name),
                "open": connections if served else None,
                "oldest_seconds": None if oldest is None else round(oldest, 3),
                "accepted": told[name]["accepted"] if served else None,
            }
        )
    return found


def awaited_by(config: Config) -> Iterator[str]:
    """Where clients and connectors are awaited, each with its endpoint, in the words of the statistics."""
    for one in config.listeners.values():
        yield f"{one.name} ({one.endpoint})"
    for kind, places in (
        ("stream", config.streams),
        ("forward", config.forwards),
        ("tunnel", config.tunnels),
    ):
        for name, place in places.items():
            yield f"{kind} {name} ({place.endpoint})"


def connections_at(service: Counted, name: str) -> tuple[int, float | None]:
    """How many there are at a listener, and the age of the oldest (s), whichever process serves them."""
    return _connections_at(service, service.acceptors, name)


def _connections_at(
    service: Counted, acceptors: Mapping[str, Acceptor], name: str
) -> tuple[int, float | None]:
    if service.colleagues is not None:
        return service.colleagues.connections(name)
    acceptor = acceptors.get(name)
    if acceptor is None:
        return 0, None
    return len(acceptor.doors), acceptor.oldest_seconds


def left_of(service: Counted) -> Left:
    """What is open in all, those of listeners that were removed included."""
    names, colleagues = service.acceptors, service.colleagues
    found = [_connections_at(service, names, name) for name in names]
    ages = [age for _, age in found if age is not None]
    if colleagues is not None:
        connections = sum(number for number, _ in found)
        in_flight = colleagues.in_flight(service.running_pools)
    else:
        connections = len(service.listeners.doors) + service.tunnels.streams
        in_flight = sum(each.in_flight for each in service.running_pools.values())
    return Left(connections, in_flight, max(ages, default=None))


def cache_statistics(caches: Iterable[Store]) -> dict[str, Any]:
    """What each of them has, and what became of requests; two of one name were one before a reload."""
    return {
        store.name: {
            "requests": store.counted(),
            "bytes_held": store.held,
            "entries": len(store),
            "stored": store.stored_count,
            "evicted": store.evicted,
            "file_errors": store.file_errors,
        }
        for store in caches
    }


def listener_statistics(acceptor: Acceptor) -> dict[str, Any]:
    """Connections of one listener, in numbers."""
    proxied = acceptor.proxied
    return {
        "accepted": acceptor.accepted,
        "open": len(acceptor.doors),
        "idle": sum(door.idle for door in acceptor.doors),
        "turned_away": acceptor.turned_away,
        "shed": acceptor.shed,
        "draining": acceptor.draining,
        "proxy_refused": {} if proxied is None else dict(proxied.refused),
    }


def request_statistics(proxy: Proxy) -> dict[str, Any]:
    """Requests to one listener that no pool has seen, in all and by status."""
    codes = {str(code): count for code, count in proxy.refused_codes.items()}
    return {"refused": proxy.refusals, "refused_codes": codes}


def stream_statistics(counters: StreamCounters) -> dict[str, Any]:
    """What became of the connections of one stream, in the words of requests, and by why they ended."""
    return {
        "refused": sum(counters.refused.values()),
        "refused_codes": {},
        "bytes_in": counters.sent,
        "bytes_out": counters.received,
        "streams": counters.served,
        "ended": dict(counters.ended),
        "without_target": dict(counters.refused),
        **_datagram_statistics(counters),
    }


def _datagram_statistics(counters: StreamCounters) -> dict[str, Any]:
    """What else there is of a stream of datagrams."""
    from lolly_tx.proxy.streams.datagrams import DatagramCounters

    if not isinstance(counters, DatagramCounters):
        return {}
    return {
        "datagrams": {
            "in": counters.datagrams,
            "out": counters.answers,
            "dropped_in": dict(counters.dropped_up),
            "dropped_out": dict(counters.dropped_down),
        }
    }


def forward_statistics(forward: Forward) -> dict[str, Any]:
    """What became of the requests and tunnels of one forward proxy; by why, of those that went nowhere."""
    counters = forward.counters
    return {
        **request_statistics(forward.proxy),
        "bytes_in": counters.bytes_in,
        "bytes_out": counters.bytes_out,
        "exchanges": counters.exchanges,
        "codes": _codes(counters),
        "in_flight": forward.in_flight,
        "failed": counters.failed,
        "denied": dict(forward.proxy.turned_away),
    }


def _codes(counters: Counters) -> dict[str, int]:
    """Exchanges by their status, over all listeners."""
    found: Counter[str] = Counter()
    for served in counters.served.values():
        found.update({str(code): count for code, count in served.codes.items()})
    return dict(found)


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


def process_statistics(
    seen: WatchdogSnapshot, cpu: float, logs: AccessLogs | None, spans: Spans | None
) -> dict[str, Any]:
    """One process. `cpu`: seconds of processor time it has used. `logs`, `spans`: what it tells of exchanges."""
    return {
        "cpu_seconds": cpu,
        "stalls": seen.stalls,
        "stall_seconds": round(seen.recent, 6),
        "log_lines": {
            "written": 0 if logs is None else logs.written,
            "dropped": 0 if logs is None else logs.dropped,
        },
        "spans": {
            "exported": 0 if spans is None else spans.exported,
            "dropped": 0 if spans is None else spans.dropped,
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
        "refused": {"in_all": pool.refusals, "by_caps": pool.caps.refused},
        "retries": forwarder.retries,
        "served": {name: one.as_dict() for name, one in counters.served.items()},
        "budget": None
        if budget is None
        else {
            "requests": budget.requests,
            "spent": budget.spent,
            "refused": budget.refused,
            "left": round(budget.balance(now), 2),
            "amplification": round(budget.amplification, 4),
        },
        "hedged": forwarder.hedges,
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
        "panic": {
            "odds": round(pool.choice.panic_odds, 6),
            "leases": pool.choice.panics,
        },
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
    # Counters of a pool do not fall when a target leaves it.
    for word, number in forwarder.upstreams.departed.items():
        total[word] += number
    return {**total, "targets": each}

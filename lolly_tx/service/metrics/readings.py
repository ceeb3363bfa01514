"""What pools, listeners and processes have, as samples: families with their lines, read from the statistics.

Imports: _version, domain, service, service.metrics, service.process, wire, Twisted.
Used by: service.metrics.exposition.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from twisted import __version__ as twisted_version

from lolly_tx._version import __version__
from lolly_tx.domain.histogram import NONE, Exemplar, filled_in
from lolly_tx.domain.pool import Pool
from lolly_tx.service.generation import Discovering
from lolly_tx.service.metrics import families as f
from lolly_tx.service.process.procfs import Processes
from lolly_tx.wire.exposition import Family, filled, with_exemplars

SILENT_SECONDS = 2.0
"""A worker that was not heard of for so long is not up; it says something ten times in a second."""

Told = Mapping[str, Any]
Found = tuple[Family, Iterator[str]]


def _one(family: Family, value: float) -> Found:
    return family, iter((family.line("", value),))


def _each(family: Family, samples: Iterable[tuple[tuple[object, ...], float]]) -> Found:
    return family, (family.line(family.of(*of), number) for of, number in samples)


def no_exemplars(pool: str) -> Mapping[int, Exemplar]:
    """Of no pool."""
    return {}


def of_pools(
    told: Mapping[str, Told],
    pools: Sequence[Pool],
    exemplars: Callable[[str], Mapping[int, Exemplar]] = no_exemplars,
) -> Iterator[Found]:
    """What is counted of whole pools. `told`: by name; one that just came may be missing. `exemplars`: of a pool."""
    there = [(pool, told[pool.name]) for pool in pools if pool.name in told]
    yield (
        f.REQUEST_SECONDS,
        (_request_seconds(pool.name, one, exemplars(pool.name)) for pool, one in there),
    )
    checked = [pool for pool, _ in there if any(pool.check_times.counts)]
    yield (
        f.CHECK_SECONDS,
        (
            filled(
                f.CHECK_SECONDS.form(f.CHECK_SECONDS.of(p.name)), *p.check_times.told
            )
            for p in checked
        ),
    )
    numbers: tuple[tuple[Family, Callable[[Pool, Told], float]], ...] = (
        (f.POOL_IN_FLIGHT, lambda _, one: one["in_flight"]),
        (f.REFUSALS, lambda pool, _: pool.refusals),
        (f.RETRIES, lambda _, one: one["retries"]),
        (f.HEDGES, lambda _, one: one["hedged"]),
        (f.AMPLIFICATION, lambda _, one: _amplification(one)),
        (f.QUEUE, lambda _, one: one["queue"]["waiting"] if one["queue"] else 0),
    )
    for family, number in numbers:
        yield _each(family, (((p.name,), number(p, one)) for p, one in there))
    yield _each(
        f.UPSTREAM_CONNECTIONS,
        (
            sample
            for pool, one in there
            for sample in _by_state(pool.name, one["connections"])
        ),
    )


def _request_seconds(name: str, one: Told, exemplars: Mapping[int, Exemplar]) -> str:
    family = f.REQUEST_SECONDS
    counts, seconds = _durations(one)
    made = filled(family.form(family.of(name)), counts, seconds)
    return with_exemplars(made, counts, exemplars) if exemplars else made


def _durations(one: Told) -> tuple[list[int], float]:
    """How long requests of a pool took, over all listeners."""
    slower, total, seconds = list(NONE), 0, 0.0
    for served in one["served"].values():
        total += sum(served["codes"].values())
        seconds += served["seconds"]
        for place, count in served["slower"].items():
            slower[int(place)] += count
    return filled_in(total, slower), seconds


def _amplification(one: Told) -> float:
    requests = one["exchanges"]
    extra = one["retries"] + one["hedged"]
    return round(1.0 + extra / requests, 6) if requests else 1.0


def _by_state(name: str, told: Told) -> Iterator[tuple[tuple[str, str], int]]:
    yield (name, "active"), max(0, told["open"] - told["idle"])
    yield (name, "idle"), told["idle"]


def of_listeners(
    told: Mapping[str, Told], pools: Mapping[str, Told]
) -> Iterator[Found]:
    """What is counted of listeners, and of the requests that came by them."""
    served = (
        ((pool, listener, code), count)
        for pool, one in pools.items()
        for listener, served in one["served"].items()
        for code, count in served["codes"].items()
    )
    refused = (
        (("", listener, code), count)
        for listener, one in told.items()
        for code, count in _own_codes(one).items()
    )
    yield _each(f.REQUESTS, chain(served, refused))
    yield _each(
        f.BYTES,
        [
            ((name, direction), one[f"bytes_{direction}"])
            for name, one in told.items()
            for direction in ("in", "out")
        ],
    )
    yield _each(
        f.CONNECTIONS, [s for n, one in told.items() for s in _by_state(n, one)]
    )
    for family, word in ((f.ACCEPTED, "accepted"), (f.TURNED_AWAY, "turned_away")):
        yield _each(family, [((name,), one[word]) for name, one in told.items()])
    yield _reasons(
        f.PROXY_REFUSED, {n: one["proxy_refused"] for n, one in told.items()}
    )
    streams = {name: one for name, one in told.items() if "ended" in one}
    yield _reasons(f.SESSIONS, {n: one["ended"] for n, one in streams.items()})
    yield _reasons(
        f.SESSIONS_REFUSED, {n: one["without_target"] for n, one in streams.items()}
    )
    datagrams = {n: one["datagrams"] for n, one in told.items() if "datagrams" in one}
    yield _each(
        f.DATAGRAMS,
        [
            ((name, way), one[way])
            for name, one in datagrams.items()
            for way in ("in", "out")
        ],
    )
    yield _each(
        f.DATAGRAMS_DROPPED,
        [
            ((name, way, reason), count)
            for name, one in datagrams.items()
            for way in ("in", "out")
            for reason, count in one[f"dropped_{way}"].items()
        ],
    )
    secure = {name: one["tls"] for name, one in told.items() if "tls" in one}
    yield _each(f.HANDSHAKES, [((n,), one["handshakes"]) for n, one in secure.items()])
    yield _reasons(f.HANDSHAKES_FAILED, {n: one["failed"] for n, one in secure.items()})
    files = {name: one["certificates"]["refused"] for name, one in secure.items()}
    yield _each(f.CERTIFICATES_REFUSED, (((n,), count) for n, count in files.items()))


def _own_codes(told: Told) -> Counter[str]:
    """Requests that no pool has seen, by status: those of forward proxies are among them."""
    found: Counter[str] = Counter(told["refused_codes"])
    found.update(told.get("codes", {}))
    return found


def _reasons(family: Family, told: Mapping[str, Mapping[str, int]]) -> Found:
    return _each(
        family,
        [
            ((listener, reason), count)
            for listener, reasons in told.items()
            for reason, count in reasons.items()
        ],
    )


def of_certificates(
    served: Iterable[tuple[str, float]], acme: Told | None, ocsp: Told | None = None
) -> Iterator[Found]:
    """When they end: of several for one host, the first to end. And what clients are shown with them."""
    ends: dict[str, float] = {}
    for name, end in served:
        ends[name] = min(end, ends.get(name, end))
    yield _each(f.EXPIRY, [((name,), end) for name, end in ends.items()])
    if acme is not None:
        words = ("issued", "failed")
        yield _each(f.ACME_ORDERS, [((word,), acme[word]) for word in words])
        yield _one(f.ACME_FAILING, acme["failing"])
        shared: Mapping[str, Told] = acme.get("shared", {})
        if shared:
            yield _each(
                f.ACME_TURN, [((of,), int(x["ours"])) for of, x in shared.items()]
            )
            there = [((of,), one["instances"]) for of, one in shared.items()]
            yield _each(f.ACME_INSTANCES, there)
            trouble = [((of,), int(bool(x["trouble"]))) for of, x in shared.items()]
            yield _each(f.ACME_TROUBLE, trouble)
    if ocsp is not None and ocsp["certificates"]:
        statuses = ("good", "revoked", "none")
        yield _each(f.STAPLES, [((word,), ocsp[word]) for word in statuses])
        results = (("answered",), ocsp["answers"]), (("failed",), ocsp["failed"])
        yield _each(f.STAPLE_REQUESTS, results)


def of_discoveries(
    discoveries: Discovering | None, pools: Iterable[str]
) -> Iterator[Found]:
    """What is known of who finds targets."""
    shown = {} if discoveries is None else {p: discoveries.shown(p) for p in pools}
    there = {pool: one for pool, one in shown.items() if one is not None}
    if not there:
        return
    yield _each(f.DISCOVERED, (((p,), one["targets"]) for p, one in there.items()))
    yield _each(
        f.DISCOVERY_AGE,
        (
            ((p,), one["age_seconds"])
            for p, one in there.items()
            if one["age_seconds"] is not None
        ),
    )
    yield _each(
        f.DISCOVERY_STALE,
        (((p,), int(one["state"] == "stale")) for p, one in there.items()),
    )
    yield _each(
        f.DISCOVERY_FAILURES, (((p,), one["failures"]) for p, one in there.items())
    )


def of_caches(told: Told) -> Iterator[Found]:
    """What caches have, and what came of it."""
    caches: Mapping[str, Told] = told.get("caches", {})
    yield _each(
        f.CACHE_REQUESTS,
        [
            ((name, result), count)
            for name, one in caches.items()
            for result, count in one["requests"].items()
        ],
    )
    for family, word in (
        (f.CACHE_BYTES, "bytes_held"),
        (f.CACHE_ENTRIES, "entries"),
        (f.CACHE_STORED, "stored"),
        (f.CACHE_EVICTIONS, "evicted"),
        (f.CACHE_FILE_ERRORS, "file_errors"),
    ):
        yield _each(
            family, [((name,), one.get(word, 0)) for name, one in caches.items()]
        )


def of_stores(told: Told) -> Iterator[Found]:
    """How stores are, and what became of questions to them."""
    stores: Mapping[str, Told] = told.get("stores", {})
    for family, word in (
        (f.STORE_AWAY, "away"),
        (f.STORE_LOSSES, "losses"),
        (f.STORE_SHARERS, "sharers"),
    ):
        yield _each(family, [((name,), one[word]) for name, one in stores.items()])
    yield _each(
        f.STORE_QUESTIONS,
        [
            ((name, result), count)
            for name, one in stores.items()
            for result, count in one["questions"].items()
        ],
    )
    heard = {name: one["purges"] for name, one in stores.items() if one["purges"]}
    yield _each(
        f.STORE_LISTENING,
        [((name,), int(one["listening"])) for name, one in heard.items()],
    )
    caches = [
        ((name, cache), counts)
        for name, one in heard.items()
        for cache, counts in one["caches"].items()
    ]
    yield _each(
        f.STORE_PURGES,
        [
            ((*of, result), counts[result])
            for of, counts in caches
            for result in ("told", "heard", "ignored", "missed")
        ],
    )
    yield _each(f.STORE_UNTOLD, [(of, counts["untold"]) for of, counts in caches])


def of_tunnels(told: Told) -> Iterator[Found]:
    """Who is connected to tunnels, and what went through them."""
    shown = told.get("tunnels", {"tunnels": {}, "denied": {}, "connectors": {}})
    each = [
        ((tunnel, name), one)
        for tunnel, there in shown["tunnels"].items()
        for name, one in there.items()
    ]
    yield _each(f.TUNNEL_CONNECTORS, [(of, len(one["connected"])) for of, one in each])
    yield _each(
        f.TUNNEL_STREAMS,
        [(of, sum(c["streams"] for c in one["connected"])) for of, one in each],
    )
    yield _each(f.TUNNEL_JOINED, [(of, one["joined"]) for of, one in each])
    yield _each(
        f.TUNNEL_BYTES,
        [
            ((*of, direction), one[f"bytes_{direction}"])
            for of, one in each
            for direction in ("in", "out")
        ],
    )
    yield _each(
        f.TUNNEL_DENIED,
        [
            ((tunnel, reason), number)
            for tunnel, denied in shown["denied"].items()
            for reason, number in denied.items()
        ],
    )
    yield _each(
        f.CONNECTOR_UP,
        [
            ((name,), sum(one["state"] == "up" for one in there))
            for name, there in shown["connectors"].items()
        ],
    )


def of_processes(
    told: Told, read: Callable[[Iterable[int]], Processes]
) -> Iterator[Found]:
    """What runs, by which settings, and how it fares."""
    settings, process = told["settings"], told["process"]
    yield _one(f.GENERATION, settings["generation"])
    yield _one(f.LAST_RELOAD, int(settings["last_reload_ok"]))
    yield _one(f.RELOADS_REFUSED, settings["reload_failures"])
    faults = told.get("local_faults", {"now": None, "count": 0})
    matter = faults["now"]["kind"] if faults["now"] else ""
    kinds = ("network", "resources")
    yield _each(f.LOCAL_FAULT, [((kind,), int(kind == matter)) for kind in kinds])
    yield _one(f.LOCAL_FAULTS, faults["count"])
    yield _one(f.STALL, process["stall_seconds"])
    yield _one(f.STALLS, process["stalls"])
    words = ("written", "dropped")
    yield _each(f.LOG_LINES, [((w,), process["log_lines"][w]) for w in words])
    words = ("exported", "dropped")
    yield _each(f.SPANS, [((w,), process["spans"][w]) for w in words])
    workers = told.get("workers", ())
    yield _each(f.WORKER_UP, [((w["worker"],), int(_is_up(w))) for w in workers])
    yield _each(f.WORKER_STARTS, [((w["worker"],), w["starts"]) for w in workers])
    runs = (__version__, platform.python_version(), twisted_version)
    yield _each(f.BUILD, [(runs, 1)])
    yield _one(f.CPU, process["cpu_seconds"])
    seen = read([os.getpid(), *(w["pid"] for w in workers if w["pid"])])
    yield _one(f.RESIDENT, seen.resident)
    yield _one(f.VIRTUAL, seen.virtual)
    yield _one(f.OPEN_FDS, seen.open_fds)
    yield _one(f.MAX_FDS, seen.max_fds)
    yield _one(f.STARTED, seen.started)


def _is_up(worker: Told) -> bool:
    silent = worker["silent_seconds"]
    return bool(worker["serving"]) and silent is not None and silent < SILENT_SECONDS

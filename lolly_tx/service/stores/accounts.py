"""How a store is, for who is woken by it: what it is, since when and why, what that means, and what it has been.

    facts     in the order in which one would look: the connection, its answers, what it refuses, who shares it, purges

Imports: config, net.stores. Used by: service.service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lolly_tx.config.stores import store_facts
from lolly_tx.net.stores.store import SharedStore

Told = Mapping[str, Any]


def store_account(
    store: SharedStore, told: Told, users: Sequence[str], now: float
) -> dict[str, Any]:
    """All of it, as JSON-able values. `told`: what statistics say of it; `users`: who names it."""
    settings, past = store.settings, store.past
    named = {settings.name: users}
    facts = list(_facts(store, told, now))
    bad = [one for one in facts if not one["good"]]
    return {
        **told,
        "name": settings.name,
        "url": settings.url,
        "used_by": list(users),
        "since_seconds": _since(store, now),
        "summary": "; ".join(_sentence(one) for one in bad or facts[:2]),
        "facts": facts,
        "consequences": [
            text for _, text, _ in store_facts({settings.name: settings}, named)
        ],
        "answers_in_seconds": past.answered_in,
        "clock_offset_seconds": store.offset,
        "history": [
            {
                "seconds_ago": max(0.0, now - one.at),
                "state": "here" if one.here else "away",
                "why": one.why,
            }
            for one in reversed(past.changes)
        ],
    }


def _since(store: SharedStore, now: float) -> float | None:
    """How long it has been what it is; None: it was never anything else."""
    changes = store.past.changes
    return max(0.0, now - changes[-1].at) if changes else None


def _fact(name: str, state: str, good: bool, detail: str = "", **more: Any) -> Told:
    return {
        "fact": name,
        "state": state,
        "good": good,
        "detail": detail,
        "since_seconds": None,
        **more,
    }


def _sentence(fact: Told) -> str:
    detail = f" ({fact['detail']})" if fact["detail"] else ""
    return f"{fact['fact']}: {fact['state']}{detail}"


def _facts(store: SharedStore, told: Told, now: float) -> Iterator[Told]:
    state, away = told["state"], told["away"]
    others = f"away for {away} processes" if store.here and away else ""
    yield _fact(
        "connection",
        state,
        store.here and not away,
        store.why or others,
        since_seconds=_since(store, now),
    )
    timeout, took = store.settings.timeout, store.past.answered_in
    yield _fact(
        "answers",
        "none yet" if took is None else f"in {1000 * took:.1f} ms",
        took is not None and took <= timeout,
        f"each has {1000 * timeout:g} ms",
    )
    asked = told["questions"]
    refused = asked["refused"]
    words = [f"{asked[word]} {word}" for word in ("late", "lost", "skipped")]
    yield _fact("questions", f"{asked['asked']} asked", True, ", ".join(words))
    said = f"the latest: {store.past.refusal}" if store.past.refusal else ""
    yield _fact("refusals", str(refused), not said, said)
    yield _fact(
        "processes",
        str(told["sharers"]) if told["sharers"] else "not known",
        bool(told["sharers"]),
        "as it counts those that share limits",
    )
    purges = told["purges"]
    if purges is not None:
        yield from _of_purges(purges)


def _of_purges(purges: Told) -> Iterator[Told]:
    there = purges["listening"]
    yield _fact("subscription", "there" if there else "away", there, purges["why"])
    for name, one in purges["caches"].items():
        words = [f"{one[word]} {word}" for word in ("told", "heard", "ignored")]
        if one["untold"]:
            words.append(f"{one['untold']} wait to be told")
        if one["missed"]:
            words.append(f"purged as a whole {one['missed']} times")
        behind = one["behind"]
        yield _fact(
            f"purges of {name}",
            "some may be missing" if behind else "all heard",
            not behind and not one["untold"],
            ", ".join(words),
        )

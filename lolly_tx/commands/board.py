"""What a proxy is doing, as lines of text: what is wrong first.

Imports: commands. Used by: commands.top.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from lolly_tx.commands.base import ago, shown, size, table
from lolly_tx.commands.moments import Moments, Row

STALE_SECONDS = 3.0
"""What was told longer ago is not what is now; something is told each second."""
_EXPIRY_SECONDS = 14 * 86400.0

GOOD, BAD, TITLE, PLAIN = "good", "bad", "title", ""


@attrs.frozen
class Line:
    """`mark`: how it is to stand out."""

    text: str
    mark: str = PLAIN


def head(moments: Moments, silent_seconds: float, trouble: str) -> list[Line]:
    """The verdict, and of which proxy. `silent_seconds`: since something was told; `trouble`: why nothing since."""
    proxy = moments.rows.get("proxy")
    if proxy is None:
        return [Line(shown(trouble) or "waiting for an answer", BAD)]
    lines = [Line(shown(proxy["verdict"]), GOOD if proxy["well"] else BAD)]
    if silent_seconds >= STALE_SECONDS:
        why = f": {shown(trouble)}" if trouble else ""
        lines.append(Line(f"STALE, {silent_seconds:.0f} s old{why}", BAD))
    lines.append(
        Line(
            shown(
                f"lolly_tx {proxy['version']}, {proxy['file']}:"
                f" generation {proxy['generation']}, since {proxy['loaded_at']}"
            )
        )
    )
    return lines


_PLACES = (
    ("listener", "LISTENERS", "REQ/S", "REFUSED/S"),
    ("stream", "STREAMS", "ENDED/S", "NO TARGET/S"),
    ("forward", "FORWARD PROXIES", "REQ/S", "DENIED/S"),
)
"""Kinds of places where clients come, and what is called how there."""


def body(moments: Moments) -> list[Line]:
    """What is wrong, then pools, targets, the places where clients come, and workers."""
    lines: list[Line] = []
    for mark, rows in (
        (BAD, _wrong(moments)),
        (PLAIN, _pools(moments)),
        (PLAIN, _targets(moments)),
        *((PLAIN, _places(moments, *each)) for each in _PLACES),
        (PLAIN, _workers(moments)),
    ):
        first, *others = table([[shown(cell) for cell in row] for row in rows])
        if others:
            lines += [Line(""), Line(first, TITLE)]
            lines += [Line(one, mark) for one in others]
    return lines


def _out_first(one: tuple[str, Row]) -> tuple[bool, str]:
    return one[1]["state"] == "up", one[0]


def _wrong(moments: Moments) -> list[list[str]]:
    rows = [["WRONG NOW", "STATE", "SINCE", "CAUSE", "BACK"]]
    for _, one in sorted(moments.of("target/"), key=_out_first):
        if one["state"] != "up":
            since = one["since"]
            age = None if since is None else max(0.0, moments.at - since)
            # "unhealthy: back after one more good check": the state has a column.
            back = one["back"].partition(": ")[2].removeprefix("back ")
            name = f"{one['pool']}/{one['id']}"
            rows.append(
                [name, one["state"], ago(age), one["cause"] or "-", back or "-"]
            )
    return [*rows, *_wrong_besides(moments)]


def _wrong_besides(moments: Moments) -> Iterator[list[str]]:
    """What is wrong with anything but targets."""
    for _, one in moments.of("pool/"):
        if not one["targets"]:
            yield [f"pool {one['name']}", "no targets", "-", "-", "-"]
    for _, one in moments.of("listener/"):
        if one["state"] != "up":
            yield [f"listener {one['name']}", one["state"], "-", "-", "-"]
    for _, one in moments.of("worker/"):
        if not one["serving"]:
            cause = one["why"] or "-"
            yield [f"worker {one['worker']}", one["state"], "-", cause, "-"]
    for _, one in moments.of("certificate/"):
        left = datetime.fromisoformat(one["not_after"]).timestamp() - moments.at
        if left < _EXPIRY_SECONDS or one["refused"]:
            state = f"{left / 86400:.0f} days left" if left > 0 else "expired"
            name = f"certificate {', '.join(one['names'][:2])}"
            yield [name, state, "-", one["refused"] or "-", "-"]
    proxy = moments.rows["proxy"]
    if not proxy["last_reload_ok"]:
        yield ["settings", "reload refused", "-", "see the log", "-"]
    if proxy["unconfirmed_until"]:
        yield ["settings", "on trial", "-", "-", f"at {proxy['unconfirmed_until']}"]


def _pools(moments: Moments) -> list[list[str]]:
    rows = [
        [
            *("POOLS", "AVAILABLE", "REQ/S", "FAILED/S", "REFUSED/S", "RETRIES/S"),
            *("IN/S", "OUT/S", "P50", "P99", "IN FLIGHT", "QUEUE", "CONNECTIONS"),
        ]
    ]

    def order(one: tuple[str, Row]) -> tuple[float, float, str]:
        key, row = one
        share = row["available"] / row["targets"] if row["targets"] else 0.0
        return share, -moments.change(key, "exchanges"), key

    for key, one in sorted(moments.of("pool/"), key=order):
        counters = ("exchanges", "failed", "refused", "retries")
        rows.append(
            [
                one["name"],
                f"{one['available']} of {one['targets']}",
                *(_rate(moments.rate(key, word)) for word in counters),
                *_bytes(moments, key),
                moments.percentile(key, 0.5),
                moments.percentile(key, 0.99),
                str(one["in_flight"]),
                "-" if one["queue"] is None else str(one["queue"]["waiting"]),
                f"{one['open']} ({one['idle']} idle)",
            ]
        )
    return rows


def _targets(moments: Moments) -> list[list[str]]:
    rows = [
        [
            *("TARGETS", "STATE", "REQ/S", "FAILED/S", "MEAN", "IN/S", "OUT/S"),
            *("IN FLIGHT", "ADDRESS"),
        ]
    ]

    def order(one: tuple[str, Row]) -> tuple[bool, float, str]:
        key, row = one
        return row["state"] == "up", -moments.change(key, "requests"), key

    for key, one in sorted(moments.of("target/"), key=order):
        room = "" if one["room"] is None else f" of {one['room']}"
        rows.append(
            [
                f"{one['pool']}/{one['id']}",
                "up, full" if one["full"] and one["state"] == "up" else one["state"],
                _rate(moments.rate(key, "requests")),
                _rate(moments.rate(key, "failures")),
                moments.mean(key),
                *_bytes(moments, key),
                f"{one['in_flight']}{room}",
                one["address"],
            ]
        )
    return rows


def _places(
    moments: Moments, kind: str, title: str, served: str, refused: str
) -> list[list[str]]:
    rows = [
        [
            *(title, "STATE", "OPEN", "NEW/S", served, refused, "IN/S", "OUT/S"),
            *("TURNED AWAY/S", "SHED/S", "ENDPOINT"),
        ]
    ]
    for key, one in sorted(moments.of("listener/")):
        if one["kind"] == kind:
            before, after = ("accepted", "served", "refused"), ("turned_away", "shed")
            rows.append(
                [
                    one["name"].removeprefix(f"{kind} "),
                    one["state"],
                    "-" if one["open"] is None else str(one["open"]),
                    *(_rate(moments.rate(key, word)) for word in before),
                    *_bytes(moments, key),
                    *(_rate(moments.rate(key, word)) for word in after),
                    one["endpoint"],
                ]
            )
    return rows


def _bytes(moments: Moments, key: str) -> Iterator[str]:
    """From and to clients, in a second."""
    for word in ("bytes_in", "bytes_out"):
        rate = moments.rate(key, word)
        yield "-" if rate is None else size(rate)


def _workers(moments: Moments) -> list[list[str]]:
    rows = [["WORKERS", "STATE", "PROCESS", "RESTARTS"]]
    for _, one in moments.of("worker/"):
        pid = str(one["pid"] or "-")
        rows.append([str(one["worker"]), one["state"], pid, str(one["restarts"])])
    return rows


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:.0f}"

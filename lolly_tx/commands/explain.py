"""`lolly explain`: why a target is in the state it is in, or where a request would go.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.python import usage

from lolly_tx.commands.base import AskingCommand, ago, table
from lolly_tx.commands.client import AdminClient, path_of
from lolly_tx.commands.declared import Takes
from lolly_tx.commands.found import discovery_lines, fault_lines
from lolly_tx.commands.storelines import store_account_lines

_SHOWN = 20
"""Of the routes that a request does not go by."""

_REQUEST = ("host", "path", "client", "cookie", "listener", "method", "stream")


class ExplainCommand(AskingCommand):
    """`lolly explain POOL [TARGET]`, `[POOL] --path /x --host y`, `--stream NAME` or `--store NAME`."""

    name = "explain"
    summary = "Tell why a target is in or out, or chosen."
    words = (Takes("POOL"), Takes("TARGET"))
    takes: ClassVar = {
        "header": Takes("LINE"),
        "store": Takes("NAME"),
        **{one: Takes(one.upper()) for one in _REQUEST},
    }
    synopsis = (
        "POOL [TARGET] | [POOL] --path PATH [--host HOST] [--client ADDRESS] ..."
        " | --stream NAME [--host SNI] [--client ADDRESS] | --store NAME"
    )
    longdesc = (
        "With a pool: why each of its targets is in or out of service, on what evidence,"
        " and what would bring it back. With --path or --host: which target such a"
        " request would get, and why not the others; nothing is sent. With --stream: the same"
        " for a client of a stream, who asks for --host in its ClientHello. With --store: how a"
        " store is, since when and why, and what that means."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["host", None, "", "Host of the request."],
        ["path", None, "", "Its path, with the query."],
        ["method", None, "", "Its method."],
        ["client", None, "", "The client's address."],
        ["cookie", None, "", "Its Cookie field."],
        ["listener", None, "", "The listener it comes in by."],
        ["stream", None, "", "The stream whose client it is."],
        ["store", None, "", "A store, in place of a pool."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["header"] = []

    def opt_header(self, line: str) -> None:
        """One more field of the request, "Name: value"; may be repeated."""
        self["header"].append(line)

    def parseArgs(self, pool: str = "", target: str = "") -> None:
        """Take the names."""
        self["pool"], self["target"] = pool, target

    def postOptions(self) -> None:
        """A pool or a request; not a target and a request."""
        super().postOptions()
        self["request"] = bool(self["header"] or any(self[word] for word in _REQUEST))
        if self["store"] and (self["pool"] or self["request"]):
            raise usage.UsageError("--store stands by itself")
        if not (self["pool"] or self["request"] or self["store"]):
            raise usage.UsageError("needs a POOL, or a request: --path PATH")
        if self["target"] and self["request"]:
            raise usage.UsageError("a TARGET has no meaning with a request")
        if self["pool"] and self["stream"]:
            raise usage.UsageError(
                "a POOL has no meaning with --stream, which has some"
            )

    def ask(self, client: AdminClient) -> Any:
        """One question."""
        if self["store"]:
            return client.get(path_of("api", "stores", self["store"]))
        if self["request"]:
            query = {word: self[word] for word in (*_REQUEST, "pool", "header")}
            return client.get(path_of("api", "explain-request", **query))
        names = [self["pool"], *([self["target"]] if self["target"] else [])]
        return client.get(path_of("api", "explain", *names))

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """The answer, for people."""
        if self["store"]:
            return store_account_lines(answer)
        if self["request"]:
            return _request_lines(answer)
        if self["target"]:
            return _target_lines(answer)
        out = [f"pool {answer['pool']}: {answer['available']} available"]
        out += discovery_lines(answer.get("discovery"))
        out += fault_lines(answer.get("local_fault"))
        if answer["panic_odds"]:
            out.append(f"  panic: {answer['panic_odds']:.2%} of the exchanges")
        for one in answer["targets"]:
            out.append(f"  {one['id']}  {one['summary']}")
        return out


def _target_lines(one: dict[str, Any]) -> list[str]:
    out = [f"{one['pool']}/{one['id']} ({one['address']})", f"  {one['summary']}"]
    out += [*fault_lines(one.get("local_fault")), ""]
    rows = []
    for fact in one["facts"]:
        since = fact["since_seconds"]
        cause = f"{ago(since)}: {fact['cause']}" if since is not None else ""
        mark = "ok" if fact["good"] else "NO"
        rows.append([mark, fact["fact"], fact["state"], fact["detail"], cause])
    out += table(rows, "  ")
    for title, key in (("last checks", "checks"), ("last failures", "failures")):
        seen = one["evidence"][key]
        out += ["", f"  {title}:" if seen else f"  {title}: none"]
        if seen:
            out += table([_seen(each) for each in seen], "    ")
    history = one["history"]
    out += ["", "  history:" if history else "  history: nothing has happened"]
    if history:
        events = [
            [
                ago(event["seconds_ago"]),
                event["fact"],
                f"{event['old'] or '-'} -> {event['new'] or '-'}",
                event["cause"],
            ]
            for event in history
        ]
        out += table(events, "    ")
    return out


def _seen(one: dict[str, Any]) -> list[str]:
    took = one["took_seconds"]
    return [
        ago(one["seconds_ago"]),
        "good" if one["ok"] else "bad",
        "-" if took is None else f"{took * 1000:.1f} ms",
        one["cause"],
    ]


def _route_lines(answer: dict[str, Any]) -> list[str]:
    """Which route it is, what it passes, and why it is none of the others."""
    if "stream" in answer:
        through = ", ".join(answer["use"])
        return [f"stream {answer['stream']}" + (f", through {through}" * bool(through))]
    if "routes" not in answer:  # they were skipped
        return []
    out = []
    if answer["route"] is not None:
        out.append(f"route {answer['route']}, listener {answer['listener']}")
    if answer["use"]:
        out.append(f"through {', '.join(answer['use'])}")
    others = [one for one in answer["routes"] if one["why_not"]]
    if others:
        out.append("not by:")
        out += table([[one["route"], one["why_not"]] for one in others[:_SHOWN]], "  ")
    if len(others) > _SHOWN:
        out.append(f"  and {len(others) - _SHOWN} more")
    return out


def _request_lines(answer: dict[str, Any]) -> list[str]:
    routes = _route_lines(answer)
    if answer["pool"] is None:
        return [answer["why"], *routes]
    choice = answer["choice"] or "not known in advance"
    out = [
        f"pool {answer['pool']}, balancer {answer['balancer']}"
        + (f", key {answer['key']!r}" if answer["key"] is not None else ""),
        f"choice: {choice} ({answer['why']})",
    ]
    rows = [["TARGET", "EXCLUDED", "TIER", "PREFERENCE", "IN FLIGHT", "WEIGHT"]]
    rows += [
        [
            ("* " if row["id"] == answer["choice"] else "  ") + row["id"],
            row["excluded"] or "-",
            f"{row['tier']} ({row['tier_load_percent']} %)",
            str(row["preference"] or "-"),
            str(row["in_flight"]),
            f"{row['weight']:g}",
        ]
        for row in answer["candidates"]
    ]
    tries = answer["tries"]
    left = tries["budget_left"]
    out += table(rows, "  ")
    out.append(
        f"at most {tries['at_most']} tries, after: {', '.join(tries['on']) or 'nothing'}"
        + (f"; the budget has {left:g} left" if left is not None else "")
    )
    return [*out, *routes]

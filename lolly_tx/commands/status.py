"""`lolly status` and `lolly events`: what a running proxy is doing, and what has happened.

Imports: commands. Used by: commands.catalog, commands.operate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lolly_tx.commands.base import AskingCommand, ago, shown, size, table
from lolly_tx.commands.client import AdminClient
from lolly_tx.commands.found import discovery_lines, fault_lines
from lolly_tx.commands.storelines import store_lines


class StatusCommand(AskingCommand):
    """`lolly status`: readiness, listeners, pools and targets."""

    name = "status"
    summary = "Show what the running proxy is doing."
    synopsis = "[--json]"
    longdesc = (
        "Shows the listeners, pools and targets of the running proxy. Exits 1 when it is not"
        " ready, as /readyz has it."
    )

    def ask(self, client: AdminClient) -> dict[str, Any]:
        """Six questions."""
        return {
            "readiness": client.get_even_if_unready("/readyz"),
            "stats": client.get("/api/stats"),
            "places": client.get("/api/listeners")["listeners"],
            "pools": client.get("/api/pools")["pools"],
            **client.get("/api/certificates"),
            **client.get("/api/stores"),
        }

    def status(self, answer: dict[str, Any]) -> int:
        """Whether it is ready."""
        return 0 if answer["readiness"]["ready"] else 1

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """A line of readiness, one for each listener, a table for each pool."""
        ready, stats = answer["readiness"], answer["stats"]
        out = ["ready" if ready["ready"] else "NOT READY"]
        out += [f"  {reason}" for reason in ready.get("reasons", ())]
        out += fault_lines(stats.get("local_faults", {}).get("now"))
        if ready.get("draining"):
            out.append(f"  {_left(ready['draining'])}")
        drains = {one["name"]: one for one in answer["places"]}
        out += map(_worker_line, stats.get("workers", ()))
        for name, one in stats["listeners"].items():
            out.append(
                f"listener {name}: {one['open']} open, {one['accepted']} accepted,"
                f" {one['turned_away']} turned away, {one['shed']} shed"
            )
            if served := _served_line(one):
                out.append(f"  {served}")
            if drains.get(name, {}).get("state", "up") != "up":
                out.append(f"  {listener_line(drains[name])}")
            refused = one.get("proxy_refused") or {}
            if refused:
                said = ", ".join(f"{n} {word}" for word, n in sorted(refused.items()))
                out.append(f"  closed for their PROXY header: {said}")
            crowded = (one.get("tls") or {}).get("failed", {}).get("rate", 0)
            if crowded:
                out.append(f"  closed by limits.handshakes: {crowded}")
        out += _tunnel_lines(stats.get("tunnels", {}))
        for one in answer["stores"]:
            out += store_lines(one)
        out += map(_certificate_line, answer["certificates"])
        if stats.get("acme"):
            out.append(_acme_line(stats["acme"]))
            for name, one in stats["acme"].get("shared", {}).items():
                out.append(_shared_line(name, one))
        for one in answer.get("acme", ()):
            if one["error"]:
                out.append(
                    f"acme {one['acme']}: NO CERTIFICATE for {one['host']}"
                    f" ({one['failures']} tries, the next at {one['next_try']}):"
                    f" {one['error']}"
                )
        for pool in answer["pools"]:
            out += ["", *_pool_lines(pool, stats["pools"].get(pool["name"], {}))]
        return [*out, "", _settings_line(stats["settings"])]


def _served_line(one: dict[str, Any]) -> str:
    """What a stream or a forward proxy has done; "" for a listener, whose pools say it."""
    moved = f"{size(one['bytes_in'])} in, {size(one['bytes_out'])} out"
    if "streams" in one:
        said = f"{one['streams']} sessions ended{_by(one['ended'])}, {moved}"
        away = one["without_target"]
        return said + (f"; {one['refused']} refused{_by(away)}" if away else "")
    if "denied" in one:
        said = f"{one['exchanges']} requests, {one['in_flight']} in flight, {moved}"
        away = one["denied"]
        return said + (f"; denied{_by(away)}" if away else "")
    return ""


def _by(counts: dict[str, int]) -> str:
    """How many for each reason, the most first."""
    found = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    said = ", ".join(f"{count} {shown(why)}" for why, count in found if count)
    return f" ({said})" if said else ""


def _tunnel_lines(told: dict[str, Any]) -> Iterator[str]:
    """Who is connected to tunnels of ours, and how our own connectors are."""
    for tunnel, there in told.get("tunnels", {}).items():
        for name, one in there.items():
            begins = f"tunnel {tunnel}: connector {name}"
            if not one["connected"]:
                yield f"{begins}: NOT CONNECTED{_because_of(one['lost'])}"
            for each in one["connected"]:
                since = ago(each["up_seconds"]).removesuffix(" ago")
                leaves = ", leaving" if each["leaving"] else ""
                yield (
                    f"{begins}: from {each['client'] or 'a UNIX socket'} for {since}, heard"
                    f" {each['heard_seconds_ago']:.0f} s ago, {each['streams']} open{leaves}"
                )
    for name, dialings in told.get("connectors", {}).items():
        for one in dialings:
            if one["state"] == "up":
                since = ago(one["up_seconds"] or 0.0).removesuffix(" ago")
                yield f"connector {name}: up for {since}, {one['streams']} open"
            else:
                yield f"connector {name}: NOT CONNECTED{_because_of(one['why'])}"
            for what, why in one["refused"].items():
                yield f"  not permitted: {what}: {why}"


def _because_of(why: str | None) -> str:
    return f": {why}" if why else ""


def _worker_line(one: dict[str, Any]) -> str:
    state, since = one["state"], ago(one["state_seconds"]).removesuffix(" ago")
    said = f"worker {one['worker']}: {state} for {since}"
    if one["pid"]:
        said += (
            f", process {one['pid']}, {one['open']} open, {one['exchanges']} exchanges"
        )
    if one["next_start_seconds"] is not None:
        said += f", next start in {one['next_start_seconds']:.1f} s"
    if one["restarts"]:
        said += f", {one['restarts']} restarts"
    return said if one["serving"] else f"{said}{_because(one['why'])}"


def _because(why: str) -> str:
    return f": NOT SERVING: {why}" if why else ""


def _left(left: dict[str, Any]) -> str:
    """How far a stop is."""
    said = f"{left['connections']} connections, {left['in_flight']} exchanges in flight"
    if left["oldest_seconds"] is not None:
        said += f", the oldest connection {left['oldest_seconds']:.0f} s old"
    return f"{said}; {left['ends_in_seconds']:.0f} s to go"


def listener_line(one: dict[str, Any]) -> str:
    """How far the drain of a listener is, or that it has none."""
    said = f"{one['state']}, {one['open']} connections"
    if one["oldest_seconds"] is not None:
        said += f", the oldest {one['oldest_seconds']:.0f} s old"
    if one["drain_ends_in_seconds"] is not None:
        said += f"; {one['drain_ends_in_seconds']:.0f} s to go"
    return said


def _certificate_line(one: dict[str, Any]) -> str:
    days, until = one["expires_in_seconds"] // 86400, one["not_after"]
    when = f"expires {until}, in {days} days" if days >= 0 else f"HAS EXPIRED {until}"
    names = ", ".join(one["names"][:3]) + (", ..." if one["names"][3:] else "")
    refused = f"; NOT TAKEN UP: {one['refused']}" if one["refused"] else ""
    staple = _staple(one["ocsp"]) if one["ocsp"] else ""
    return f"certificate {one['listener']} ({names}): {when}{staple}{refused}"


def _staple(one: dict[str, Any]) -> str:
    """What clients are shown with a certificate."""
    if one["status"] == "none":
        said = "; NO STAPLE"
    elif one["status"] == "revoked":
        said = f"; REVOKED, says its staple, until {one['until']}"
    else:
        said = f"; staple until {one['until']}"
    return f"{said} ({one['error']})" if one["error"] else said


def _acme_line(one: dict[str, Any]) -> str:
    said = f"acme: {one['issued']} issued, {one['failed']} failed"
    return said + (f"; next try at {one['next_try']}" if one["next_try"] else "")


def _shared_line(name: str, one: dict[str, Any]) -> str:
    """Which instances share an authority, and whose turn it is to order."""
    said = f"acme {name}: store {one['store']}, {one['instances']} instances"
    if one["holder"]:
        said += f"; {one['holder']} orders" + (" (this one)" if one["ours"] else "")
    return said + (f"; TROUBLE: {one['trouble']}" if one["trouble"] else "")


def _settings_line(settings: dict[str, Any]) -> str:
    """Which settings are in force, and what is the matter with them."""
    said = f"generation {settings['generation']}, since {settings['loaded_at']}"
    if changes := settings.get("run_time_changes"):
        said += f", {changes} targets changed at run time"
    if settings["unconfirmed_until"]:
        said += f", on trial until {settings['unconfirmed_until']}"
    elif settings.get("applied"):
        said += f", applied: not what {settings['file']} says"
    if not settings["last_reload_ok"]:
        said += "; the last reload was REFUSED, see the log"
    return said


def _pool_lines(pool: dict[str, Any], stats: dict[str, Any]) -> list[str]:
    targets = pool["targets"]
    said = f"pool {pool['name']}: {pool['available']} of {len(targets)} available"
    if stats:
        said += (
            f", {stats['exchanges']} exchanges, {stats['in_flight']} in flight,"
            f" {stats['failed']} failed, {stats['retries']} retries"
        )
        connections = stats["connections"]
        said += f", {connections['open']} connections ({connections['idle']} idle)"
    titles = ["TARGET", "STATE", "IN FLIGHT", "REQUESTS", "FAILURES", "IN", "OUT"]
    rows = [[*titles, "LAST CHANGE"]]
    for one in targets:
        last = one["last_change"]
        rows.append(
            [
                one["id"],
                one["why_not"] or "available",
                str(one["in_flight"]),
                str(one["counters"]["requests"]),
                str(one["counters"]["failures"]),
                *(
                    size(one["counters"].get(word, 0))
                    for word in ("bytes_in", "bytes_out")
                ),
                "-" if last is None else f"{ago(last['seconds_ago'])}: {last['cause']}",
            ]
        )
    leaving = [
        f"  {one['id']} has left: {one['in_flight']} exchanges still in flight"
        for one in pool.get("leaving", ())
    ]
    found = discovery_lines(pool.get("discovery"))
    return [said, *found, *table(rows, "  "), *leaving]

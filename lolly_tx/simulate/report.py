"""Findings for people: plain text, at most 80 columns wide.

Imports: config.kinds, simulate. Used by: simulate.command, simulate.replay.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from lolly_tx.config.kinds.plain import duration_text
from lolly_tx.simulate.findings import Values

WIDTH = 80
_FIRST_ROWS = 40
_LAST_ROWS = 10
"""Of the timeline; what a flapping target did a thousand times is in the JSON form."""


def report(found: Values) -> str:
    """The whole report."""
    sections = [
        _head(found),
        _timeline(found["timeline"]),
        _faults(found["faults"]),
        _targets(found["targets"]),
        _course(found["course"], _unit(found)),
        _totals(found["totals"], _unit(found)),
        _sessions(found.get("sessions"), found.get("lost")),
    ]
    return (
        "\n\n".join("\n".join(lines) for lines in map(list, sections) if lines) + "\n"
    )


def _unit(found: Values) -> str:
    if "lost" in found:
        return "datagrams"
    return "sessions" if "sessions" in found else "requests"


def _head(found: Values) -> Iterator[str]:
    if found["shows"]:
        yield from textwrap.wrap(found["shows"], WIDTH)
    yield from textwrap.wrap(
        f"{duration_text(found['duration'])} of pool {found['pool']}"
        f" ({len(found['targets'])} targets, {found['balance']}) of {found['config']},"
        f" seed {found['seed']}",
        WIDTH,
        subsequent_indent="  ",
    )


def clock(seconds: float) -> str:
    """A moment as hours, minutes and seconds with thousandths."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest:06.3f}"


def _timeline(rows: list[Values]) -> Iterator[str]:
    if not rows:
        yield "Nothing changed."
        return
    yield "Timeline"
    hidden = len(rows) - _FIRST_ROWS - _LAST_ROWS
    if hidden <= 0:
        yield from _rows(rows)
        return
    yield from _rows(rows[:_FIRST_ROWS])
    yield f"  ... {hidden} more (--json has them all) ..."
    yield from _rows(rows[-_LAST_ROWS:])


def _rows(rows: Iterable[Values]) -> Iterator[str]:
    for row in rows:
        who = f"#{row['target']}" if row["target"] else "pool"
        change = f"{row['old']} -> {row['new']}" if row["old"] else row["new"]
        start = f"{clock(row['at']):>13}  {who:<4} {row['fact']} {change}: "
        yield from textwrap.wrap(
            start + row["cause"],
            WIDTH,
            subsequent_indent=" " * 20,
            drop_whitespace=True,
            initial_indent="",
        )


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}s"


def _faults(rows: list[Values]) -> Iterator[str]:
    if not rows:
        return
    yield "Faults (in brackets: the worst case that lolly check computes for checks)"
    for row in rows:
        times = f", {row['windows']} times" if row["windows"] > 1 else ""
        yield from textwrap.wrap(
            f"#{row['target']} {row['does']}, {clock(row['from'])} to"
            f" {clock(row['to'])}{times}",
            WIDTH - 2,
            initial_indent="  ",
            subsequent_indent="     ",
        )
        yield from textwrap.wrap(
            _noticed(row), WIDTH - 2, initial_indent="     ", subsequent_indent="     "
        )


def _noticed(row: Values) -> str:
    bound = row["out_bound"]
    limit = f" [{_span(bound)}]" if bound is not None else " [checks do not see it]"
    if not row["noticed"]:
        return f"never taken out{limit}"
    most = "at most " if row["windows"] > 1 else ""
    text = f"out after {most}{_span(row['out_after'])}{limit}: {row['out_by']}"
    if row["windows"] > 1:
        text = f"noticed {row['noticed']} times; {text}"
    if row["back_after"] is not None:
        bound = row["back_bound"]
        limit = f" [{_span(bound)}]" if bound is not None else ""
        text += f"; back {most}{_span(row['back_after'])} after its end{limit}"
    if row["not_back"]:
        text += "; not back at the end"
    return text


def _targets(rows: list[Values]) -> Iterator[str]:
    yield "Targets"
    yield (
        f"  {'#':>3} {'address':<26}{'attempts':>9}{'share':>7}{'failed':>8}"
        f"{'5xx':>8}{'out':>8}{'false':>7}"
    )
    for row in rows:
        false = row["false_ejections"] + row["false_downs"]
        address = row["address"]
        if len(address) > 26:
            address = "..." + address[-22:]
        yield (
            f"  {row['number']:>3} {address:<26}{row['attempts']:>9}"
            f"{row['share']:>7.1%}{row['failures']:>8}{row['errors']:>8}"
            f"{row['out_seconds']:>7.0f}s{false:>7}"
        )


def _course(rows: list[Values], unit: str) -> Iterator[str]:
    yield "Course"
    yield (f"  {'from':>13}{unit:>10}{'errors':>9}{'retries':>9}{'p50':>10}{'p99':>10}")
    for row in rows:
        yield (
            f"  {clock(row['from']):>13}{row['requests']:>10}{row['errors']:>9}"
            f"{row['retries']:>9}{row['p50'] * 1000:>8.1f}ms{row['p99'] * 1000:>8.1f}ms"
        )


def _totals(totals: Values, unit: str) -> Iterator[str]:
    yield "Totals"
    by_status = ", ".join(f"{n} x {s}" for s, n in totals["statuses"].items())
    own = ", ".join(f"{n} {token}" for token, n in totals["own_answers"].items())
    latency = totals["latency"]
    bound = totals["false_ejections_bound"]
    attempts = [
        f"retries          {totals['retries']}, {totals['retries_refused']} refused by"
        f" the budget, {totals['hedges']} hedges",
        f"amplification    {totals['amplification']:.3f} attempts per {unit[:-1]} (at most"
        f" {totals['amplification_bound']})",
    ]
    lines = [
        f"{unit:<17}{totals['requests']} ({by_status})",
        f"errors           {totals['errors']} ({totals['error_share']:.3%})"
        + (f", of which ours: {own}" if own else ""),
        *(attempts if unit != "datagrams" else ()),
        f"false            {totals['false_ejections']} ejections and"
        f" {totals['false_downs']} flips to down while nothing was wrong"
        + (f" (outliers by chance: at most {bound:.2g})" if bound is not None else ""),
        "latency          "
        + ", ".join(f"{name} {v * 1000:.1f}ms" for name, v in latency.items()),
    ]
    yield from _wrapped(lines)


def _sessions(found: Values | None, lost: Values | None) -> Iterator[str]:
    """`lost`: datagrams without an answer, by why; None: there were none of either kind."""
    if found is None:
        return
    yield "Sessions that were up"
    ended = ", ".join(f"{n} {why}" for why, n in found["ended"].items()) or "none"
    most = ", ".join(
        f"#{number} {peak}"
        for number, peak in enumerate(found["most_open"].values(), 1)
    )
    lines = [
        f"ended            {ended}; {found['open']} were open at the end",
        f"at once          at most {most}",
        f"megabytes        {found['sent'] / 1e6:.1f} from clients,"
        f" {found['received'] / 1e6:.1f} to them",
    ]
    if lost is not None:
        why = ", ".join(f"{n} {said}" for said, n in lost.items()) or "none"
        lines.append(f"datagrams lost   {why}")
    yield from _wrapped(lines)


def _wrapped(lines: list[str]) -> Iterator[str]:
    """Each below its word, which takes the first column."""
    for line in lines:
        yield from textwrap.wrap(
            line, WIDTH - 2, initial_indent="  ", subsequent_indent=" " * 19
        )

"""What `lolly replay` does: what was recorded, what the same settings make of it again, and what others would have.

Imports: config, config.kinds, domain, service, simulate. Used by: commands.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from lolly_tx.config import Names, load
from lolly_tx.config.kinds.plain import duration_text
from lolly_tx.config.model import Config
from lolly_tx.config.rewritten import config_of
from lolly_tx.domain.events import Event
from lolly_tx.domain.tape import ATTEMPT, LAST
from lolly_tx.service.registry import Registry
from lolly_tx.simulate.dump import BadDump, Dump, read_dump
from lolly_tx.simulate.recorded import restaged
from lolly_tx.simulate.recording import Outage
from lolly_tx.simulate.report import WIDTH, clock
from lolly_tx.simulate.world import World

RECORDED = "recorded"


@attrs.frozen
class Course:
    """What became of the requests and the targets in one run, or in reality.

    `name`: of the run. `outages`: by target. `estimates`: answers of targets that had to be guessed; of `answers`.
    """

    name: str
    requests: int
    errors: int
    retries: int
    outages: Mapping[str, Sequence[Outage]]
    answers: int = 0
    estimates: int = 0

    @property
    def as_dict(self) -> dict[str, Any]:
        """JSON-able; times are seconds from the beginning."""
        told = attrs.asdict(self, filter=lambda field, _: field.name != "outages")
        return told | {
            "outages": {
                target: [attrs.asdict(one) for one in outages]
                for target, outages in self.outages.items()
            }
        }


def replay(
    file: str,
    *,
    environ: Mapping[str, str],
    names: Names,
    other: str = "",
    pool: str = "",
    as_json: bool = False,
    registry: Registry | None = None,
) -> str:
    """Play the dump in `file` again, and with the settings of `other` if given; what to print.

    `pool`: which one, when there are several. Raises `BadDump` and `ConfigErrors`.
    """
    dump = read_dump(file)
    name = _pool(dump, pool)
    runs = [_as_it_was(dump, name)]
    settings = [("its settings", config_of(dump.pools, name, file, names))]
    if other:
        settings.append((other, load(other, environ, names=names)))
    for title, config in settings:
        if name not in config.pools:
            raise BadDump(f"{title}: has no pool {name}, which {file} is about")
        runs.append(_again(dump, name, title, config, registry))
    if as_json:
        head = {"dump": file, "pool": name, "made": dump.made, "why": dump.why}
        told = {**head, "seconds": round(dump.ended - dump.began, 3)}
        told["runs"] = [one.as_dict for one in runs]
        return json.dumps(told, indent=2) + "\n"
    return "\n".join(_lines(dump, name, runs)) + "\n"


def _pool(dump: Dump, pool: str) -> str:
    if pool:
        if pool not in dump.pools:
            raise BadDump(f"{dump.file}: has no pool {pool}: {', '.join(dump.pools)}")
        return pool
    if len(dump.pools) != 1:
        raise BadDump(
            f"{dump.file}: has several pools, name one with --pool:"
            f" {', '.join(dump.pools)}"
        )
    return next(iter(dump.pools))


def _as_it_was(dump: Dump, pool: str) -> Course:
    records = [one for those in dump.of_pool(pool).values() for one in those]
    ends = [one for one in records if one.kind == LAST]
    return Course(
        RECORDED,
        requests=len(ends),
        errors=sum(one.given >= 500 for one in ends),
        retries=sum(one.kind == ATTEMPT for one in records),
        outages=outages_of(dump.events, pool, dump.began, dump.ended),
    )


def _again(
    dump: Dump, pool: str, title: str, config: Config, registry: Registry | None
) -> Course:
    settings = config.pools[pool]
    scenario, staging, targets = restaged(dump, pool, settings)
    world = World(config, settings, scenario, staging, registry=registry)
    recording = world.run()
    return Course(
        title,
        requests=recording.requests,
        errors=recording.errors,
        retries=recording.retries,
        outages=outages_of(recording.events, pool, 0.0, scenario.duration),
        answers=sum(one.answered for one in targets.values()),
        estimates=sum(one.estimates for one in targets.values()),
    )


def outages_of(
    events: Sequence[Event], pool: str, began: float, ended: float
) -> dict[str, list[Outage]]:
    """When targets were out of service, by `events`; from the beginning in seconds."""
    out: dict[str, tuple[float, str, str]] = {}
    words: dict[tuple[str, str], str] = {}
    found: dict[str, list[Outage]] = {}
    for event in events:
        if event.pool != pool or event.fact not in ("health", "ejection"):
            continue
        words[event.node, event.fact] = event.new
        well = words.get((event.node, "health"), "up") == "up"
        serves = well and words.get((event.node, "ejection"), "up") == "up"
        if not serves and event.node not in out:
            out[event.node] = (event.at, event.fact, event.cause)
        elif serves and event.node in out:
            start, fact, cause = out.pop(event.node)
            if event.at > began:
                outage = Outage(max(0.0, start - began), event.at - began, fact, cause)
                found.setdefault(event.node, []).append(outage)
    for node, (start, fact, cause) in out.items():
        if start < ended:
            outage = Outage(max(0.0, start - began), None, fact, cause)
            found.setdefault(node, []).append(outage)
    return found


# -- for people


def _lines(dump: Dump, pool: str, runs: Sequence[Course]) -> Iterator[str]:
    seconds = dump.ended - dump.began
    yield f"{duration_text(round(seconds, 1))} of pool {pool}, recorded until {dump.made}"
    yield from textwrap.wrap(f"({dump.file}: {dump.why})", WIDTH)
    yield ""
    yield "  " + " " * 22 + "".join(f"{Path(one.name).name[:17]:>18}" for one in runs)
    for title, values in (
        ("requests", [one.requests for one in runs]),
        ("errors clients saw", [one.errors for one in runs]),
        ("retries", [one.retries for one in runs]),
        ("times a target was out", [_times(one) for one in runs]),
        ("seconds out", [_seconds_out(one, seconds) for one in runs]),
    ):
        yield f"  {title:<22}" + "".join(f"{value:>18}" for value in values)
    for number, target in enumerate(dump.pools[pool]["targets"], 1):
        if any(target["id"] in one.outages for one in runs):
            yield ""
            yield f"#{number} {target.get('url') or target.get('endpoint')}"
            for one in runs:
                yield from _outages(one, target["id"])
    yield ""
    yield from _caveats(runs[1:])


def _times(course: Course) -> int:
    return sum(len(each) for each in course.outages.values())


def _seconds_out(course: Course, end: float) -> str:
    each = (one for those in course.outages.values() for one in those)
    return f"{sum((end if o.end is None else o.end) - o.start for o in each):.1f}"


def _outages(course: Course, target: str) -> Iterator[str]:
    outages = course.outages.get(target, ())
    if not outages:
        yield f"  {course.name}: never out"
    for one in outages[:20]:
        until = "the end" if one.end is None else clock(one.end)
        yield from textwrap.wrap(
            f"{course.name}: out from {clock(one.start)} to {until}: {one.cause}",
            WIDTH - 2,
            initial_indent="  ",
            subsequent_indent="      ",
        )
    if len(outages) > 20:
        yield f"  {course.name}: {len(outages) - 20} times more (--json has them all)"


def _caveats(runs: Sequence[Course]) -> Iterator[str]:
    for one in runs:
        share = one.estimates / one.answers if one.answers else 0.0
        yield from textwrap.wrap(
            f"{one.name}: {one.estimates} of {one.answers} answers ({share:.1%}) are"
            " estimates: the request did not go there then, and what the target did"
            " nearest to that time stands in for it.",
            WIDTH,
            subsequent_indent="  ",
        )

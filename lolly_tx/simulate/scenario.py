"""A scenario: what the targets and the clients of a simulation do, frozen.

Declared and read like the configuration (`config.kinds.schema`), so that errors name the file,
the line, the key, the value and the nearest right one, all at once.

Imports: config, config.kinds, config.texts, domain, simulate. Used by: simulate.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import attrs

from lolly_tx.config.kinds.plain import FLAG, TEXT, Choice, Count, Fraction, nearest
from lolly_tx.config.kinds.problems import ConfigErrors, Rejected
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import ListOf, Table, read_or_none
from lolly_tx.config.load import DISK, Files
from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.config.texts.reading import Names, Source, SourcePlace
from lolly_tx.domain.target import Target
from lolly_tx.simulate.kinds import LATENCY, ON, SECONDS
from lolly_tx.simulate.latency import Latency, Lognormal
from lolly_tx.simulate.staying import Staying, stream_of, unfit

On = tuple[int | str, ...]
FaultKind = Literal[
    "refuse", "unreachable", "no_network", "hang", "reset", "status", "slow"
]

_PART = Fraction(0.0, 1.0)
_RATE = Fraction(0.0, 1e6)
_MANY = Count(0, 10**6)


@attrs.frozen
class Phase:
    """A change of the load."""

    at: float = attrs.field(metadata=about(SECONDS, "When it begins."))
    rate: float = attrs.field(metadata=about(_RATE, "Requests per second from then."))
    over: float = attrs.field(
        default=0.0, metadata=about(SECONDS, "Time it takes to get there; 0 = a step.")
    )


@attrs.frozen
class Burst:
    """Requests that come all at once."""

    at: float = attrs.field(metadata=about(SECONDS, "When."))
    requests: int = attrs.field(metadata=about(Count(1, 10**6), "How many."))
    every: float = attrs.field(
        default=0.0, metadata=about(SECONDS, "Repeated so often; 0 = once.")
    )


@attrs.frozen
class Load:
    """What clients do."""

    rate: float = attrs.field(
        default=10.0, metadata=about(_RATE, "Requests per second.")
    )
    arrivals: Literal["poisson", "constant"] = attrs.field(
        default="poisson",
        metadata=about(
            Choice("poisson", "constant"), '"poisson" (by chance), or evenly spaced.'
        ),
    )
    clients: int = attrs.field(
        default=100,
        metadata=about(
            Count(1, 100000),
            "Different clients, each with an address, a URI and a cookie of its own.",
        ),
    )
    posts: float = attrs.field(
        default=0.0,
        metadata=about(_PART, "Share of requests that are no idempotent ones."),
    )
    patience: float = attrs.field(
        default=0.0,
        metadata=about(SECONDS, "Clients hang up after it; 0 = they wait."),
    )
    phase: tuple[Phase, ...] = attrs.field(
        default=(), metadata=about(ListOf(Table(Phase), "phases"), "Changes of rate.")
    )
    burst: tuple[Burst, ...] = attrs.field(
        default=(), metadata=about(ListOf(Table(Burst), "bursts"), "Bursts.")
    )


@attrs.frozen
class TargetModel:
    """What targets are like when nothing is wrong with them."""

    on: On = attrs.field(default=(), metadata=about(ON, "Which; all by default."))
    latency: Latency = attrs.field(
        default=Lognormal(0.02, 0.1),
        metadata=about(
            LATENCY,
            "A duration, or { median, p99 }, { low, high }, { mean } (exponential).",
        ),
    )
    capacity: int = attrs.field(
        default=0, metadata=about(_MANY, "Requests worked on at once; 0 = any number.")
    )
    queue: int = attrs.field(
        default=0,
        metadata=about(
            _MANY, "Requests that wait when it is busy; 0 = any number of them."
        ),
    )
    when_full: Literal["refuse", "503"] = attrs.field(
        default="refuse",
        metadata=about(Choice("refuse", "503"), "What happens to more than that."),
    )
    errors: float = attrs.field(
        default=0.0,
        metadata=about(_PART, "Share of requests answered 500, at all times."),
    )
    probes: bool = attrs.field(
        default=True, metadata=about(FLAG, "Whether active checks get such 500s too.")
    )


@attrs.frozen
class Fault:
    """Something wrong with targets for a while."""

    kind: FaultKind = attrs.field(
        metadata=about(
            Choice(
                "refuse",
                "unreachable",
                "no_network",
                "hang",
                "reset",
                "status",
                "slow",
            ),
            '"refuse": no process, and what was in flight is cut; "unreachable": connects'
            ' time out; "no_network": the proxy itself has none; "hang": accepts, never answers; "reset":'
            ' closes without an answer; "status": answers `status`; "slow": takes `factor` times as long.',
        )
    )
    at: float = attrs.field(metadata=about(SECONDS, "When it begins."))
    on: On = attrs.field(default=(), metadata=about(ON, "Which targets; all."))
    lasts: float = attrs.field(
        default=0.0,
        metadata=about(SECONDS, "How long; 0 = to the end.", key="for"),
    )
    every: float = attrs.field(
        default=0.0, metadata=about(SECONDS, "Repeated so often; 0 = once.")
    )
    until: float = attrs.field(
        default=0.0, metadata=about(SECONDS, "End of the repeats; 0 = to the end.")
    )
    share: float = attrs.field(
        default=1.0, metadata=about(_PART, "Share of the requests it strikes.")
    )
    status: int = attrs.field(
        default=503, metadata=about(Count(100, 599), 'What `kind = "status"` answers.')
    )
    retry_after: int = attrs.field(
        default=0,
        metadata=about(_MANY, "Seconds of Retry-After with the status; 0 = none."),
    )
    factor: float = attrs.field(
        default=10.0, metadata=about(Fraction(0.0, 1e6), 'How much slower "slow" is.')
    )
    probes: bool = attrs.field(
        default=True, metadata=about(FLAG, "Whether active checks see it too.")
    )


@attrs.frozen
class Word:
    """What the operator does."""

    at: float = attrs.field(metadata=about(SECONDS, "When."))
    word: Literal["up", "drain", "down"] = attrs.field(
        metadata=about(Choice("up", "drain", "down"), "The word.")
    )
    on: On = attrs.field(default=(), metadata=about(ON, "Which targets; all."))


@attrs.frozen
class Scenario:
    """All of it. `file`: where it was read."""

    file: str
    duration: float = attrs.field(
        metadata=about(SECONDS, "Simulated time; requests begin until then.")
    )
    shows: str = attrs.field(
        default="", metadata=about(TEXT, "What it shows, in a line.")
    )
    pool: str = attrs.field(
        default="",
        metadata=about(TEXT, "The pool; may be left out when there is only one."),
    )
    stream: str = attrs.field(
        default="",
        metadata=about(
            TEXT,
            "The stream whose sessions come in place of requests; may be left out where only one leads to the pool.",
        ),
    )
    load: Load = attrs.field(default=Load(), metadata=about(Table(Load), "Clients."))
    session: Staying = attrs.field(
        default=Staying(),
        metadata=about(Table(Staying), "What sessions of a stream are like."),
    )
    targets: tuple[TargetModel, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(Table(TargetModel), "targets"),
            "What targets are like; the last entry for a target counts.",
            key="target",
        ),
    )
    faults: tuple[Fault, ...] = attrs.field(
        default=(),
        metadata=about(ListOf(Table(Fault), "faults"), "What goes wrong.", key="fault"),
    )
    operator: tuple[Word, ...] = attrs.field(
        default=(), metadata=about(ListOf(Table(Word), "words"), "What people do.")
    )


_SCENARIO = Table(Scenario)


def load_scenario(
    path: str, config: Config, pool: str = "", files: Files = DISK
) -> tuple[Scenario, PoolSettings]:
    """Read a scenario and find the pool it is about.

    `pool`: used in place of the scenario's own. Raises `ConfigErrors` with every problem.
    """
    try:
        text = files.read(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        source = Source(path, "", Names(), files.why_no_file)
        source.add(0, "", f"cannot be read: {reason}")
        raise ConfigErrors(source.problems) from error
    return parse_scenario(text, path, config, pool, files)


def parse_scenario(
    text: str, name: str, config: Config, pool: str = "", files: Files = DISK
) -> tuple[Scenario, PoolSettings]:
    """Read a scenario from a text; see `load_scenario`."""
    folder = os.path.dirname(os.path.abspath(name))
    source = Source(name, folder, Names(), files.why_no_file)
    scenario = settings = None
    if source.parse(text):
        place = SourcePlace(source)
        try:
            scenario = _SCENARIO.read_named(source.tree, place, {"file": name})
        except Rejected:
            pass  # the problems are recorded
        settings = _pool(source.tree, config, place, pool)
        if settings is not None and not settings.targets:
            place.at("pool").wrong(
                f"pool {settings.name} of {config.file} lists no targets, and what it discovers is not known here"
            )
        elif settings is not None:
            _check_names(source.tree, settings.targets, place)
            _check_sessions(source.tree, config, settings.name, place)
    if source.problems or scenario is None or settings is None:
        raise ConfigErrors(sorted(source.problems, key=lambda p: p.line))
    return scenario, settings


def _pool(
    tree: dict[str, Any], config: Config, place: SourcePlace, asked: str
) -> PoolSettings | None:
    """The pool of `config` that is meant, or None after recording the problem."""
    name = asked or tree.get("pool")
    stream = tree.get("stream")
    if not name and isinstance(stream, str) and stream in config.streams:
        pools = config.streams[stream].pools
        name = pools[0] if len(pools) == 1 else None
    if not name and len(config.pools) == 1:
        return next(iter(config.pools.values()))
    if isinstance(name, str) and name in config.pools:
        return config.pools[name]
    known = nearest(name, config.pools) if isinstance(name, str) else ""
    if not name:
        known = "; known: " + ", ".join(sorted(config.pools))
        place.at("pool").wrong(
            f"{config.file} has more than one pool: name it, here or with --pool{known}"
        )
    else:
        place.at("pool").wrong(f"{config.file} has no such pool{known}")
    return None


def _check_sessions(
    tree: dict[str, Any], config: Config, pool: str, place: SourcePlace
) -> None:
    """Record what does not go with the stream that is meant, if one is."""
    asked = tree.get("stream")
    asked = asked if isinstance(asked, str) else ""
    stream = stream_of(config, asked, pool)
    if stream is None:
        if asked:
            said = f"{config.file} has no such stream" + nearest(asked, config.streams)
            place.at("stream").wrong(said)
        elif "session" in tree:
            place.at("session").wrong(f"no stream leads to pool {pool}")
        return
    if pool not in stream.pools:
        place.at("stream").wrong(f"stream {stream.name} does not lead to pool {pool}")
    for path, said in unfit(stream, tree):
        here: Any = place
        for key in path:
            here = here.at(key)
        here.wrong(said)


def _check_names(
    tree: dict[str, Any], targets: Sequence[Target], place: SourcePlace
) -> None:
    """Record every `on` that names no target of the pool."""
    for table in ("target", "fault", "operator"):
        entries = tree.get(table)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict) or "on" not in entry:
                continue
            here = place.at(table).at(index).at("on")
            silent = SourcePlace(attrs.evolve(place.source, problems=[]), here.path)
            for name in read_or_none(ON, entry["on"], silent) or ():
                if not find(name, targets):
                    here.wrong(_no_target(name, targets))


def _no_target(name: int | str, targets: Sequence[Target]) -> str:
    if isinstance(name, int):
        return f"there is no target {name}: the pool has {len(targets)}"
    return f"no target is called {name!r}" + nearest(
        name, [t.address for t in targets] + [t.id for t in targets]
    )


def find(name: int | str, targets: Sequence[Target]) -> Target | None:
    """The target of that position (from 1), id or address."""
    if isinstance(name, int):
        return targets[name - 1] if 1 <= name <= len(targets) else None
    for target in targets:
        bare = target.address.partition("://")[2]
        if name in (target.id, target.address, bare):
            return target
    return None


def chosen(on: On, targets: Sequence[Target]) -> tuple[Target, ...]:
    """The targets that an `on` means."""
    if not on:
        return tuple(targets)
    found = (find(name, targets) for name in on)
    return tuple(target for target in found if target is not None)

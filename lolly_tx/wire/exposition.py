"""The text formats that metrics are read in: Prometheus 0.0.4 and OpenMetrics 1.0, and which of them is asked for.

Both have the same lines for samples here; what differs is how a family of counters is announced, and the end.

Imports: domain. Used by: service.admin, service.metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal

import attrs

from lolly_tx.domain.histogram import BOUNDS, Exemplar

Kind = Literal["counter", "gauge", "histogram"]

PLAIN = b"text/plain; version=0.0.4; charset=utf-8"
OPEN = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Of Content-Type."""

END = "# EOF\n"
"""What OpenMetrics ends with, so that half of it is not taken for all."""

_OPEN_VERSIONS = ("", "1.0.0", "0.0.1")

LESS_OR_EQUAL = (*(f'le="{bound!r}"' for bound in BOUNDS), 'le="+Inf"')
"""The label of each number of a histogram."""


@attrs.frozen
class Family:
    """What is told under one name. `help`: what it is, for people. `labels`: their names, in order."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        if (self.kind == "counter") is not self.name.endswith("_total"):
            raise ValueError(f"{self.name}: counters, and nothing else, end in _total")

    def head(self, openly: bool) -> str:
        """The lines before its samples; `openly`: for OpenMetrics, where a counter is announced without its ending."""
        name = self.name.removesuffix("_total") if openly else self.name
        said = self.help.replace("\\", r"\\").replace("\n", r"\n")
        if openly:
            said = said.replace('"', r"\"")
        return f"# HELP {name} {said}\n# TYPE {name} {self.kind}\n"

    def of(self, *values: object) -> str:
        """The labels as they stand between braces."""
        return ",".join(
            f'{name}="{escaped(str(value))}"'
            for name, value in zip(self.labels, values, strict=True)
        )

    def line(self, labels: str, value: float) -> str:
        """One sample. `labels`: made by `of`."""
        if labels:
            return f"{self.name}{{{labels}}} {value!r}\n"
        return f"{self.name} {value!r}\n"

    def form(self, labels: str) -> str:
        """A histogram but for its numbers: what `filled` takes. Made once for each `labels`."""
        name, comma = self.name, "," if labels else ""
        labels = labels.replace("%", "%%")
        braced = f"{{{labels}}}" if labels else ""
        return "".join(
            [
                *(
                    f"{name}_bucket{{{labels}{comma}{bound}}} %d\n"
                    for bound in LESS_OR_EQUAL
                ),
                f"{name}_sum{braced} %r\n{name}_count{braced} %d\n",
            ]
        )


def filled(form: str, counts: Iterable[int], seconds: float) -> str:
    """A histogram. `form`: see `Family.form`. `counts`: as in `domain.histogram`. `seconds`: their sum."""
    sums = (*accumulate(counts),)
    return form % (*sums, seconds, sums[-1])


def with_exemplars(
    histogram: str, counts: Iterable[int], exemplars: Mapping[int, Exemplar]
) -> str:
    """`histogram`, made by `filled` of `counts`, with what OpenMetrics may have behind the numbers of buckets.

    `exemplars`: by place; one in whose bucket nothing was counted is left out.
    """
    lines = histogram.splitlines(keepends=True)
    for place, count in enumerate(counts):
        one = exemplars.get(place)
        if one is not None and count:
            told = f'{{trace_id="{one.trace_id}"}} {one.seconds!r} {one.at:.3f}'
            lines[place] = f"{lines[place][:-1]} # {told}\n"
    return "".join(lines)


def escaped(text: str) -> str:
    """A value of a label, between its quotes."""
    if "\\" in text or '"' in text or "\n" in text:
        text = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text


def is_asked_for_openly(accept: Iterable[bytes]) -> bool:
    """Whether the Accept fields rather have OpenMetrics than Prometheus text (RFC 9110 section 12.5.1)."""
    openly, plain, rest = 0.0, -1.0, -1.0
    for name, parameters in _listed(accept):
        weight = _weight(parameters)
        if name == "application/openmetrics-text":
            if parameters.get("version", "") in _OPEN_VERSIONS:
                openly = max(openly, weight)
        elif name == "text/plain":
            plain = max(plain, weight)
        elif name in ("text/*", "*/*"):
            rest = max(rest, weight)
    return openly > 0.0 and openly >= (plain if plain >= 0.0 else rest)


def takes_gzip(accept_encoding: Iterable[bytes]) -> bool:
    """Whether the Accept-Encoding fields allow gzip (RFC 9110 section 12.5.3)."""
    by_name, by_star = None, None
    for name, parameters in _listed(accept_encoding):
        if name in ("gzip", "x-gzip"):
            by_name = _weight(parameters)
        elif name == "*":
            by_star = _weight(parameters)
    weight = by_star if by_name is None else by_name
    return bool(weight)


def _listed(fields: Iterable[bytes]) -> Iterator[tuple[str, dict[str, str]]]:
    """The members of a list with weights: names and parameters, in lower case."""
    for member in b",".join(fields).decode("latin-1").lower().split(","):
        name, *rest = member.split(";")
        parameters = {}
        for one in rest:
            key, _, value = one.partition("=")
            parameters[key.strip()] = value.strip().strip('"')
        if name.strip():
            yield name.strip(), parameters


def _weight(parameters: dict[str, str]) -> float:
    """1 where there is none; 0, which refuses, where it is none."""
    text = parameters.get("q", "1")
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0

"""What a target says of itself over its agent channel, as values.

Imports: nothing of ours. Used by: domain, domain.shared, net.checks, service.checks,
service.workers.

One line, words parted by blanks or commas, a reason after "#": `up 75% maxconn:30 # warm caches`. Every word leaves
what the others said untouched, and only the agent takes its own words back:

    75%, weight:50%     share of the configured weight        weight:20   weight in its place; 0 = drain
    maxconn:30          max_conns in place of the configured one
    drain, maint        no new exchanges; none at all         ready       takes both back
    down, fail, stopped as failed checks                      up          takes them back
"""

from __future__ import annotations

import re
from typing import Any, Literal

import attrs

MOST_WEIGHT = 65535
MOST_PERCENT = 10000
MOST_CONNS = 10**7
LONGEST_REASON = 100

AgentWord = Literal["up", "drain", "down"]

_WORDS: dict[str, tuple[str, AgentWord | bool]] = {
    "ready": ("admin", "up"),
    "drain": ("admin", "drain"),
    "maint": ("admin", "down"),
    "up": ("up", True),
    "down": ("up", False),
    "fail": ("up", False),
    "failed": ("up", False),
    "stopped": ("up", False),
}
_NUMBER = re.compile(r"(?:(weight|maxconn):)?([0-9]{1,8})(%?)")


class BadAgentLine(ValueError):
    """An agent said something that means nothing. The text is for a person."""


@attrs.frozen
class AgentReport:
    """One line of an agent; None: not a word about it.

    `share`: of the configured weight (0.75 for "75%"). `weight`: in place of it. `max_conns`: >= 1. `admin`: the
    word of whoever runs the target ("up" for ready, "down" for maint). `up`: whether it can do its work. `words`:
    the line without its reason.
    """

    share: float | None = None
    weight: int | None = None
    max_conns: int | None = None
    admin: AgentWord | None = None
    up: bool | None = None
    reason: str = ""
    words: str = ""


@attrs.frozen
class AgentState:
    """What an agent has said so far, taken together."""

    share: float = 1.0
    weight: int | None = None
    max_conns: int | None = None
    admin: AgentWord = "up"
    up: bool = True

    def weight_of(self, configured: int) -> float:
        """The weight of a target with that configured one; 0 when it wants no new exchanges."""
        return configured * self.share if self.weight is None else float(self.weight)

    @property
    def word(self) -> AgentWord:
        """Whether it takes exchanges: "up", "drain" (only those of bound clients) or "down"."""
        if self.admin != "up":
            return self.admin
        return "up" if self.weight_of(1) else "drain"

    @property
    def text(self) -> str:
        """The state in a few words for a person: "ready up 75%"."""
        admin = {"up": "ready", "drain": "drain", "down": "maint"}[self.admin]
        words = [admin, "up" if self.up else "down"]
        if self.weight is not None:
            words.append(f"weight:{self.weight}")
        elif self.share != 1.0:
            words.append(f"{self.share * 100:g}%")
        if self.max_conns is not None:
            words.append(f"maxconn:{self.max_conns}")
        return " ".join(words)


SILENT = AgentState()
"""Of a target without an agent, and before the first word."""


def parse_line(line: bytes) -> AgentReport:
    """Read one line of an agent. Raises `BadAgentLine`."""
    text = line.decode("latin-1").strip()
    head, _, reason = text.partition("#")
    said: dict[str, float | int | str | bool] = {}
    words = head.replace(",", " ").split()
    if not words:
        raise BadAgentLine("the agent said nothing")
    for word in words:
        for key, value in _meaning(word.lower()).items():
            if said.setdefault(key, value) != value:
                raise BadAgentLine(f"the agent contradicts itself: {_shown(head)}")
    if "share" in said and "weight" in said:
        raise BadAgentLine(f"the agent contradicts itself: {_shown(head)}")
    return AgentReport(
        reason=_printable(reason)[:LONGEST_REASON],
        words=" ".join(words),
        **said,  # type: ignore[arg-type]  # of the types `_meaning` gives each key
    )


def _meaning(word: str) -> dict[str, float | int | str | bool]:
    known = _WORDS.get(word)
    if known is not None:
        return {known[0]: known[1]}
    match = _NUMBER.fullmatch(word)
    if match is not None:
        name, number, percent = match[1], int(match[2]), match[3]
        if percent and name != "maxconn" and number <= MOST_PERCENT:
            return {"share": number / 100}
        if name == "weight" and not percent and number <= MOST_WEIGHT:
            return {"weight": number}
        if name == "maxconn" and not percent and 1 <= number <= MOST_CONNS:
            return {"max_conns": number}
    raise BadAgentLine(f"the agent said {_shown(word)}, which means nothing")


def _shown(text: str) -> str:
    return '"' + _printable(text)[:LONGEST_REASON] + '"'


def _printable(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text.strip())


def follow(state: AgentState, report: AgentReport) -> AgentState:
    """What the agent has said after `report` as well."""
    changes: dict[str, Any] = {}
    if report.share is not None:
        changes.update(share=report.share, weight=None)
    if report.weight is not None:
        changes.update(weight=report.weight)
    for name in ("max_conns", "admin", "up"):
        value = getattr(report, name)
        if value is not None:
            changes[name] = value
    return attrs.evolve(state, **changes) if changes else state

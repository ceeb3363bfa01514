"""What brings a target back: what keeps new exchanges away from it, and how each of that may go.

Imports: domain, domain.checks. Used by: domain.account, domain.pool, domain.snapshot,
service, service.admin, service.checks.
"""

from __future__ import annotations

from typing import Literal

import attrs

from lolly_tx.domain.checks.health import Thresholds
from lolly_tx.domain.node import OWN_RECORD, Node

NextCheck = float | Literal["in progress"] | None
"""When a target is checked next (monotonic); None: it is not."""


@attrs.frozen
class Planned:
    """Who asks a target next: an active check (`check`), a connect of our own to one that takes none (`recheck`)."""

    check: NextCheck = None
    recheck: NextCheck = None


UNPLANNED = Planned()
"""Nobody does."""


def ways_back(
    node: Node,
    thresholds: Thresholds,
    now: float,
    planned: Planned = UNPLANNED,
) -> list[list[str]]:
    """What keeps new exchanges away: for each obstacle the ways it may go, any of which is enough."""
    obstacles: list[list[str]] = []
    if node.enabled != "up":
        obstacles.append(["when the operator enables it"])
    if node.agent.word != "up":
        word = "ready" if node.agent.admin != "up" else "a weight above 0"
        obstacles.append([f"when its agent says {word}"])
    if node.lame:
        obstacles.append(["after a good check that is no 404"])
    if node.absent:
        obstacles.append(["when its connector connects"])
    if not node.health.up:
        obstacles.append([_checks(node.health.missing(thresholds), now, planned.check)])
    if not node.agent.up:
        obstacles.append(["when its agent says up"])
    if node.ejection == "ejected":
        obstacles.append(_out_of_ejection(node, now, planned))
    if not obstacles and node.full:
        trial = node.ejection == "trial"
        obstacles.append(
            [
                "when the trial in flight is answered well"
                if trial
                else "when an exchange ends"
            ]
        )
    return obstacles


def _out_of_ejection(node: Node, now: float, planned: Planned) -> list[str]:
    left = max(0.0, node.ejected_until - now)
    trial = f"in {left:.1f} s, for one trial request"
    needed = getattr(node.accrual, "min_rises", None)
    if node.kind not in OWN_RECORD or needed is None:
        return [trial]
    missing = max(1, needed - getattr(node.accrual, "rises", 0))
    if planned.check is not None:
        return [trial, _checks(missing, now, planned.check)]
    recheck = planned.recheck
    if recheck is None or not node.unreachable:
        return [trial]
    words = ("connect of our own", "connects of our own")
    connects = _checks(missing, now, recheck, *words)
    # Each connect that fails moves the end of the ejection, so that is told only when it comes before the next one.
    if recheck != "in progress" and node.ejected_until <= recheck:
        return [trial, connects]
    return [connects]


def _checks(
    count: int,
    now: float,
    next_check: NextCheck,
    one: str = "good check",
    many: str = "good checks",
) -> str:
    what = f"{many} in a row" if count > 1 else one
    text = f"after {count} more {what}"
    if next_check is None:
        return f"{text} (none is planned)"
    if next_check == "in progress":
        return f"{text} (one is in progress)"
    return f"{text} (the next in {max(0.0, next_check - now):.1f} s)"

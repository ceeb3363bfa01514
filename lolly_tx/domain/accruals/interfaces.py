"""What a passive policy is: it counts the outcomes of one node's traffic, and may ask to leave the node alone.

Imports: domain. Used by: domain, domain.accruals, domain.shared, service.

An accrual only counts. It owns no timer and does not know whether the pool followed its advice: the pool keeps
the end of the ejection, admits one trial afterwards, and calls `reset` when the node is back.
"""

from __future__ import annotations

from zope.interface import Attribute, Interface

from lolly_tx.domain.outcomes import Outcome


class IAccrual(Interface):
    """Counts the outcomes of real traffic to one node and says when it is to be left alone."""

    def succeeded(now: float) -> bool:
        """An exchange or a probe went well. True: a running penalty is lifted."""

    def failed(now: float) -> float | None:
        """An attempt failed by the node's fault. Seconds to leave the node alone, or None.

        The pool may refuse, and asks again at the next failure. After a failed half-open trial the node is
        ejected again whatever the answer. While the node is ejected, bad probes come in here too, and the
        answer is ignored.
        """

    def reset() -> None:
        """The node starts afresh (the penalty was lifted): forget everything."""

    clean = Attribute(
        "`bool`: a success would change nothing, so the pool may spare the call. False is always right."
    )


class IOutcomeAccrual(IAccrual):
    """An accrual that goes by more than success and failure.

    For real traffic `heard` is called in place of `succeeded` and `failed`; these remain for probes and trials.
    """

    def heard(outcome: Outcome, now: float) -> float | None:
        """An exchange ended. Seconds to leave the node alone, or None."""

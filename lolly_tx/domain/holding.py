"""What one process holds of a node that several processes lease: leases and a trial, counted over all of them.

Imports: domain. Used by: domain.node, domain.roster, domain.shared.
"""

from __future__ import annotations

from lolly_tx.domain.shares import Share


class Holding:
    """`leases`: those of all processes, as far as they are `counted`. `trials`: half-open trials, one at most.

    Counting costs something per lease, so it is done for nodes with a limit, and where somebody compares loads.
    """

    __slots__ = ("_counted", "_on_trial", "always", "leases", "trials")

    def __init__(self, leases: Share, trials: Share, *, always: bool = False) -> None:
        self.leases = leases
        self.trials = trials
        self.always = always
        """Count, whether there is a limit or not."""
        self._counted = False
        self._on_trial = False

    @property
    def counted(self) -> bool:
        """Each lease is counted."""
        return self._counted

    def count(self, limited: bool, in_flight: int) -> None:
        """The node has a limit, or has none any more. `in_flight`: leases of this process, now."""
        wanted = limited or self.always
        if wanted is not self._counted:
            self._counted = wanted
            self.leases.hold(in_flight if wanted else 0)

    def reserve(self, limit: int, trial: bool) -> bool:
        """Room for one more lease in all processes; `trial`: for the one that shows whether the node is well."""
        if trial:
            if self._on_trial or not self.trials.reserve(1):
                return False
            self._on_trial = True
            if self._counted:
                self.leases.take()
            return True
        return not self._counted or self.leases.reserve(limit)

    def released(self) -> None:
        """A lease of this process is over."""
        if self._counted:
            self.leases.give()

    def end_trial(self) -> None:
        """Another process may have the next trial. Does nothing when this one has none."""
        if self._on_trial:
            self._on_trial = False
            self.trials.give()

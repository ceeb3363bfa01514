"""Which exchanges have a line where not all have one: what went wrong always, the rest by chance.

Imports: nothing of ours. Used by: proxy.records, proxy.variables, service.records.
"""

from __future__ import annotations


class Sampling:
    """`share`: of ordinary exchanges, 0 to 1. `slow`: seconds from which one is not ordinary, 0 = none is for that.

    Not ordinary either: a status from 400 on, a second attempt, an answer that was cut short.
    """

    __slots__ = ("share", "slow")

    def __init__(self, share: float = 1.0, slow: float = 0.0) -> None:
        self.share = share
        self.slow = slow

    def ordinary(
        self, status: int, retried: object, error: object, seconds: float
    ) -> bool:
        """Whether chance decides about such an exchange."""
        return (
            status < 400
            and not retried
            and error is None
            and not (self.slow and seconds >= self.slow)
        )


ALL = Sampling()
"""Each has a line."""

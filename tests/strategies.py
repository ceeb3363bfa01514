"""Hypothesis strategies shared by the tests."""

from __future__ import annotations

from hypothesis import strategies as st

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.checks.health import Thresholds
from lolly_tx.domain.ejection import EjectionLimits
from lolly_tx.domain.errors import (
    BadResponse,
    ConnectFailed,
    ConnectionReset,
    ConnectTimedOut,
    DownstreamGone,
    ProxyError,
    ResponseTimedOut,
    Shutdown,
)
from lolly_tx.domain.outlier import OutlierLimits
from lolly_tx.domain.slow_start import SlowStart
from lolly_tx.domain.target import Target

TARGET_NAMES = "abcdef"


def errors() -> st.SearchStrategy[ProxyError]:
    """Every way an attempt can end badly, the node's fault or not."""
    return st.sampled_from(
        [
            ConnectFailed,
            ConnectTimedOut,
            ConnectionReset,
            ResponseTimedOut,
            BadResponse,
            DownstreamGone,
            Shutdown,
        ]
    ).map(lambda kind: kind("made up"))


def targets(name: str) -> st.SearchStrategy[Target]:
    """A target of that id with any settings."""
    return st.builds(
        Target,
        id=st.just(name),
        address=st.just(f"http://{name}.example"),
        weight=st.sampled_from([1, 1, 1, 2, 5, 7919]),
        max_conns=st.sampled_from([0, 0, 0, 1, 3]),
        backup=st.sampled_from([False, False, True]),
        down=st.sampled_from([False, False, False, True]),
        priority=st.sampled_from([0, 0, 0, 1, 2]),
    )


def memberships() -> st.SearchStrategy[list[Target]]:
    """Up to six targets of different ids, in any order."""
    return st.lists(
        st.sampled_from(TARGET_NAMES), unique=True, max_size=len(TARGET_NAMES)
    ).flatmap(lambda names: st.tuples(*map(targets, names)).map(list))


def thresholds() -> st.SearchStrategy[Thresholds]:
    """Thresholds of active checks."""
    return st.builds(Thresholds, st.integers(1, 3), st.integers(1, 3))


def accruals() -> st.SearchStrategy[ConsecutiveFailures]:
    """Passive settings as a policy to copy its settings from."""
    return st.builds(
        ConsecutiveFailures,
        st.sampled_from([1, 1, 2, 3, 0]),
        st.sampled_from([5.0, 60.0]),
        st.integers(1, 3),
    )


def ejection_limits() -> st.SearchStrategy[EjectionLimits]:
    """How far ejections may go."""
    return st.builds(
        EjectionLimits,
        max_seconds=st.sampled_from([0.0, 100.0]),
        decay=st.sampled_from([0.0, 7.0]),
        max_share=st.sampled_from([0.0, 0.34, 0.5, 1.0]),
        keep_last=st.booleans(),
        shadow=st.sampled_from([False, False, False, True]),
    )


def outlier_limits() -> st.SearchStrategy[OutlierLimits | None]:
    """Mostly none; otherwise so quick to judge that a few exchanges are enough."""
    return st.sampled_from(
        [
            None,
            None,
            OutlierLimits(false_rate=0.1, requests=2),
            OutlierLimits(false_rate=0.1, requests=2, latency=True, shadow=True),
        ]
    )


def slow_starts() -> st.SearchStrategy[SlowStart]:
    """Off, short and long."""
    return st.sampled_from([SlowStart(), SlowStart(4.0), SlowStart(100.0, 0.3, 2.0)])

"""Tests on real sockets share a machine with whatever else it runs.

One that fails is run once more, and the summary names it under RERUN: a machine that stood still for a second does not
stop a change, and a fault that shows now and then is still seen. Everything else in the suite is deterministic, and is
never run twice.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark those of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))

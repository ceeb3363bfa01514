"""What holds for the whole suite.

Hypothesis draws the same examples in every run, and a busy machine is no failure. Other
examples: `HYPOTHESIS_PROFILE=explore`.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from lolly_tx._version import build

PATIENT = [
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
]

settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=PATIENT
)
settings.register_profile("explore", deadline=None, suppress_health_check=PATIENT)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

INTERPRETED_ONLY = {
    "patches a method of a class that is compiled": (
        "tests/domain/test_pool_together.py::TogetherTests::test_at_once_for_who_asks",
        "tests/domain/test_pool_together.py::TogetherTests::test_gone",
        "tests/domain/test_pool_together.py::TogetherTests::test_membership_with_settings",
        "tests/domain/test_pool_together.py::TogetherTests::test_not_long",
        "tests/domain/test_pool_together.py::TogetherTests::test_one_look",
        "tests/domain/test_pool_together.py::TogetherTests::test_one_look_at_a_round",
        "tests/domain/test_pool_together.py::TogetherTests::test_slow_start",
        "tests/proxy/test_exchange.py::AttemptTests::test_bug_while_sending",
        "tests/net/test_tunnel.py::RefusalTests::test_door_without_tunnels",
        "tests/proxy/test_hedge.py::HedgeTests::test_bug",
        "tests/simulate/test_fidelity.py::FidelityTests::test_cases",
        "tests/simulate/test_fidelity.py::FidelityTests::test_no_budget",
        "tests/simulate/test_fidelity.py::FidelityTests::test_post",
    ),
    "gives an attribute of a compiled class a value of another type": (
        "tests/proxy/streams/test_datagrams.py::DatagramStreamingTests::test_record",
        "tests/net/test_tunnel.py::RefusalTests::test_door_that_changes_its_mind",
        "tests/service/checks/test_checker.py::TroubleTests::test_pool_that_raises",
    ),
    "replaces the logger of a compiled class": (
        "tests/service/records/test_recording.py::LogWritingTests::test_a_reader_that_reads_again",
        "tests/service/records/test_recording.py::LogWritingTests::test_nobody_reads_to_the_end",
    ),
    "lists the attributes of objects, which compiled ones do not tell": (
        "tests/wire/test_message.py::RequestTests::test_round_trip",
        "tests/wire/test_message.py::ResponseTests::test_round_trip",
    ),
}
"""Tests that the compiled build (docs/performance.md) leaves out, by the reason. A few, and no more."""

MOST_LEFT_OUT = 20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave them out where the modules are compiled."""
    reasons = {test: why for why, tests in INTERPRETED_ONLY.items() for test in tests}
    assert len(reasons) <= MOST_LEFT_OUT
    if build() == "compiled":
        for item in items:
            if item.nodeid in reasons:
                item.add_marker(pytest.mark.skip(reason=reasons[item.nodeid]))

"""What holds for the whole suite.

Hypothesis draws the same examples in every run, and a busy machine is no failure. Other
examples: `HYPOTHESIS_PROFILE=explore`.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

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

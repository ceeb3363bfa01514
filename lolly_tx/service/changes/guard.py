"""Whether settings on trial keep to the guardrails: the errors and the latency of the latest time.

Imports: config, service. Used by: service.changes.applying.
"""

from __future__ import annotations

from collections import deque

import attrs

from lolly_tx.config.operating import Guardrails
from lolly_tx.service.service import LollyService


@attrs.frozen
class Sample:
    """Counters at one time, seconds. `answers`, `latency`: those of targets, and the sum of their seconds."""

    at: float
    requests: int
    errors: int
    answers: int
    latency: float


def sample(service: LollyService) -> Sample:
    """The counters of all pools and listeners as they are now."""
    requests = errors = answers = 0
    latency = 0.0
    for running in service.running_pools.values():
        counters = running.forwarder.counters
        requests += counters.exchanges
        errors += counters.failed
        for node in running.pool.nodes.values():
            errors += node.stats.errors
            answers += node.stats.successes
            latency += node.stats.latency_sum
    refused = own_errors = 0
    for resource in service.resources.values():
        for code, count in resource.proxy.refused_codes.items():
            refused += count
            own_errors += count if code >= 400 else 0
    return Sample(
        service.now(), requests + refused, errors + own_errors, answers, latency
    )


class Guard:
    """Compares samples from `first` on with `rails`."""

    def __init__(self, rails: Guardrails, first: Sample) -> None:
        self._rails = rails
        self._samples = deque([first])

    def judge(self, latest: Sample) -> str:
        """What is wrong by `latest`, "" when nothing is, or too little has happened to tell."""
        rails, samples = self._rails, self._samples
        while len(samples) > 1 and samples[1].at <= latest.at - rails.window:
            samples.popleft()
        first = samples[0]
        samples.append(latest)
        requests = latest.requests - first.requests
        if requests < rails.requests:
            return ""
        share = (latest.errors - first.errors) / requests
        if rails.error_share and share > rails.error_share:
            return (
                f"{share:.0%} of {requests} requests ended with an error; the guardrails"
                f" allow {rails.error_share:.0%}"
            )
        answers = latest.answers - first.answers
        seconds = (latest.latency - first.latency) / answers if answers else 0.0
        if rails.latency and seconds > rails.latency:
            return (
                f"answers took {seconds:.3f} s on average; the guardrails allow"
                f" {rails.latency:g} s"
            )
        return ""

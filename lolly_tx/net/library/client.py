"""treq over pools: each request goes to the target that its pool picks.

Imports: domain.retries, net.library, treq. Used by: lolly_tx.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treq.client import HTTPClient

from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.net.library.agent import READ_TIMEOUT, BalancedAgent
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.library.pools import Targets, balanced


def client(
    reactor: Any,
    pools: Mapping[str, Targets | BalancedEndpoint],
    *,
    retry: RetryPolicy | None = None,
    timeout: float | None = READ_TIMEOUT,
) -> HTTPClient:
    """A treq client whose URLs name one of `pools` as their host: `client.get("http://api/x")`.

    `pools`: by name, what `balanced` takes as targets, or what it makes. `retry`, `timeout`: those of `BalancedAgent`,
    which whoever wants to close kept connections makes himself: `HTTPClient(BalancedAgent(...))`.
    Raises what `balanced` and `BalancedAgent` raise.
    """
    endpoints = {
        name: where
        if isinstance(where, BalancedEndpoint)
        else balanced(reactor, where, name=name)
        for name, where in pools.items()
    }
    return HTTPClient(BalancedAgent(reactor, endpoints, retry=retry, timeout=timeout))

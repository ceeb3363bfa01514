"""Why a store has no answer.

Imports: nothing of ours. Used by: net.stores.news, net.stores.store, proxy.middleware,
service, service.acme, service.stores.
"""

from __future__ import annotations


class StoreAway(Exception):
    """There is no answer, or none in time. The text says why, in one line."""


class StoreRefused(StoreAway):
    """It answers that it does not do what it is asked."""

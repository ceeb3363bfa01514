"""What the settings of a provider say of how a cluster is taken.

Imports: nothing of ours. Used by: kubernetes.backends, kubernetes.gateways,
kubernetes.ingresses, kubernetes.translation, service.providers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs


def _any_certificate(chain: bytes, key: bytes) -> str:
    return ""


@attrs.frozen
class Terms:
    """`name`: of the class that is ours. `listeners`: by what a listener of a Gateway is found by, those of ours.

    `streams`: names of listeners of ours that are streams, of them with which TLS passes through. `discover`: what each
    pool's discovery says beside service and port; `pool`: what each pool says. `addresses`: where we are reached from
    outside. `unusable`: why a chain and key are none; "" = they are.
    """

    name: str = "lolly"
    listeners: Mapping[str, str] = attrs.field(factory=dict)
    streams: frozenset[str] = frozenset()
    namespaces: tuple[str, ...] = ()
    discover: Mapping[str, Any] = attrs.field(factory=dict)
    pool: Mapping[str, Any] = attrs.field(factory=dict)
    addresses: tuple[str, ...] = ()
    unusable: Callable[[bytes, bytes], str] = _any_certificate

    def listener(self, name: str, port: Any, protocol: str) -> str:
        """Ours for one of a Gateway, by its name, its port or its protocol; "": there is none."""
        for key in (name, str(port), protocol.lower()):
            if key in self.listeners:
                return self.listeners[key]
        return ""

"""The settings of local faults: when it is this machine, and not its targets, that has lost the network.

Imports: config.kinds, domain. Used by: config.model, service, service.checks.
"""

from __future__ import annotations

from typing import Any

import attrs

from lolly_tx.config.kinds.plain import Count, Duration, Number, Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf
from lolly_tx.domain.target import host_and_port


class _Canary(Word):
    """Where a canary is: host and port."""

    word = "address"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        found = host_and_port(text)
        if found is None or found[1] is None or not 1 <= found[1] <= 65535:
            raise Rejected('must be a host and a port, such as "10.0.0.1:53"')
        return text


@attrs.frozen
class LocalFault:
    """When failures of unrelated targets are a fault of this machine, for which nobody is ejected."""

    hosts: int = attrs.field(
        default=3,
        metadata=about(
            Count(0, 10**6),
            "Hosts that fall silent together, in two pools at least, that make one; 0 = none is ever seen.",
        ),
    )
    share: float = attrs.field(
        default=0.8,
        metadata=about(
            Number(0.01, 1.0),
            "Of the networks heard of since, the part that has to be silent.",
        ),
    )
    window: float = attrs.field(
        default=10.0,
        metadata=about(
            Duration(2.0),
            "Time after the first failure within which the others have to follow.",
        ),
    )
    canaries: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(_Canary(), "canaries"),
            'Places that are there when the network is, such as the gateway ("10.0.0.1:53"); a refusal will do. All of'
            " them silent is a local fault, one of them heard is none.",
        ),
    )
    interval: float = attrs.field(
        default=1.0,
        metadata=about(Duration(0.1), "From one connect to each canary to the next."),
    )

"""A target: an address to send traffic to, frozen.

May import: nothing of ours. Used by: config (builds them), domain.node (their live state), net (connects to them).
"""

from __future__ import annotations

import re
from typing import Literal

import attrs

_UNSAFE = re.compile(r"[^a-z0-9]+")


def target_id(address: str) -> str:
    """A host-safe name (`[a-z0-9-]+`) for an address: "http://10.0.0.1:80" -> "http-10-0-0-1-80"."""
    return _UNSAFE.sub("-", address.lower()).strip("-") or "target"


@attrs.frozen
class Target:
    """One backend address.

    `id`: unique in its pool, host-safe; live state is kept under it across reloads.
    `address`: what the operator wrote (URL or endpoint string); shown in logs and the API.
    `scheme`: "http" or "https" (spoken over whatever the endpoint connects).
    `host`, `port`: for URL targets; "" and 0 for endpoint strings.
    `endpoint`: a Twisted client endpoint string, or "" for URL targets.
    `weight`: share of the traffic, >= 1. `max_conns`: exchanges at once, 0 = no limit.
    `backup`: used only when no primary is available. `down`: never used until enabled by the operator.
    `priority`: the tier, 0 is the best; traffic spills to the next when a tier is not well enough.
    Raises ValueError for numbers below the least.
    """

    id: str
    address: str
    scheme: Literal["http", "https"] = "http"
    host: str = ""
    port: int = 0
    endpoint: str = ""
    weight: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    max_conns: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    backup: bool = False
    down: bool = False
    priority: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    @property
    def authority(self) -> str:
        """The Host to send when the pool's `host` setting is "target"."""
        if not self.host:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

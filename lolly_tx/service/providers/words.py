"""What is said and shown of every provider: that it has no answer, once, and how it stands.

Imports: Twisted. Used by: service.providers.provider, service.providers.textprovider.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, ClassVar

from twisted.logger import Logger

SHOWN = 20
"""Of what is refused, each with its reason, as many are shown, and said at once."""


class Silence:
    """Whether provider `name` has no answer. `why`: what for; "": it answers."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, name: str) -> None:
        self.name = name
        self.why = ""

    def begin(self, why: str) -> None:
        """It has none."""
        if not self.why:
            self.log.warn(
                "Provider {name} has no answer, what it brought stays: {why}",
                name=self.name,
                why=why,
            )
        self.why = why

    def end(self) -> None:
        """It answers."""
        if self.why:
            self.log.info("Provider {name} answers again", name=self.name)
        self.why = ""


def provider_shown(
    name: str,
    type: str,
    error: str,
    current: bool,
    refused: Iterable[dict[str, str]],
    *,
    age: float | None = None,
    gateways: int = 0,
    routes: int = 0,
    ingresses: int = 0,
) -> dict[str, Any]:
    """How a provider stands, as JSON-able values. `current`: whether it ever answered. `age`: seconds since it did."""
    return {
        "name": name,
        "type": type,
        "state": "stale" if error else "current" if current else "asking",
        "error": error,
        "age_seconds": None if age is None else round(age, 3),
        "gateways": gateways,
        "routes": routes,
        "ingresses": ingresses,
        "refused": list(islice(refused, SHOWN)),
    }

"""The types of middleware that are built in, each with the class of its settings.

Imports: config.middleware. Used by: config.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lolly_tx.config.middleware.headers import Headers

BUILT_IN: Mapping[str, type] = MappingProxyType(
    {
        "headers": Headers,
    }
)

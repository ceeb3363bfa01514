"""Settings on their way to another process of the same proxy.

Workers serve by the very settings that were checked, whatever has become of the files meanwhile. Both ends run the same
code, and nobody else writes to the channel between them.

Imports: config. Used by: service.workers.supervisor, service.workers.template,
service.workers.worker, tap.
"""

from __future__ import annotations

import base64
import io
import pickle
from types import MappingProxyType
from typing import Any

from lolly_tx.config.model import Config


class CannotPack(Exception):
    """Settings that cannot be sent: a plugin's are of a kind that cannot be copied."""


def _read_only(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    # The type itself has no name that could be sent.
    return MappingProxyType(content)


class _Packer(pickle.Pickler):
    """A pickler that knows read-only mappings."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, MappingProxyType):
            return _read_only, (dict(value),)
        return NotImplemented


def packed(config: Config) -> str:
    """`config` as text. Raises `CannotPack`."""
    parcel = io.BytesIO()
    try:
        _Packer(parcel, pickle.HIGHEST_PROTOCOL).dump(config)
    except Exception as error:
        raise CannotPack(
            f"with workers settings have to be sent to them: {error}"
        ) from error
    return base64.b64encode(parcel.getvalue()).decode("ascii")


def unpacked(text: str) -> Config:
    """What `packed` made."""
    config: Config = pickle.loads(base64.b64decode(text))
    return config

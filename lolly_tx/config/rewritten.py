"""Settings of pools written as a file again, from what `config.shown` made of them.

Secrets are hidden there and stay so; files that the settings name need not exist.

Imports: config, config.texts. Used by: simulate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lolly_tx.config.load import DiskFiles, parse
from lolly_tx.config.model import Config
from lolly_tx.config.texts.reading import Names

_REST = """
[listener.replay]
endpoint = "tcp:1:interface=127.0.0.1"
[[route]]
pool = {}
"""


class _Elsewhere(DiskFiles):
    """The settings were made on another machine."""

    def why_no_file(self, path: str) -> str:
        """It may be one there."""
        return ""


def config_of(
    pools: Mapping[str, Any], pool: str, name: str, names: Names | None = None
) -> Config:
    """A configuration with `pools`, of which one, `pool`, is served. `name`: of its file, for messages.

    Raises `ConfigErrors`.
    """
    lines = []
    for each, settings in pools.items():
        lines.append(f"[pool.{json.dumps(each)}]")
        lines += [
            f"{json.dumps(key)} = {_value(value)}"
            for key, value in settings.items()
            if value is not None
        ]
    text = "\n".join(lines) + _REST.format(json.dumps(pool))
    return parse(text, name, files=_Elsewhere(), names=names)


def _value(value: Any) -> str:
    """A JSON-able value in TOML."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        inner = (
            f"{json.dumps(key)} = {_value(one)}"
            for key, one in value.items()
            if one is not None
        )
        return "{" + ", ".join(inner) + "}"
    return json.dumps(value)

"""Values from the environment: `${VAR}`, `${VAR:-default}`, and `$${` for a plain `${`.

Only string values are filled in, after the TOML was read, so that no value can change the
structure of a file. A variable that is not set and has no default is a problem; with
a default, an empty variable counts as not set, as in a shell.

Imports: config.kinds. Used by: config.texts.reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lolly_tx.config.kinds.plain import FromEnvironment, Unfilled, nearest
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.kinds.variables import PREFIXES, VARIABLES

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:-)(.*))?", re.DOTALL)


def filled(text: str, environ: Mapping[str, str] | None) -> str:
    """`text` with its references replaced; `Rejected` when one cannot be. `environ`: None: it may have none."""
    changed = False

    def value(reference: re.Match[str]) -> str:
        nonlocal changed
        if reference[0] == "$${":
            return "${"
        inside = _INSIDE.fullmatch(reference[1] or "")
        if inside is None:
            raise Rejected(
                "a reference is ${VAR} or ${VAR:-default}; write $${ for a plain ${"
            )
        if environ is None:
            raise Rejected(
                "the environment is for files of this machine; write $${ for a plain ${"
            )
        changed = True
        found = environ.get(inside[1])
        if inside[2] and not found:
            return inside[3]
        if found is None:
            close = nearest(inside[1], environ) if len(environ) > 12 else ""
            raise Rejected(
                f"the environment variable {inside[1]} is not set"
                + (close or f"; set it, or write ${{{inside[1]}:-default}}")
                + _for_log_lines(inside[1])
            )
        return found

    text = _REFERENCE.sub(value, text)
    return FromEnvironment(text) if changed else text


def _for_log_lines(name: str) -> str:
    """What to write instead, where `name` is a variable of log lines."""
    if name in VARIABLES or name.startswith(tuple(PREFIXES)):
        return f"; the variable of log lines is written $${{{name}}} in this file"
    return ""


def filled_tree(raw: Any, place: Place, environ: Mapping[str, str] | None) -> Any:
    """A copy of a TOML value with every string filled in, problems recorded."""
    if isinstance(raw, dict):
        return {k: filled_tree(v, place.at(k), environ) for k, v in raw.items()}
    if isinstance(raw, list):
        return [filled_tree(v, place.at(i), environ) for i, v in enumerate(raw)]
    if not isinstance(raw, str) or "${" not in raw:
        return raw
    try:
        return filled(raw, environ)
    except Rejected as rejected:
        place.wrong(rejected.message)
        return Unfilled(raw)

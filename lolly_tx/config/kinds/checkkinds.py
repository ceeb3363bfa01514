"""The kinds of values active checks have: their types, names, bytes to send, settings of plugins.

Imports: config.kinds. Used by: config, config.kinds.extensions, config.middleware,
config.rules, config.texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lolly_tx.config.kinds.plain import Word, nearest, plain_text, quoted, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place

BUILT_IN_CHECKS = frozenset({"http", "tcp", "tls", "grpc", "script", "udp"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LONGEST_BYTES = 64 << 10
"""Of what one step sends or expects: more than any handshake needs."""


class _CheckType(Word):
    """The type of a check, built in or brought by a plugin."""

    word = "type of check"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        known = place.known("check")
        if known is not None and text not in known:
            near = nearest(text, known)
            raise Rejected(f"no check has this type{near}{place.hint}")
        return text


class _Name(Word):
    """A name for reports."""

    word = "name"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not _NAME.fullmatch(text):
            raise Rejected("must be letters, digits, - and _, at most 64 of them")
        return text


class _Characters(Word):
    """Any characters, line ends and control characters among them."""

    word = "text"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if len(text.encode("utf-8", "surrogatepass")) > _LONGEST_BYTES:
            raise Rejected("must be 64 KiB at most")
        return text


class _Hex(Word):
    """Bytes, two hexadecimal digits each."""

    word = "hexadecimal bytes"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        try:
            size = len(bytes.fromhex(text))
        except ValueError:
            raise Rejected(
                'must be pairs of hexadecimal digits such as "0d 0a"'
            ) from None
        if size > _LONGEST_BYTES:
            raise Rejected("must be 64 KiB at most")
        return text


class _Free:
    """A table whose keys somebody else knows: the plugin."""

    word = "table"

    def read(self, raw: Any, place: Place) -> Mapping[str, Any]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table, not {type_word(raw)}")
        return MappingProxyType(dict(raw))

    def show(self, value: Any) -> str:
        pairs = ", ".join(f"{key} = {quoted(str(one))}" for key, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"


CHECK_TYPE = _CheckType()
NAME = _Name()
CHARACTERS = _Characters()
HEX = _Hex()
FREE = _Free()

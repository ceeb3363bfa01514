"""The kind of value that says which fields tell targets of a client's TLS.

Imports: config.kinds. Used by: config, proxy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lolly_tx.config.kinds.plain import nearest, plain_text, quoted, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place

FACTS = (
    "version",
    "cipher",
    "server_name",
    "alpn",
    "verify",
    "subject",
    "issuer",
    "serial",
    "fingerprint",
)
"""What is known; `$tls_` before them."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_TAKEN = re.compile(
    r"(?i)host|connection|keep-alive|te|trailer|transfer-encoding|content-.*|upgrade"
    r"|expect|proxy-.*|forwarded|x-forwarded-.*|x-real-ip|via|cookie|authorization"
    r"|lolly-hop|max-forwards|range|date"
)


class _TLSFields:
    """Fields by name, each with a variable; read as the name of the fact."""

    word = "table of fields"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of fields, not {type_word(raw)}")
        out: dict[str, str] = {}
        seen: set[str] = set()
        for name, value in raw.items():
            here = place.at(name)
            folded = name.lower().replace("_", "-")
            if not _TOKEN.fullmatch(name):
                here.wrong("is no name of a header field")
            elif _TAKEN.fullmatch(folded):
                here.wrong("has a meaning of its own; take another name")
            elif folded in seen:
                here.wrong("is there twice")
            else:
                try:
                    out[name] = _fact(value)
                except Rejected as rejected:
                    here.wrong(rejected.message)
            seen.add(folded)
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        inside = ", ".join(f'{quoted(n)} = "$tls_{f}"' for n, f in value.items())
        return f"{{ {inside} }}" if inside else "{}"


def _fact(value: Any) -> str:
    text = plain_text(value)
    known = [f"$tls_{fact}" for fact in FACTS]
    if text not in known:
        raise Rejected("is no variable of TLS" + nearest(text, known))
    return text.removeprefix("$tls_")


TLS_FIELDS = _TLSFields()
NO_FIELDS: Mapping[str, str] = MappingProxyType({})

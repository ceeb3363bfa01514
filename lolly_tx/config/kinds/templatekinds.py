"""The kinds of values with variables: texts, fields, where a redirect leads; and the variables of a configuration.

What is read has the variables of `[variables]` written out, so that who uses it needs the text alone.

Imports: config.kinds, domain.routing. Used by: config, config.middleware,
importing.nginx, proxy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lolly_tx.config.kinds.httpkinds import FIELD_VALUE, FieldTable, TextTable
from lolly_tx.config.kinds.plain import Word, plain_text, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.kinds.variables import OWN_NAME, expanded, is_taken, parts_of
from lolly_tx.domain.routing.hosts import BadHost, host_name

NO_TEXTS: Mapping[str, str] = MappingProxyType({})

_ABSOLUTE = re.compile(r"(https?|\$scheme|\$\{scheme\})://")
_FRAMING = frozenset(
    (
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Fields that say how a message is sent, which is for us to know."""


class _Template(Word):
    """A text that may have variables, of one line unless `lines`."""

    word = "text with variables"

    def __init__(self, lines: bool = False) -> None:
        self.lines = lines

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not self.lines and not FIELD_VALUE.fullmatch(text):
            raise Rejected("must be text in one line, without control characters")
        return expanded(text, place.variables) if "$" in text else text


class _Location(_Template):
    """A URL, or a path and what follows it, with variables."""

    word = "URL or path, with variables"

    def read(self, raw: Any, place: Place) -> str:
        text = super().read(raw, place)
        location_parts(text)
        return text


def location_parts(text: str) -> tuple[str, str, str]:
    """Scheme, host and rest of where a redirect leads; the first two are "" for a path. Raises `Rejected`.

    The host ends where the text says so, whatever is filled in.
    """
    begin = _ABSOLUTE.match(text)
    if begin is None:
        if text.startswith("//") or not text.startswith(("/", "$")):
            raise Rejected('must begin with "/", "http://", "https://" or "$"')
        return "", "", text
    host = rest = ""
    for plain, name in parts_of(text[begin.end() :], lambda name: name):
        end = None if rest else re.search(r"[/?#]", plain)
        if end is not None:
            host += plain[: end.start()]
            plain = plain[end.start() :]
        if rest or end is not None:
            rest += plain.replace("$", "$$")
        else:
            host += plain
        if name and (rest or name in ("uri", "path")):
            rest += f"${{{name}}}"
        elif name and host.endswith("}"):
            raise Rejected(
                f'has ${name} beside another variable in the host; put a "/" where the host ends'
            )
        elif name:
            host += f"${{{name}}}"
    if (
        not rest
        and host.endswith("}")
        and not host.endswith(("{host}", "{header_host}"))
    ):
        raise Rejected('ends in its host; put a "/" before the last variable')
    if not host:
        raise Rejected("has no host; a path of the same host begins with one slash")
    if "$" not in host:
        try:
            host_name(host.encode())
        except BadHost:
            raise Rejected(f'has no valid host: "{host}"') from None
    return begin[1], host, rest


class _Fields(FieldTable):
    """Header fields: names with texts that may have variables."""

    word = "table of header fields, with variables"

    def allowed(self, name: str) -> None:
        """See `FieldTable`."""
        if name.lower() in _FRAMING:
            raise Rejected("says how a message is sent, which is not for settings")


class _Variables(TextTable):
    """Variables by name, each with a text that may have others."""

    word = "table of texts with variables"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of names and texts, not {type_word(raw)}")
        out: dict[str, str] = {}
        for name, value in raw.items():
            here = place.at(name)
            try:
                if not OWN_NAME.fullmatch(name):
                    raise Rejected(
                        "a name is letters, digits and _, and begins with a letter"
                    )
                if is_taken(name):
                    raise Rejected("is a variable already; take another name")
                text = plain_text(value)
                expanded(f"${{{name}}}", {**place.variables, name: text})
                out[name] = text
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)


def own_variables(raw: Any) -> dict[str, str | None]:
    """What the table of variables of a file names, before it is read and its mistakes are told."""
    if not isinstance(raw, dict):
        return {}
    return {
        name: text
        for name, text in raw.items()
        if isinstance(text, str) and OWN_NAME.fullmatch(name) and not is_taken(name)
    }


TEMPLATE = _Template()
TEMPLATE_LINES = _Template(lines=True)
LOCATION = _Location()
FIELD_TEMPLATES = _Fields(TEMPLATE)
VARIABLE_TABLE = _Variables()

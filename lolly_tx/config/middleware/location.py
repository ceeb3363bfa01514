"""The settings of `type = "location"`: where answers of targets lead clients, and for what their cookies are.

Imports: config.kinds, domain.routing. Used by: proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.httpkinds import checked_pattern
from lolly_tx.config.kinds.plain import Word, plain_text, quoted, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf, Table
from lolly_tx.config.kinds.templatekinds import TEMPLATE
from lolly_tx.domain.routing.references import reference_of

EVERY = ""
"""The key of a change that is for all there are."""
NO_CHANGES: Mapping[str, str] = MappingProxyType({})


class _From(Word):
    """What a reference begins with, or an expression for all of it."""

    word = "URL, path or expression"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if text.startswith("~"):
            return checked_pattern(text)
        if not re.fullmatch(r"[!-~]+", text):
            raise Rejected("must be ASCII without blanks")
        if text.startswith("/") and not text.startswith("//"):
            return text
        if reference_of(text.encode()) is None:
            raise Rejected(
                'must be a URL such as "http://10.0.0.1:8080/", a path, or "~" and a regular expression'
            )
        return text


@attrs.frozen
class Rule:
    """What a reference becomes."""

    source: str = attrs.field(
        metadata=about(
            _From(),
            'What it begins with: a URL ("http://10.0.0.1:8080/app/", compared by scheme, host and port) or a path; or'
            ' "~" and a regular expression that is found in it ("~*": without regard to case).',
            key="from",
        ),
    )
    to: str = attrs.field(
        metadata=about(
            TEMPLATE,
            "What stands there instead; what followed `from` follows. Of an expression, all of it, with what was"
            " captured.",
        ),
    )


class _CookieChange:
    """One value for all, or a table of values and what they become."""

    word = "text or table"

    def __init__(self, valid: str, wanted: str) -> None:
        self._valid = valid
        self._wanted = wanted

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if isinstance(raw, str):
            raw = {EVERY: raw}
        elif not isinstance(raw, dict):
            raise Rejected(f"must be text or a table of texts, not {type_word(raw)}")
        for name, value in raw.items():
            here = place.at(name) if name != EVERY else place
            if not isinstance(value, str) or not re.fullmatch(self._valid, value):
                here.wrong(f"must be {self._wanted}")
            elif name != EVERY and not re.fullmatch(self._valid, name):
                here.wrong(f"must be for {self._wanted}")
        return MappingProxyType(dict(raw))

    def show(self, value: Mapping[str, str]) -> str:
        if list(value) == [EVERY]:
            return quoted(value[EVERY])
        inside = ", ".join(f"{quoted(k)} = {quoted(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"


@attrs.frozen
class Location:
    """Where answers of targets lead clients, and for what their cookies are."""

    steps: tuple[Rule, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(Table(Rule), "rules"),
            "For Location and the URL in Refresh; the first that matches counts. With none, the address of the target"
            " that has answered becomes the client's: scheme and host as it asked.",
            key="rules",
        ),
    )
    cookie_domain: Mapping[str, str] = attrs.field(
        default=NO_CHANGES,
        metadata=about(
            _CookieChange(r"[A-Za-z0-9.-]*", 'a domain, or "" for none'),
            'What the Domain of cookies becomes: a text for all that have one, or `{ "app.internal" = "example.com" }`;'
            ' "" takes it away.',
        ),
    )
    cookie_path: Mapping[str, str] = attrs.field(
        default=NO_CHANGES,
        metadata=about(
            _CookieChange(r"/[!-:<-~]*", "a path"),
            'The same of their Path, of which the beginning is compared: `{ "/app/" = "/" }`.',
        ),
    )

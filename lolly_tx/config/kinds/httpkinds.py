"""The kinds of values HTTP has: paths, patterns, methods, header fields, statuses.

Imports: config.kinds, domain.routing. Used by: config, config.kinds.matching,
config.kinds.tables, config.kinds.templatekinds, config.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from lolly_tx.config.kinds.plain import (
    TEXT,
    Word,
    nearest,
    plain_text,
    quoted,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Kind, Place
from lolly_tx.config.kinds.variables import is_taken
from lolly_tx.domain.routing.expressions import BadExpression, expression
from lolly_tx.domain.routing.locations import path_expression, pattern_captures
from lolly_tx.domain.routing.routes import BadPath, normal_path

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SHORTEST_SECRET = 16
CAPTURE = re.compile(r"\(\?P<([A-Za-z_][A-Za-z0-9_]*)>")
"""What a regular expression captures by name."""
_STATUS_RANGE = re.compile(r"!?([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")


def checked_pattern(text: str) -> str:
    """A pattern with "~" or "~*" whose expression is one, and captures as nothing that there is. Raises `Rejected`."""
    try:
        path_expression(text)
        if "(" in text:
            pattern_captures(text)
    except BadExpression as error:
        raise Rejected(str(error)) from None
    for name in CAPTURE.findall(text):
        if is_taken(name):
            raise Rejected(f"captures as {name}, which is a variable already")
    return text


class _RoutePath(Word):
    """The path pattern of a route."""

    word = "path pattern"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if text.startswith("~"):
            return checked_pattern(text)
        sign = "=" if text.startswith("=") else "^~" if text.startswith("^~") else ""
        path = text[len(sign) :]
        if not path.startswith("/"):
            raise Rejected(f'must begin with a slash; did you mean "{sign}/{path}"?')
        if "?" in path or "#" in path:
            raise Rejected("must be a path without query and fragment")
        try:
            normal = normal_path(path.encode()).decode("utf-8", "backslashreplace")
        except BadPath:
            raise Rejected("must not have dots with ;parameters") from None
        if normal != path:
            raise Rejected(
                "would match nothing, for paths are compared decoded and without //, ., .."
                f' and ;parameters; did you mean "{sign}{normal}"?'
            )
        return text


class _RequestPath(Word):
    """A path to ask for, with or without a query."""

    word = "path"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not text.startswith("/"):
            raise Rejected(f'must begin with a slash; did you mean "/{text}"?')
        if not re.fullmatch(r"[!-~]*", text) or "#" in text:
            raise Rejected("must be ASCII without blanks and fragment")
        return text


class _BodyRegex(Word):
    """A regular expression to find in a body; empty = none."""

    word = "regular expression"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        try:
            expression(text)
        except BadExpression as error:
            raise Rejected(str(error)) from None
        return text


class Method(Word):
    """A request method, but none of those `without`. `why`: what is wrong with them."""

    word = "method"

    def __init__(self, without: Collection[str], why: str) -> None:
        self._without = without
        self._why = why

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = plain_text(raw)
        if not re.fullmatch(r"[A-Z][A-Z0-9_-]*", text):
            raise Rejected('must be a method in capitals such as "GET" or "HEAD"')
        if text in self._without:
            raise Rejected(self._why)
        return text


class _FieldName(Word):
    """The name of a header field or of a cookie."""

    word = "name"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not _TOKEN.fullmatch(text):
            raise Rejected("must be a name without blanks and separators")
        return text


class TextTable:
    """Texts by name, as the reference shows them."""

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        fields = ", ".join(f"{quoted(k)} = {quoted(v)}" for k, v in value.items())
        return f"{{ {fields} }}" if fields else "{}"


class FieldTable(TextTable):
    """Names of header fields with values of one `kind`; no name twice, whatever its case."""

    word = "table of header fields"

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        """See `schema.Kind`."""
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of names and values, not {type_word(raw)}")
        seen: dict[str, str] = {}
        out: dict[str, str] = {}
        for name, value in raw.items():
            here = place.at(name)
            try:
                FIELD_NAME.read(name, here)
                if name.lower() in seen:
                    raise Rejected(f"the same field as {seen[name.lower()]}")
                seen[name.lower()] = name
                self.allowed(name)
                out[name] = self._kind.read(value, here)
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)

    def allowed(self, name: str) -> None:
        """Raises `Rejected` if it may not be set."""


class _FieldValue(Word):
    """The value of a header field."""

    word = "value"

    def read(self, raw: Any, place: Place) -> str:
        if not isinstance(raw, str) or not FIELD_VALUE.fullmatch(raw):
            raise Rejected("must be text without control characters")
        return raw


class _OptionalFieldName(_FieldName):
    """The same; empty = none."""

    def read(self, raw: Any, place: Place) -> str:
        return super().read(raw, place) if raw != "" else ""


class _CookieAttributes(Word):
    """What follows the value of a cookie (RFC 6265 section 4.1.1)."""

    word = "attributes"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not re.fullmatch(r"[ -~]*", text):
            raise Rejected("must be ASCII without control characters")
        names = [part.partition("=")[0].strip().lower() for part in text.split(";")]
        if "" in names and text:
            raise Rejected('must be attributes with "; " between them')
        for name in ("max-age", "expires"):
            if name in names:
                raise Rejected(f"must not have {name.title()}, which is set by expires")
        return text


class _Secret(Word):
    """Something nobody may guess. Never shown."""

    word = "secret"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if len(text.encode()) < _SHORTEST_SECRET:
            raise Rejected(
                f"must have at least {_SHORTEST_SECRET} characters; make one with:"
                " openssl rand -hex 32"
            )
        return text


class _OptionalSecret(_Secret):
    """The same, or "" for none."""

    def read(self, raw: Any, place: Place) -> str:
        return "" if raw == "" else super().read(raw, place)


class _OptionalToken(_Secret):
    """The same in visible characters, as it stands in a header field; "" for none."""

    word = "secret"

    def read(self, raw: Any, place: Place) -> str:
        if raw == "":
            return ""
        text = super().read(raw, place)
        if not all("!" <= char <= "~" for char in text):
            raise Rejected("must be visible ASCII characters without blanks")
        return text


class _HashKey(Word):
    """What an exchange is hashed by."""

    word = "hash key"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        kind, _, name = text.partition(":")
        if text in ("", "ip", "uri"):
            return text
        if kind not in ("header", "cookie") or not _TOKEN.fullmatch(name):
            raise Rejected('must be "ip", "uri", "header:NAME" or "cookie:NAME"')
        return text


class _StatusRange(Word):
    """A status or a range of them; "!" takes it away from the others."""

    word = "status"

    def read(self, raw: Any, place: Place) -> str:
        if isinstance(raw, int) and not isinstance(raw, bool):
            raw = str(raw)
        match = _STATUS_RANGE.fullmatch(plain_text(raw))
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise Rejected(
                'must be a status such as "204", a range, "200-299", or "!404"'
            )
        return str(raw)


class _RetryCause(Word):
    """What leads to another attempt."""

    word = "cause"
    WORDS = ("connect", "timeout", "reset", "grpc:unavailable")

    def read(self, raw: Any, place: Place) -> str:
        if isinstance(raw, int) and not isinstance(raw, bool):
            raw = str(raw)
        text = plain_text(raw)
        if text not in self.WORDS and not re.fullmatch(r"[45][0-9][0-9]", text):
            raise Rejected(
                'is no cause and no status from "400" to "599"'
                + nearest(text, self.WORDS)
            )
        return text


ROUTE_PATH = _RoutePath()
REQUEST_PATH = _RequestPath()
BODY_REGEX = _BodyRegex()
METHOD = Method(("CONNECT", "TRACE"), "cannot be used for a check")
HEADERS = FieldTable(_FieldValue())
HASH_KEY = _HashKey()
FIELD_NAME = _FieldName()
OPTIONAL_FIELD_NAME = _OptionalFieldName()
OPTIONAL_TOKEN = _OptionalToken()
COOKIE_ATTRIBUTES = _CookieAttributes()
SECRET = _Secret()
OPTIONAL_SECRET = _OptionalSecret()
STATUS_RANGE = _StatusRange()
RETRY_CAUSE = _RetryCause()

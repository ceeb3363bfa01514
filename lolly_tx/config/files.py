"""The settings of files as a route's end, and the kinds of values that only they have.

Imports: config.kinds, domain.routing. Used by: config.facts, config.routing, service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import (
    FLAG,
    TEXT,
    Choice,
    Duration,
    Word,
    duration_text,
    quoted,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf
from lolly_tx.domain.routing.files import BadTry, TryList

NO_TYPES: Mapping[str, str] = MappingProxyType({})
OFF, EPOCH, MAX = "off", "epoch", "max"

_MEDIA_TYPE = re.compile(r"[!#$&^_.+0-9A-Za-z-]+/[!#$&^_.+0-9A-Za-z-]+(?:; ?[ -~]+)?")
_EXTENSION = re.compile(r"\.?[!#-.0-~]{1,32}")
_CHARSET = re.compile(r"[0-9A-Za-z_.:-]{0,40}")


class _Root(Word):
    """A folder, made absolute."""

    word = "folder"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not text:
            raise Rejected("must name a folder")
        return place.absolute(text)


class _IndexName(Word):
    """The name of a file in a folder."""

    word = "file name"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not text or "/" in text or text in (".", ".."):
            raise Rejected("must be the name of a file, without a folder")
        return text


class _TryEntry(Word):
    """One of the paths that are tried, or a status."""

    word = "path"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        try:
            TryList(["/", text] if text.startswith("=") else [text])
        except BadTry as error:
            raise Rejected(str(error)) from None
        return text


class _TryEntries(ListOf):
    """Those, in order."""

    def read(self, raw: Any, place: Place) -> tuple[str, ...]:
        entries = super().read(raw, place)
        for index, text in enumerate(raw if len(entries) == len(raw) else ()):
            if text.startswith("=") and (index + 1 < len(raw) or not index):
                raise Rejected(f'"{text}" stands at the end, behind what is tried')
        return entries


class _Ending(Word):
    """How the name of a file ends."""

    word = "ending"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not text or "/" in text:
            raise Rejected('must be the end of a file name, such as ".js"')
        return text


class _Expires(Word):
    """How long answers may be kept."""

    word = 'duration, "max", "epoch" or "off"'

    def read(self, raw: Any, place: Place) -> float | str:
        if isinstance(raw, str) and raw in (OFF, EPOCH, MAX):
            return raw
        try:
            return Duration(0.0).read(raw, place)
        except Rejected as rejected:
            raise Rejected(f'{rejected.message}, or "max", "epoch", "off"') from None

    def show(self, value: Any) -> str:
        return quoted(value if isinstance(value, str) else duration_text(value))


class _MediaType(Word):
    """A Content-Type value."""

    word = "media type"

    def __init__(self, optional: bool = False) -> None:
        self._optional = optional

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not _MEDIA_TYPE.fullmatch(text) and (text or not self._optional):
            raise Rejected('must be a media type such as "text/plain; charset=utf-8"')
        return text


class _Types:
    """Media types by extension."""

    word = "table of media types by extension"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of media types, not {type_word(raw)}")
        out: dict[str, str] = {}
        kind = _MediaType()
        for name, value in raw.items():
            here = place.at(name)
            extension = name.lower().lstrip(".")
            try:
                if not _EXTENSION.fullmatch(name) or "." in extension:
                    raise Rejected('an extension is what follows the last dot: "txt"')
                if extension in out:
                    raise Rejected("this extension is in the table twice")
                out[extension] = kind.read(value, here)
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        types = ", ".join(f"{quoted(k)} = {quoted(v)}" for k, v in value.items())
        return f"{{ {types} }}" if types else "{}"


class _Charset(Word):
    """The name of a charset, or nothing."""

    word = "charset"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not _CHARSET.fullmatch(text):
            raise Rejected('must be the name of a charset, or ""')
        return text


_INDEX = ListOf(_IndexName(), "file names", single=True)
_TRIES = _TryEntries(_TryEntry(), "paths")
_ENDINGS = ListOf(_Ending(), "endings")
_CODINGS = ListOf(Choice("br", "gzip", "zstd"), "codings")


@attrs.frozen
class Files:
    """Files of a folder."""

    root: str = attrs.field(
        metadata=about(
            _Root(),
            "The folder; the whole path of a request is looked for below it (`strip_prefix` makes that less).",
        ),
    )
    index: tuple[str, ...] = attrs.field(
        default=("index.html",),
        metadata=about(
            _INDEX, "What a folder is answered with: the first that exists."
        ),
    )
    tries: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            _TRIES,
            'Paths below the root, of which the first that is a file is served (with "/" at the end: a folder);'
            ' `$path` in them is that of the request. A fallback comes last, or a status such as "=404". None = the'
            ' path itself, and a folder without its "/" is redirected to.',
            key="try",
        ),
    )
    only_themselves: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            _ENDINGS,
            'Names that end so ([".js", ".css"]) are never answered by a fallback of `try`: 404 where a page would'
            " be no script.",
        ),
    )
    listing: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "List folders that have no index: as a page, or as JSON if Accept asks for it.",
        ),
    )
    precompressed: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            _CODINGS,
            "Serve NAME.br, NAME.gz or NAME.zst in place of NAME to clients that take it; the first is preferred.",
        ),
    )
    hidden: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Serve names that begin with a dot, too. /.well-known/ is always served.",
        ),
    )
    symlinks: str = attrs.field(
        default="inside",
        metadata=about(
            Choice("inside", "all", "none"),
            'Symbolic links that are followed: those that stay "inside" of the root, "all" or "none".',
        ),
    )
    expires: float | str = attrs.field(
        default=OFF,
        metadata=about(
            _Expires(),
            'How long answers may be kept (Expires and Cache-Control): "30d"; "max" is ten years, "epoch" is to be'
            ' asked again each time, "off" says nothing.',
        ),
    )
    types: Mapping[str, str] = attrs.field(
        default=NO_TYPES,
        metadata=about(
            _Types(), 'Media types by extension, such as { log = "text/plain" }.'
        ),
    )
    default_type: str = attrs.field(
        default="application/octet-stream",
        metadata=about(
            _MediaType(optional=True),
            "Of a file whose extension says nothing; none is said where it is empty.",
        ),
    )
    charset: str = attrs.field(
        default="utf-8",
        metadata=about(
            _Charset(), "Of text, but for `types`; none is said where it is empty."
        ),
    )
    fresh: float = attrs.field(
        default=1.0,
        metadata=about(
            Duration(0.0),
            "How long what was found on the disk is believed; 0 = looked at for each request.",
        ),
    )

"""The settings of `strip_prefix`, `add_prefix` and `replace_path`: the path that targets are asked for.

Imports: config.kinds, domain.routing. Used by: proxy.middleware.
"""

from __future__ import annotations

from typing import Any

import attrs

from lolly_tx.config.kinds.plain import Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.templatekinds import TEMPLATE
from lolly_tx.domain.routing.routes import BadPath, normal_path


class _Prefix(Word):
    """A path of whole segments, read without its final slash."""

    word = "path"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        path = text.rstrip("/")
        if not text.startswith("/"):
            raise Rejected(f'must begin with a slash; did you mean "/{text}"?')
        if not path:
            raise Rejected('must have a segment, such as "/api"')
        if not all("!" <= char <= "~" for char in path) or set(path) & set("?#"):
            raise Rejected("must be a path in ASCII without query and fragment")
        try:
            normal = normal_path(path.encode()).decode("latin-1")
        except BadPath:
            raise Rejected("must not have dots with ;parameters") from None
        if normal != path:
            raise Rejected(
                "must be decoded and without //, ., .. and ;parameters; did you mean"
                f' "{normal}"?'
            )
        return path


class _Target(Word):
    """A path with variables, and with a query if it is to have one."""

    word = "path, with variables"

    def read(self, raw: Any, place: Place) -> str:
        text: str = TEMPLATE.read(raw, place)
        if not text.startswith(("/", "$")) or text.startswith("//"):
            raise Rejected('must begin with one "/", or with a variable')
        if "#" in text:
            raise Rejected("must not have a fragment, which is never sent")
        return text


@attrs.frozen
class StripPrefix:
    """Targets are asked without a prefix of the path.

    Paths are compared decoded and cut as they were sent, at the end of a whole segment; what does not begin with the
    prefix passes as it is. The query stays.
    """

    prefix: str = attrs.field(
        metadata=about(_Prefix(), 'What is cut off: "/api" makes "/x" of "/api/x".')
    )


@attrs.frozen
class AddPrefix:
    """Targets are asked with a prefix before the path. A path whose dots would lead out of it gets 400."""

    prefix: str = attrs.field(
        metadata=about(_Prefix(), 'What is put before: "/app" makes "/app/x" of "/x".')
    )


@attrs.frozen
class ReplacePath:
    """Targets are asked for another path."""

    to: str = attrs.field(
        metadata=about(
            _Target(),
            'The path: "/index.php" or "/v2$path". What is filled in is escaped where it has to be. The query stays'
            ' unless there is a "?" in it.',
        )
    )

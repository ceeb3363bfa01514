"""`type = "cors"`: which scripts of other sites may ask, by the Fetch standard (CORS protocol).

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware, wire. Used
by: programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.cors import ANY, Cors
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer, AnswerHead
from lolly_tx.proxy.chains.link import ASKED, RESPONSE
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.wire.fieldlines import field_values
from lolly_tx.wire.message import RequestHead

_OURS = tuple(
    b"access-control-" + name
    for name in (
        b"allow-credentials",
        b"allow-headers",
        b"allow-methods",
        b"allow-origin",
        b"expose-headers",
        b"max-age",
    )
)


def _list(values: Sequence[str]) -> bytes:
    return ", ".join(values).encode("ascii")


class CorsMiddleware(Middleware):
    """See the module."""

    touches = frozenset((ASKED, RESPONSE))

    def __init__(self, settings: Cors) -> None:
        self._any = ANY in settings.origins
        self._origins = frozenset(one.encode("ascii") for one in settings.origins)
        self._credentials = settings.credentials
        shared = b""
        if settings.credentials:
            shared += b"Access-Control-Allow-Credentials: true\r\n"
        self._answer = shared
        if settings.expose:
            self._answer += b"Access-Control-Expose-Headers: %b\r\n" % _list(
                settings.expose
            )
        preflight = shared
        if settings.methods:
            preflight += b"Access-Control-Allow-Methods: %b\r\n" % _list(
                settings.methods
            )
        self._all_fields = ANY in settings.headers
        if settings.headers and not self._all_fields:
            preflight += b"Access-Control-Allow-Headers: %b\r\n" % _list(
                settings.headers
            )
        if settings.max_age:
            preflight += b"Access-Control-Max-Age: %d\r\n" % settings.max_age
        self._preflight = preflight

    def _allowed(self, head: RequestHead) -> bytes:
        """The line that lets the script see the answer; b"" for one that may not."""
        if self._any:
            return b"Access-Control-Allow-Origin: *\r\n"
        given = head.block.get_all(b"origin")
        # Exactly a name of the list: a site whose name only ends like one of them is another.
        if len(given) != 1 or given[0] not in self._origins:
            return b""
        return b"Access-Control-Allow-Origin: %b\r\n" % given[0]

    def request(self, passage: Passage) -> Answer | None:
        """Answer preflights; another OPTIONS is the target's affair."""
        head = passage.asked
        if head.method != b"OPTIONS":
            return None
        block = head.block
        if (
            block.get(b"origin") is None
            or block.get(b"access-control-request-method") is None
        ):
            return None
        fields = b"\r\n" + self._vary(b"\r\n", preflight=True)
        allowed = self._allowed(head)
        if allowed:
            fields += allowed + self._preflight
            wanted = block.get(b"access-control-request-headers")
            if self._all_fields and wanted:
                fields += b"Access-Control-Allow-Headers: %b\r\n" % wanted
        return Answer(204, fields)

    def response(self, passage: Passage, answer: AnswerHead) -> None:
        """Say it in place of the target, which may say it for others."""
        answer.remove(*_OURS)
        fields = answer.fields + self._vary(answer.fields)
        allowed = self._allowed(passage.asked)
        if allowed:
            fields += allowed + self._answer
        answer.fields = fields

    def _vary(self, fields: bytes, preflight: bool = False) -> bytes:
        """What the answer depends on: also where there is no Origin, for caches to know."""
        names = [] if self._any else [b"Origin"]
        if preflight:
            names += [b"Access-Control-Request-Headers"] if self._all_fields else []
        said = b",".join(field_values(fields, b"vary")).lower()
        there = [one.strip(b"\t ") for one in said.split(b",")]
        names = [name for name in names if name.lower() not in there]
        if not names or b"*" in there:
            return b""
        return b"Vary: %b\r\n" % b", ".join(names)


@implementer(IMiddlewareFactory)
class CorsFactory:
    """Makes them."""

    name = "cors"
    settings = Cors

    def build(self, settings: Cors, deps: Any) -> CorsMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return CorsMiddleware(settings)

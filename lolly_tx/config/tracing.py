"""The settings of request ids and traces.

Imports: config.kinds. Used by: config.middleware, config.model.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from lolly_tx.config.kinds.addresses import service_url
from lolly_tx.config.kinds.httpkinds import FIELD_NAME
from lolly_tx.config.kinds.plain import FLAG, PART, TEXT, Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about

_TAKEN = re.compile(
    r"(?i)host|connection|keep-alive|te|trailer|transfer-encoding|content-.*|upgrade|expect"
    r"|proxy-.*|forwarded|x-forwarded-.*|x-real-ip|via|cookie|set-cookie|authorization"
    r"|lolly-hop|max-forwards|range|date|traceparent|tracestate|location|server"
)


class _IdField(Word):
    """The name of a field that has no other meaning."""

    word = "name of a header field"

    def read(self, raw: Any, place: Place) -> str:
        text: str = FIELD_NAME.read(raw, place)
        if _TAKEN.fullmatch(text.replace("_", "-")):
            raise Rejected("has a meaning of its own; take another name")
        if "_" in text:
            raise Rejected(
                f'must not have "_"; did you mean "{text.replace("_", "-")}"?'
            )
        return text


ID_FIELD = _IdField()


class _ExportURL(Word):
    """Where spans are sent, or nowhere."""

    word = "URL"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not text:
            return ""
        path = service_url(text, "http://127.0.0.1:4318/v1/traces")
        if path in ("", "/"):
            raise Rejected(
                f'needs a path; did you mean "{text.rstrip("/")}/v1/traces"?'
            )
        return text


@attrs.frozen
class RequestId:
    """An id for each request, in the log, at the target, and at the client."""

    header: str = attrs.field(
        default="X-Request-Id",
        metadata=about(
            ID_FIELD,
            "The field it has: in requests to targets, and in answers. What targets answer under"
            " this name is replaced.",
        ),
    )
    trust: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether the id of any client is taken over; that of `trusted_proxies` is. One that is"
            " not 1 to 128 letters, digits, and ._~:/+=@- is replaced.",
        ),
    )
    echo: bool = attrs.field(
        default=True,
        metadata=about(
            FLAG, "Whether clients are told it, with answers of our own, too."
        ),
    )


@attrs.frozen
class Trace:
    """W3C trace context: traces are continued (`traceparent`, `tracestate`), and spans exported."""

    begin: bool = attrs.field(
        default=True,
        metadata=about(
            FLAG,
            "Whether a request without a trace, or with a malformed one, begins one.",
        ),
    )
    sample: float = attrs.field(
        default=1.0,
        metadata=about(
            PART,
            "Share of the traces that are kept (flag `sampled`), by their ids. That one is not is"
            " believed of anybody; that it is, of `trusted_proxies`.",
        ),
    )
    export: str = attrs.field(
        default="",
        metadata=about(
            _ExportURL(),
            "Where spans are sent, in batches, by OTLP over HTTP in JSON:"
            ' "http://127.0.0.1:4318/v1/traces"; "" = nowhere. Those that are not taken are'
            " dropped and counted.",
        ),
    )
    service: str = attrs.field(
        default="lolly",
        metadata=about(TEXT, "The name of the service that spans say they come from."),
    )

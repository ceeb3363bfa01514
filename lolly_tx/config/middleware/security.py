"""The settings of `security_headers`: what browsers are told to be strict about.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import FLAG, Choice, Duration, duration_text
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.templatekinds import TEMPLATE

_YEAR = 365 * 86400.0


@attrs.frozen
class SecurityHeaders:
    """Fields of answers that make browsers strict, in place of what targets say."""

    hsts: float = attrs.field(
        default=_YEAR,
        metadata=about(
            Duration(0.0),
            "How long browsers come by TLS only (Strict-Transport-Security); only said over TLS; 0 = not said.",
        ),
    )
    hsts_subdomains: bool = attrs.field(
        default=False, metadata=about(FLAG, "Whether that holds for subdomains, too.")
    )
    hsts_preload: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether browsers may know it beforehand; needs a year at least, and the subdomains.",
        ),
    )
    frame: str = attrs.field(
        default="DENY",
        metadata=about(
            Choice("DENY", "SAMEORIGIN", ""),
            "Who may show pages in a frame (X-Frame-Options): nobody, the same site; none = not said.",
        ),
    )
    nosniff: bool = attrs.field(
        default=True,
        metadata=about(
            FLAG, "Whether types are taken as said (X-Content-Type-Options: nosniff)."
        ),
    )
    referrer: str = attrs.field(
        default="",
        metadata=about(
            Choice(
                "",
                "no-referrer",
                "no-referrer-when-downgrade",
                "origin",
                "origin-when-cross-origin",
                "same-origin",
                "strict-origin",
                "strict-origin-when-cross-origin",
                "unsafe-url",
            ),
            "Referrer-Policy; none = not said.",
        ),
    )
    csp: str = attrs.field(
        default="",
        metadata=about(TEMPLATE, "Content-Security-Policy; none = not said."),
    )
    permissions: str = attrs.field(
        default="",
        metadata=about(TEMPLATE, "Permissions-Policy; none = not said."),
    )

    def rules(self, config: Any, place: Place) -> None:
        """What must hold between them."""
        if self.hsts_preload and not (self.hsts >= _YEAR and self.hsts_subdomains):
            place.at("hsts_preload").wrong(
                'needs hsts = "365d" or more, and hsts_subdomains = true'
            )
        elif self.hsts_subdomains and not self.hsts:
            place.at("hsts_subdomains").wrong("needs hsts, which is 0")

    def facts(self) -> Iterator[str]:
        """What they imply."""
        if self.hsts:
            also = " and its subdomains" if self.hsts_subdomains else ""
            yield (
                f"a browser that was here by TLS reaches this host{also} by TLS only, for"
                f" {duration_text(self.hsts)} after"
            )

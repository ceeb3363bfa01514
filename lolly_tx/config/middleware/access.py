"""The settings of `type = "access"`: who may come in, by address and by country.

Imports: config.kinds, domain.access. Used by: proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import Choice, Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import NETWORKS, ListOf
from lolly_tx.domain.access.forwarded import Network

_COUNTRY = re.compile(r"[A-Za-z]{2}")


class _Country(Word):
    """A country's code of two letters (ISO 3166-1), kept in upper case."""

    word = "country"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not _COUNTRY.fullmatch(text):
            raise Rejected('must be a country\'s two letters, such as "DE"')
        return text.upper()


COUNTRIES = ListOf(_Country(), "countries", single=True)


@attrs.frozen
class Access:
    """Who may come in; others get 403. In turn: `deny`, `country_deny`, `allow`, `country_allow`, `default`."""

    allow: tuple[Network | str, ...] = attrs.field(
        default=(), metadata=about(NETWORKS, "Networks whose clients may.")
    )
    deny: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            NETWORKS, "Networks whose clients may not, whatever `allow` says."
        ),
    )
    country_allow: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(COUNTRIES, "Countries whose clients may; needs `[geo]`."),
    )
    country_deny: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(COUNTRIES, "Countries whose clients may not; needs `[geo]`."),
    )
    default: str = attrs.field(
        default="",
        metadata=about(
            Choice("", "allow", "deny"),
            'What holds for everybody else. Unset: "deny" where somebody is allowed by a list, of which `lolly check`'
            ' warns; else "allow".',
        ),
    )

    @property
    def others(self) -> bool:
        """Whether those may that no list names."""
        if self.default:
            return self.default == "allow"
        return not (self.allow or self.country_allow)

    @property
    def by_country(self) -> bool:
        """Whether countries matter."""
        return bool(self.country_allow or self.country_deny)

    def rules(self, config: Any, place: Place) -> None:
        """Countries need a database."""
        for name in ("country_allow", "country_deny"):
            if getattr(self, name) and not config.geo.database:
                place.at(name).wrong(
                    'nobody knows where addresses are; set [geo] database = "countries.mmdb"'
                )

    def facts(self) -> Iterator[str]:
        """Who else comes in."""
        yield (
            "clients that no list names may come in"
            if self.others
            else "clients that no list names get 403"
        )

    def doubts(self) -> Iterator[str]:
        """Lists that decide nothing, and who is kept out although no setting says so."""
        if not self.default and (self.allow or self.country_allow):
            yield (
                "clients that no list names get 403, because others are allowed: say"
                ' default = "deny", or "allow" to let them in'
            )
        if self.others and (self.allow or self.country_allow) and not self.deny:
            yield 'everybody may come in: set default = "deny", or leave it out'
        if not (self.allow or self.deny or self.by_country) and self.others:
            yield "lets everybody in: it has no list"

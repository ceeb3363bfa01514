"""The settings of `type = "rewrite"`: paths that become others, or lead clients to others.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from typing import Any

import attrs

from lolly_tx.config.kinds.httpkinds import checked_pattern
from lolly_tx.config.kinds.plain import Choice, Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf, Table
from lolly_tx.config.kinds.templatekinds import LOCATION

MOST_ROUNDS = 10
"""How often the rules are asked of one request."""

REDIRECTS = {"redirect": 302, "permanent": 301}


class _Expression(Word):
    """A regular expression that captures."""

    word = "regular expression"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not text:
            raise Rejected("must be a regular expression; ^ is every path")
        if text.startswith("*"):
            raise Rejected("is no valid regular expression: nothing to repeat")
        checked_pattern(f"~{text}")
        return text


@attrs.frozen
class Rule:
    """What a path becomes."""

    match: str = attrs.field(
        metadata=about(
            _Expression(),
            "Regular expression for the path, decoded as for routes; `(?i)` in front is without regard to case.",
        ),
    )
    to: str = attrs.field(
        metadata=about(
            LOCATION,
            "The new path, with what was captured: `/new/$1`. The query stays unless there is one here; a final"
            " ? takes it away. With `redirect` and `permanent` also a URL.",
        ),
    )
    flag: str = attrs.field(
        default="last",
        metadata=about(
            Choice("last", "break", "redirect", "permanent"),
            '"last": the rules are asked again, of the new path; "break": they are not; "redirect" and "permanent":'
            " clients are led there (302, 301).",
        ),
    )


class _Rule(Table):
    """A rule whose flag and place go together."""

    def read(self, raw: Any, place: Place) -> Rule:
        """See `schema.Kind`."""
        rule: Rule = super().read(raw, place)
        if rule.flag not in REDIRECTS and not rule.to.startswith(("/", "$")):
            place.at("to").wrong(
                'is another host, where only a redirect leads: flag = "redirect"'
            )
        return rule


class _Rules(ListOf):
    """One rule at least."""

    def read(self, raw: Any, place: Place) -> tuple[Any, ...]:
        """See `schema.Kind`."""
        if raw == []:
            raise Rejected("must have a rule at least")
        return super().read(raw, place)


@attrs.frozen
class Rewrite:
    """Paths that become others, or lead clients to others."""

    steps: tuple[Rule, ...] = attrs.field(
        metadata=about(
            _Rules(_Rule(Rule), "rules"),
            f"The first that matches counts; after {MOST_ROUNDS} rounds a request gets 500.",
            key="rules",
        ),
    )

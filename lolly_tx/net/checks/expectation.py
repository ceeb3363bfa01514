"""What an answer to an active check must look like: the criteria that a probe judges by.

Pure. All parts must hold, and `net.checks.probes` asks for them in this order: the status,
then the header fields, then the body. The body is looked at only when an expression for it is given, and only its
first `BODY_BYTES`.

Imports: domain.routing. Used by: net.checks.datagrams, net.checks.http,
net.checks.probes, net.checks.scripts, service, simulate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from lolly_tx.domain.routing.expressions import BadExpression, Expression, expression

BODY_BYTES = 256 * 1024
"""How much of a body is searched: what nginx Plus reads, and enough for any health page."""

_STATUS = re.compile(r"\s*(!?)\s*([1-5][0-9][0-9])(?:\s*-\s*([1-5][0-9][0-9]))?\s*")


class BadExpectation(ValueError):
    """An expectation that cannot be meant: a status range or an expression is wrong."""


@attrs.frozen
class Expectation:
    """What is compared.

    `statuses`: the accepted codes. `headers`: lower-cased name and exact value. `body`:
    to be found anywhere in the body; None = the body is not read.
    """

    statuses: frozenset[int]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: Expression | None = None

    def header_fault(self, fields: Iterable[tuple[bytes, bytes]]) -> str | None:
        """What is wrong with the header fields, for a person; None when nothing is.

        Names compare without regard to case. Of a repeated field one line is enough.
        """
        got: dict[bytes, list[bytes]] = {}
        for name, value in fields:
            got.setdefault(name.lower(), []).append(value)
        for name, wanted in self.headers:
            if wanted not in got.get(name, ()):
                shown = name.decode("latin-1")
                return f"header {shown} {'differs' if name in got else 'is missing'}"
        return None

    def body_fault(self, body: bytes) -> str | None:
        """What is wrong with the first `BODY_BYTES` of the body, or None."""
        if self.body is None or self.body.scan().feed(body[:BODY_BYTES]) >= 0:
            return None
        return "body does not match"


def accepted_statuses(ranges: Sequence[str]) -> frozenset[int]:
    """The codes that `ranges` accept.

    Each is "204", "200-299", or one of these negated ("!404", "!500-599"). Negated ones
    are taken away from the others, or from all codes when there are no others. None at
    all means 2xx. Raises `BadExpectation`.
    """
    wanted: set[int] = set()
    unwanted: set[int] = set()
    positive = False
    for text in ranges:
        match = _STATUS.fullmatch(text)
        if match is None:
            raise BadExpectation(
                f'"{text}" is no status: write "204", "200-299" or "!404"'
            )
        first = int(match[2])
        last = int(match[3] or first)
        if last < first:
            raise BadExpectation(f'"{text}" ends before it begins')
        codes = range(first, last + 1)
        if match[1]:
            unwanted.update(codes)
        else:
            positive = True
            wanted.update(codes)
    if not ranges:
        wanted.update(range(200, 300))
    elif not positive:
        wanted.update(range(100, 600))
    if not wanted - unwanted:
        raise BadExpectation("no status is left that would be accepted")
    return frozenset(wanted - unwanted)


def expectation(
    statuses: Sequence[str] = ("200-299",),
    body: str = "",
    headers: Mapping[str, str] | None = None,
) -> Expectation:
    """Compile the settings of a check. Raises `BadExpectation`."""
    pattern = None
    if body:
        try:
            pattern = expression(body)
        except BadExpression as e:
            raise BadExpectation(f'"{body}" {e}') from e
    return Expectation(
        statuses=accepted_statuses(statuses),
        headers=tuple(
            (name.lower().encode("latin-1"), value.strip().encode("latin-1"))
            for name, value in (headers or {}).items()
        ),
        body=pattern,
    )

"""Fields of messages as a shared cache reads and writes them (RFC 9111, RFC 9211, RFC 9213).

Imports: domain.caching, wire. Used by: proxy.caching, proxy.middleware, wire.cachefile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from lolly_tx.domain.caching.freshness import Said
from lolly_tx.wire.cachecontrol import (
    LONGEST,
    NO_DIRECTIVES,
    Directives,
    delta_seconds,
    read_directives,
)
from lolly_tx.wire.conditionals import Preconditions, preconditions
from lolly_tx.wire.dates import read_date
from lolly_tx.wire.fields import FieldBlock, RequestBlock, ResponseBlock

NAME = b"lolly"
"""Who speaks in Cache-Status, and is spoken to in Surrogate-Control."""

CAPABILITY = (
    b"surrogate-capability",
    b'Surrogate-Capability: %b="Surrogate/1.0"\r\n' % NAME,
)
"""The name of the field that says to targets what they may say to us, and ours."""

TARGETED = (b"cdn-cache-control", b"surrogate-control")
"""Fields for caches like this one, in whose presence Cache-Control and Expires are for others (RFC 9213)."""

_TAGS = re.compile(rb"[^\s,]++")
MOST_TAGS = 256
_ASKED = re.compile(rb"\n(?:authorization|cache-control|if-[a-z-]++|range):")

Names = tuple[bytes, ...]
Pairs = list[tuple[bytes, bytes]]


# -- requests


@attrs.frozen
class Asked:
    """What a request says to a cache. `credentials`: it has an Authorization. `conditions`: and its range, if any.

    `no_store`, `only_stored`: directives (RFC 9111 section 5.2.1). The others are not heard: whoever could say
    `no-cache` to us could have our targets do all the work.
    """

    credentials: bool = False
    no_store: bool = False
    only_stored: bool = False
    conditions: Preconditions | None = None


NOTHING_ASKED = Asked()


def asked_by(block: RequestBlock) -> Asked:
    """That of a request's fields; `NOTHING_ASKED` for most."""
    low = block.raw.lower()
    if not _ASKED.search(low):
        return NOTHING_ASKED
    said = NO_DIRECTIVES
    if b"\ncache-control:" in low:
        said = read_directives(block.get_all(b"cache-control"))
    return Asked(
        credentials=b"\nauthorization:" in low,
        no_store=b"no-store" in said,
        only_stored=b"only-if-cached" in said,
        conditions=preconditions(block),
    )


# -- answers


def said_by(status: int, block: ResponseBlock, wall: float, seconds: float) -> Said:
    """What an answer says that came at `wall` (seconds since the epoch), `seconds` after it was asked for."""
    fields: dict[bytes, list[bytes]] = {}
    for name, value in block.pairs:
        fields.setdefault(name.lower(), []).append(value)
    general = read_directives(fields.get(b"cache-control", ()))
    said = general
    for name in TARGETED:
        targeted = read_directives(map(_for_us, fields.get(name, ())))
        if targeted:
            said = targeted
            break
    shared = b"s-maxage" in said
    strict = b"must-revalidate" in said or b"proxy-revalidate" in said
    date = date_of(fields.get(b"date", ()), wall)
    vary = vary_names(fields.get(b"vary", ()))
    return Said(
        status=status,
        no_store=b"no-store" in said,
        private=b"private" in said,
        no_cache=b"no-cache" in said,
        for_all=strict or shared or said.get(b"public", b"") is None,
        revalidate=strict,
        revalidate_unless_said=shared,
        must_understand=said.get(b"must-understand", b"") is None,
        lifetime=_lifetime(said, fields, date, wall, targeted=said is not general),
        age=_age(fields.get(b"age", ()), date, wall, seconds),
        stale_if_error=_seconds(said, b"stale-if-error"),
        stale_while_revalidate=_seconds(said, b"stale-while-revalidate"),
        cookie=b"set-cookie" in fields or b"set-cookie2" in fields,
        any_vary=vary is None,
        validator=bool(etag_of(fields.get(b"etag", ())))
        or date_of(fields.get(b"last-modified", ()), wall) is not None,
    )


_FOR_US = re.compile(rb"(?<![^=])([0-9]++);[\t ]*+%b(?=[\t ]*+(?:,|\Z))" % NAME)


def _for_us(text: bytes) -> bytes:
    """Surrogate-Control, where directives may be for one cache only: `max-age=60;lolly`. The others are malformed."""
    return _FOR_US.sub(rb"\1", text)


def _seconds(said: Directives, name: bytes) -> float | None:
    if name not in said:
        return None
    return float(delta_seconds(said[name]) or 0)


def _lifetime(
    said: Directives,
    fields: dict[bytes, list[bytes]],
    date: int | None,
    wall: float,
    *,
    targeted: bool,
) -> float | None:
    """RFC 9111 section 4.2.1, without guessing. What cannot be read is 0: stale."""
    for name in (b"s-maxage", b"max-age"):
        seconds = _seconds(said, name)
        if seconds is not None:
            return seconds
    if b"no-cache" in said:
        return 0.0
    expires = fields.get(b"expires")
    if expires is None or targeted:
        return None
    until = date_of(expires, wall)
    if until is None:
        return 0.0
    return float(max(0, until - (wall if date is None else date)))


def _age(
    values: Iterable[bytes], date: int | None, wall: float, seconds: float
) -> float:
    """How old it was when it came (RFC 9111 section 4.2.3); what cannot be read is as old as can be."""
    apparent = 0.0 if date is None else max(0.0, wall - 1.0 - date)
    told = list(values)
    if not told:
        return apparent
    age = delta_seconds(told[0]) if len(told) == 1 else None
    return max(apparent, LONGEST if age is None else age + seconds)


def date_of(values: Iterable[bytes], wall: float) -> int | None:
    """The date in a field that is there once."""
    told = list(values)
    return read_date(told[0], wall) if len(told) == 1 else None


def etag_of(values: Iterable[bytes]) -> bytes:
    """The entity tag in a field that is there once; b"": none."""
    told = list(values)
    return told[0] if len(told) == 1 else b""


def tags_of(block: ResponseBlock) -> frozenset[bytes]:
    """The tags by which an answer can be purged: Cache-Tag (commas), Surrogate-Key and xkey (blanks)."""
    found: list[bytes] = []
    for name in (b"cache-tag", b"surrogate-key", b"xkey"):
        for value in block.get_all(name):
            found += _TAGS.findall(value)
    return frozenset(found[:MOST_TAGS])


# -- Vary


def vary_names(values: Iterable[bytes]) -> Names | None:
    """The names in Vary, sorted, in lower case; None: "*" is among them, so that no request is like another."""
    names = {part.strip(b"\t ").lower() for v in values for part in v.split(b",")}
    names.discard(b"")
    return None if b"*" in names else tuple(sorted(names))


def selecting(block: FieldBlock, names: Names) -> Names:
    """The request's values of the fields in `names`, each in a form in which equal means the same."""
    values: dict[bytes, list[bytes]] = {name: [] for name in names}
    for name, value in block.pairs:
        lines = values.get(name.lower())
        if lines is not None:
            lines.append(value)
    return tuple(_normal(name, values[name]) for name in names)


def _normal(name: bytes, lines: list[bytes]) -> bytes:
    if not lines:
        return b""  # an empty field says as little
    if name == b"accept-encoding":
        return b",".join(sorted(_codings(lines)))
    if name == b"accept-language":
        return b",".join(_by_weight(lines))
    value = b",".join(lines)
    if b'"' in value or name == b"cookie":
        return value
    return b",".join([part.strip(b"\t ") for part in value.split(b",")])


def _weighed(lines: list[bytes]) -> Iterable[tuple[bytes, float]]:
    for part in b",".join(lines).lower().split(b","):
        word, _, rest = part.partition(b";")
        weight = 1.0
        key, _, number = rest.strip(b"\t ").partition(b"=")
        if key.strip(b"\t ") == b"q":
            try:
                weight = float(number)
            except ValueError:
                weight = 0.0
        if word := word.strip(b"\t "):
            yield word, weight


def _codings(lines: list[bytes]) -> set[bytes]:
    """Those that are accepted, in any order, however gladly; and whether unpacked is refused."""
    found = set()
    for word, weight in _weighed(lines):
        word = word.removeprefix(b"x-") if word in (b"x-gzip", b"x-compress") else word
        if weight > 0 and word != b"identity":
            found.add(word)
        elif weight <= 0 and word in (b"identity", b"*"):
            found.add(word + b";q=0")
    return found


def _by_weight(lines: list[bytes]) -> list[bytes]:
    """Languages, the dearest first; those that are equally dear by name."""
    ordered = sorted(_weighed(lines), key=lambda pair: (-pair[1], pair[0]))
    return [word if weight > 0 else word + b";q=0" for word, weight in ordered]


# -- what is stored, and what is said of it

# Of the stored answer's own body, whatever a 304 says (RFC 9111 section 3.2).
_OF_THE_BODY = frozenset(
    (
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"content-range",
        b"etag",
        b"transfer-encoding",
    )
)
_NOT_STORED = frozenset((b"age", b"proxy-authentication-info", b"proxy-authorization"))


def stored_pairs(block: ResponseBlock) -> Pairs:
    """The fields of an answer that are stored, without those of one hop (RFC 9111 section 3.1)."""
    kept = ResponseBlock(block.kept)
    return [pair for pair in kept.pairs if pair[0].lower() not in _NOT_STORED]


def merged(stored: Pairs, block: ResponseBlock) -> Pairs:
    """The `stored` fields of an answer, updated by those of a 304 (RFC 9111 section 3.2)."""
    new = [p for p in stored_pairs(block) if p[0].lower() not in _OF_THE_BODY]
    names = {name.lower() for name, _ in new}
    return [pair for pair in stored if pair[0].lower() not in names] + new


def values_of(pairs: Pairs, name: bytes) -> list[bytes]:
    """The values of the fields called `name` (lower case)."""
    return [value for key, value in pairs if key.lower() == name]


def cache_status(*parameters: bytes) -> bytes:
    """A Cache-Status line (RFC 9211); `parameters`: `hit`, `fwd=miss`."""
    return b"Cache-Status: %b\r\n" % b"; ".join((NAME, *parameters))

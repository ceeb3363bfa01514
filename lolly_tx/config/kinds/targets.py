"""The targets of a pool: URLs or tables, read into `domain.target.Target`.

Imports: config.kinds, domain. Used by: config.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal
from zlib import crc32

import attrs

from lolly_tx.config.kinds.addresses import CONNECT
from lolly_tx.config.kinds.plain import FLAG, Count, Word, plain_text, quoted, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import Table, read_or_none
from lolly_tx.domain.target import (
    HTTP,
    STREAM_SCHEMES,
    Target,
    host_and_port,
    is_url,
    read_url,
    target_id,
    valid_id,
)


@attrs.frozen
class _Address:
    """What a target's URL says."""

    url: str
    scheme: Literal["http", "https"]
    host: str
    port: int


class _Url(Word):
    """The URL of a target: scheme, host and port, nothing more."""

    word = "URL"

    def read(self, raw: Any, place: Place) -> _Address:
        text = plain_text(raw)
        if not is_url(text):
            raise Rejected(self._no_url(text))
        try:
            scheme, host, port = read_url(text, (*HTTP, *STREAM_SCHEMES))
        except ValueError as e:
            raise Rejected(str(e)) from None
        return _Address(
            url=text,
            scheme="https" if scheme in ("https", "tls") else "http",
            host=host,
            port=port,
        )

    def _no_url(self, text: str) -> str:
        place = host_and_port(text)
        if place is not None and place[1] is not None:
            return f'must be a URL; did you mean "http://{text}"?'
        if re.match(r"[a-z][a-z0-9-]*:", text):
            return f"must be a URL; did you mean {{ endpoint = {quoted(text)} }}?"
        return 'must be a URL such as "http://127.0.0.1:9001", or a table'


class _Id(Word):
    """A target's own name."""

    word = "name"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not valid_id(text):
            raise Rejected("must be small letters, digits and -, at most 64 of them")
        return text


_WEIGHT = Count(1, 65535)
_MAX_CONNS = Count(0, 10**7)


@attrs.frozen
class TargetTable:
    """A target written as a table."""

    url: _Address | None = attrs.field(
        default=None,
        metadata=about(_Url(), '"http://HOST:PORT" or "https://HOST:PORT".'),
    )
    endpoint: str = attrs.field(
        default="",
        metadata=about(
            CONNECT,
            'In place of `url`: any Twisted client endpoint string, "unix:/run/app'
            '.sock"; HTTP is spoken over what it connects to.',
        ),
    )
    id: str = attrs.field(
        default="",
        metadata=about(
            _Id(), "Name in logs and commands; made from the address without it."
        ),
    )
    weight: int = attrs.field(
        default=1, metadata=about(_WEIGHT, "Share of the traffic.")
    )
    max_conns: int = attrs.field(
        default=0,
        metadata=about(_MAX_CONNS, "Exchanges at once; 0 = no limit."),
    )
    backup: bool = attrs.field(
        default=False,
        metadata=about(FLAG, "Used only when no other target is available."),
    )
    priority: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 1000),
            "0 is the best; traffic spills to the next when less than 72 % of a tier"
            " are available.",
        ),
    )
    down: bool = attrs.field(
        default=False,
        metadata=about(FLAG, "Not used until the operator enables it."),
    )


@attrs.frozen
class TargetChange:
    """What of a target may be set while the proxy runs; None: it stays."""

    weight: int | None = attrs.field(default=None, metadata=about(_WEIGHT, ""))
    max_conns: int | None = attrs.field(default=None, metadata=about(_MAX_CONNS, ""))


class _Targets:
    """The list of a pool's targets, each with an id of its own."""

    word = "list of targets"

    def read(self, raw: Any, place: Place) -> tuple[Target, ...]:
        if not isinstance(raw, list):
            raise Rejected(f"must be a list of targets, not {type_word(raw)}")
        found: list[tuple[int, Target, Place]] = []
        for index, one in enumerate(raw):
            here = place.at(index)
            target = read_or_none(TARGET, one, here)
            if target is not None:
                found.append((index, target, here))
        return _with_ids(found)

    def show(self, value: tuple[Target, ...]) -> str:
        """See `schema.ShownKind`."""
        # Only the default, which is none, is ever shown.
        return "[]"


class _Target:
    """One target: a URL or a table."""

    word = "target"

    def read(self, raw: Any, place: Place) -> Target:
        if isinstance(raw, str):
            entry = TargetTable(url=_URL_KIND.read(raw, place))
        elif isinstance(raw, dict):
            entry = _TABLE.read(raw, place)
            if ("url" in raw) == ("endpoint" in raw):
                raise Rejected('needs either "url" or "endpoint"')
            if entry.url is None and not entry.endpoint:
                raise Rejected()
            if entry.backup and entry.priority:
                place.at("priority").wrong("a backup comes after every priority")
        else:
            raise Rejected(f"must be a URL or a table, not {type_word(raw)}")
        url = entry.url
        return Target(
            id=entry.id,
            address=url.url if url else entry.endpoint,
            scheme=url.scheme if url else "http",
            host=url.host if url else "",
            port=url.port if url else 0,
            endpoint=entry.endpoint,
            weight=entry.weight,
            max_conns=entry.max_conns,
            backup=entry.backup,
            down=entry.down,
            priority=entry.priority,
        )


def with_id(target: Target, taken: Mapping[str, str]) -> Target:
    """`target` with an id: its own, or one made of its address. `taken`: addresses, by the ids that others have."""
    if target.id:
        return target
    name, address = target_id(target.address), target.address
    if taken.get(name, address) != address:
        name = _digested(name, address)
    return attrs.evolve(target, id=name)


def _digested(name: str, address: str) -> str:
    return f"{name}-{crc32(address.encode()):08x}"


def _with_ids(found: list[tuple[int, Target, Place]]) -> tuple[Target, ...]:
    """The targets, each with a unique id.

    Two addresses may have one `target_id` ("unix:/a-b", "unix:/a/b"). All of them then
    get a digest of their address, so that the ids do not depend on the order.
    """
    made = Counter(
        target.id or target_id(target.address)
        for target in {(t.id, t.address): t for _, t, _ in found}.values()
    )
    taken: dict[str, int] = {}
    out = []
    for number, target, place in found:
        name = target.id or target_id(target.address)
        if not target.id and made[name] > 1:
            name = _digested(name, target.address)
        if name in taken:
            same = "id" if target.id else "address"
            place.wrong(f"has the same {same} as targets[{taken[name]}]")
        taken.setdefault(name, number)
        out.append(attrs.evolve(target, id=name))
    return tuple(out)


_URL_KIND = _Url()
_TABLE = Table(TargetTable)
TARGET = _Target()
TARGETS = _Targets()

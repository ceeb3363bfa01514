r"""What stands for the targets of requests by the `key` of a cache, so that nobody can store an answer for others.

    key = "$path?$arg_page"   --> the values of the variables, and what targets may read in another way

A target gets the bytes of the client, and may see more in them than a variable does: the path by its spelling
(`/a;x`, `/x/..%2fa`, which `$path` has as `/a`), another of two parameters of one name, or none at all where they stand
behind a ";". An answer to such a request would be found by others, who have asked for something else. So what is
written in a way that not everybody reads alike is a part of the key as it was sent. What is left out of a key by intent
stays out.

Imports: config, config.kinds, domain, domain.routing, proxy, proxy.chains, wire. Used
by: proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from lolly_tx.config.caching import CacheSettings
from lolly_tx.config.kinds.variables import ANY_NAMES, parts_of, value_name
from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.routing.routes import normal_path
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.templates import template
from lolly_tx.wire.cookies import cookie_reader
from lolly_tx.wire.message import RequestHead

Key = Callable[[Passage], bytes]
Odd = Callable[[RequestHead], bytes]
"""What of a head is written in a way that targets may read otherwise; b"": nothing."""

_PLAIN_NAME = re.compile(rb"[A-Za-z0-9_-]*")
"""Parameters whose names nobody decodes, folds, or takes for parts of an array."""


def key_of(table: CacheSettings) -> Key | None:
    """What stands for targets by the settings of a cache; None: they themselves.

    It begins with what it was made by, so that nothing is found that was stored by other settings.
    """
    if not table.key and not table.vary:
        return None
    made_by = "\0".join((table.key, *table.vary, "")).encode()
    if not table.key:
        return lambda passage: made_by + passage.head.target
    parts = parts_of(table.key, lambda name: value_name(name, ANY_NAMES))
    names = [name for _, name in parts if name]
    # No value has a NUL in it: so none can be taken for two, or for a part of the text between them.
    text = template("\0".join(f"${{{name}}}" for name in names))
    odd = odd_of(names)

    def key(passage: Passage) -> bytes:
        values, head = text.render(passage.known), passage.head
        return b"\0".join((made_by, values, *(one(head) for one in odd)))

    return key


def odd_of(names: Iterable[str]) -> list[Odd]:
    """What the values of these variables may hide."""
    named = [name.partition("_") for name in names]
    arguments = [rest.encode("ascii") for kind, _, rest in named if kind == "arg"]
    odd: list[Odd] = [_path]
    if arguments:
        odd.append(_query(arguments))
    odd += [_field(rest) for kind, _, rest in named if kind == "header"]
    odd += [_cookie(rest) for kind, _, rest in named if kind == "cookie"]
    return odd


def _path(head: RequestHead) -> bytes:
    path = head.target.partition(b"?")[0]
    try:
        return b"" if normal_path(path) == path else path
    except DownstreamError:
        return path


def _query(names: Sequence[bytes]) -> Odd:
    spelled = {name.lower(): name for name in names}

    def odd(head: RequestHead) -> bytes:
        query = head.target.partition(b"?")[2]
        if b";" in query:
            return query
        left = dict(spelled)
        for part in query.split(b"&"):
            name, _, value = part.partition(b"=")
            if not _PLAIN_NAME.fullmatch(name):
                return query
            low = name.lower()
            # Once, as it is spelled, with a value: what is empty may not be the same as what is not there.
            if low in spelled and (left.pop(low, None) != name or not value):
                return query
        return b""

    return odd


def _field(name: str) -> Odd:
    field = name.replace("_", "-").encode("ascii")

    def odd(head: RequestHead) -> bytes:
        values = head.block.get_all(field)
        return b"" if len(values) < 2 and values != [b""] else b",".join(values) + b","

    return odd


def _cookie(name: str) -> Odd:
    read, start = cookie_reader(name), name.encode("ascii")

    def odd(head: RequestHead) -> bytes:
        lines = head.block.get_all(b"cookie")
        crumbs = [crumb.strip(b" \t") for line in lines for crumb in line.split(b";")]
        ours = [one for one in crumbs if one.partition(b"=")[0].strip() == start]
        values = read(head)
        plain = [start + b"=" + value for value in values if value]
        return b"" if ours == plain and len(ours) < 2 else b";".join(lines) + b";"

    return odd

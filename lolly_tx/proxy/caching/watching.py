"""Requests that pass a cache, and what their answers say of what is stored.

    unsafe methods     what they may have changed is not stored any more (RFC 9111 section 4.4)
    HEAD               what is stored of the same is right, with newer fields, or wrong (section 4.3.5)
    GET                why it was not stored; and once it could be, it is next time

Imports: domain, domain.caching, proxy, proxy.caching, proxy.chains, wire. Used by:
proxy.middleware.
"""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urljoin

from zope.interface import implementer

from lolly_tx.domain.caching.freshness import why_not
from lolly_tx.domain.interfaces import IMiddleware
from lolly_tx.proxy.answer import Answer, AnswerHead
from lolly_tx.proxy.caching.desk import Desk, select_of
from lolly_tx.proxy.caching.stored import Stored
from lolly_tx.proxy.chains.filters import BodyFilter
from lolly_tx.proxy.chains.link import RESPONSE
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.wire.cachefields import NAME, asked_by, etag_of, said_by
from lolly_tx.wire.dates import read_date
from lolly_tx.wire.fields import ResponseBlock

SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))


def site_of(secure: bool, host: bytes) -> bytes:
    """The site of requests (`domain.caching.catalog`). `host`: in lower case."""
    return (b"https://" if secure else b"http://") + host


@implementer(IMiddleware)
class Watch:
    """See the module; a middleware in a chain of its own."""

    touches: ClassVar[frozenset[str]] = frozenset((RESPONSE,))

    def __init__(self, desk: Desk, *, keyed: bool = False) -> None:
        """`keyed`: something else stands for the targets of what is stored."""
        self._desk = desk
        self._keyed = keyed

    def request(self, passage: Passage) -> None:
        """Everything passes."""

    def request_body(self, passage: Passage) -> BodyFilter | None:
        """See `IMiddleware`."""

    def response_body(self, passage: Passage, answer: AnswerHead) -> BodyFilter | None:
        """See `IMiddleware`."""

    def response(self, passage: Passage, answer: AnswerHead) -> Answer | None:
        """See `IMiddleware`."""
        head = passage.asked
        site = site_of(passage.peer.secure, head.block.host)
        reason, detail = b"bypass", ""
        if head.method == b"GET":
            detail = self._look_whether_storable(passage, site, answer)
        elif head.method == b"HEAD" and not self._keyed:
            self._compare(passage, site, answer)
        elif head.method not in SAFE:
            reason = b"method"
            if 200 <= answer.status < 400:
                self._invalidate(site, head.target, answer)
        self._desk.store.counts["bypass"] += 1
        said = b"%b; fwd=%b" % (NAME, reason)
        answer.add(
            b"Cache-Status", said + (b"; detail=" + detail.encode() if detail else b"")
        )
        return None

    def _look_whether_storable(
        self, passage: Passage, site: bytes, answer: AnswerHead
    ) -> str:
        store, asked = self._desk.store, asked_by(passage.asked.block)
        said = said_by(answer.status, ResponseBlock(answer.fields), store.wall(), 0.0)
        why = why_not(
            said, store.rules, credentials=asked.credentials, secret=asked.no_store
        )
        if not why and not self._keyed:
            store.notes.stored((site, passage.asked.target))
        return why

    def _invalidate(self, site: bytes, target: bytes, answer: AnswerHead) -> None:
        store = self._desk.store
        store.invalidate(site, target)
        for name in (b"location", b"content-location"):
            value = answer.get(name)
            other = None if value is None else own_target(site, target, value)
            if other is not None:
                store.invalidate(site, other)

    def _compare(self, passage: Passage, site: bytes, answer: AnswerHead) -> None:
        head, store = passage.asked, self._desk.store
        stored = store.find(site, head.target, select_of(head, passage.peer))
        if stored is None or answer.status != 200 or asked_by(head.block).credentials:
            return
        block = ResponseBlock(answer.fields)
        if stored.status != 200 or _differs(stored, block, store.wall()):
            store.drop(stored)
        else:
            self._desk.renew(stored, 200, block, store.wall(), 0.0)


def _differs(stored: Stored, block: ResponseBlock, wall: float) -> bool:
    """The answer to a HEAD is about another body."""
    if block.length is not None and block.length != stored.length:
        return True
    etag = etag_of(block.get_all(b"etag"))
    if etag and etag != stored.etag:
        return True
    dates = block.get_all(b"last-modified")
    return bool(dates) and read_date(dates[0], wall) != stored.modified


def own_target(site: bytes, target: bytes, url: bytes) -> bytes | None:
    """The target that a URL in an answer to `target` names, if it is of the same site."""
    base = (site + target).decode("latin-1")
    try:
        whole = urljoin(base, url.decode("latin-1")).encode("latin-1")
    except ValueError:
        return None
    whole = whole.partition(b"#")[0]
    if whole[: len(site)].lower() != site or whole[len(site) : len(site) + 1] != b"/":
        return None
    return whole[len(site) :]

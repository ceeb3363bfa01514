"""Sticky: a client stays with the node it first got.

Imports: domain, domain.balancers. Used by: domain.balancers.by_name, proxy.

    name 9 bytes, signature 15 bytes                   when it binds without end
    name 9 bytes, its end 4 bytes, signature 17 bytes  seconds since the epoch

The cookie's value is a name for the target, its end if it has one, and a signature, made with a secret key: it
shows no address, it cannot be made up or prolonged, and it needs no table. Who may be bound is decided by the
pool: a draining node still serves its clients, a node that is down, unhealthy, ejected or full does not, and then
the client gets another node and the value of that one.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Collection, Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING

from zope.interface import implementer

from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.interfaces import IBalancer, IBindingBalancer
from lolly_tx.domain.node import Node

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

_NAME = 9
_END = 4
_SIGNATURE = 15
_LONG_SIGNATURE = 17
_LENGTHS = ((_NAME + _SIGNATURE) * 4 // 3, (_NAME + _END + _LONG_SIGNATURE) * 4 // 3)

LATEST = (1 << 8 * _END) - 1
"""Seconds since the epoch: the last end a value has room for, in the year 2106."""

SHORTEST_KEY = 16
"""Bytes; shorter keys can be guessed."""


@implementer(IBindingBalancer)
class Sticky:
    """`keys`: secrets, the first one makes new values, the others are still accepted (for a change of keys).

    `fallback`: chooses for clients that are not bound.
    """

    def __init__(
        self,
        random: Random | None = None,
        *,
        keys: Sequence[bytes],
        fallback: IBalancer | None = None,
    ) -> None:
        if not keys or any(len(key) < SHORTEST_KEY for key in keys):
            raise ValueError(f"sticky needs a key of at least {SHORTEST_KEY} bytes")
        if isinstance(fallback, Sticky):
            raise ValueError("sticky cannot fall back to sticky")
        self._keys = [blake2b(key).digest() for key in keys]
        self._fallback: IBalancer = fallback or RoundRobin()
        self._names: dict[bytes, str] = {}
        self._named: set[str] = set()
        # Whoever is picked by load needs to hear what the pool tells its balancer.
        for hook in (
            "released",
            "finished",
            "whole",
            "ranked",
            "preview",
            "look_together",
        ):
            method = getattr(self._fallback, hook, None)
            if method is not None:
                setattr(self, hook, method)

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The fallback's choice, for a client that is not bound."""
        return self._fallback.pick(candidates, key)

    def bond(self, target_id: str, until: int = 0) -> bytes:
        """The cookie value that binds a client to that target; the same for all its clients.

        `until`: when it ends, seconds since the epoch; 0: it does not.
        """
        key = self._keys[0]
        signed = _mac(key, b"name", target_id.encode(), _NAME)
        if until:
            signed += until.to_bytes(_END, "big")
        return urlsafe_b64encode(signed + _signature(key, signed))

    def until(self, bond: bytes) -> int:
        """The end that `bond` claims, as in the making; 0: none. To be believed if `bound` knows it."""
        if len(bond) != _LENGTHS[1]:
            return 0
        try:
            raw = urlsafe_b64decode(bond)
        except (NotBase64, ValueError):
            return 0
        return int.from_bytes(raw[_NAME : _NAME + _END], "big")

    def bound(self, bond: bytes, ids: Collection[str]) -> str | None:
        """The one of `ids` that `bond` names, or None when it is forged, spoilt, or of a target that has left.

        Whether it has ended is for those to know who have a calendar.
        """
        if len(bond) not in _LENGTHS:
            return None
        try:
            raw = urlsafe_b64decode(bond)
        except (NotBase64, ValueError):
            return None
        name = raw[:_NAME]
        signed = name if len(bond) == _LENGTHS[0] else raw[: _NAME + _END]
        signature = raw[len(signed) :]
        for key in self._keys:
            if compare_digest(signature, _signature(key, signed)):
                break
        else:
            return None
        target_id = self._names.get(name)
        if target_id is None or target_id not in ids:
            # Only values we signed get here; but a target that has left has as many of them as it had clients.
            self._learn(ids)
            target_id = self._names.get(name)
        return target_id

    def _learn(self, ids: Collection[str]) -> None:
        """Know the names of these, computed for those that are new, and of no others."""
        gone = self._named.difference(ids)
        if gone:
            self._names = {n: one for n, one in self._names.items() if one not in gone}
            self._named -= gone
        for an_id in ids:
            if an_id not in self._named:
                self._named.add(an_id)
                for key in self._keys:
                    self._names[_mac(key, b"name", an_id.encode(), _NAME)] = an_id


def _signature(key: bytes, signed: bytes) -> bytes:
    size = _SIGNATURE if len(signed) == _NAME else _LONG_SIGNATURE
    return _mac(key, b"sign", signed, size)


def _mac(key: bytes, purpose: bytes, data: bytes, size: int) -> bytes:
    return blake2b(data, digest_size=size, key=key, person=purpose).digest()

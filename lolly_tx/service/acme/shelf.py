"""What instances share of one authority, as one of them asks a store for it: the turns of `net.stores.turns`, sealed.

What is common is the account, an item is a host's certificate with its key, and what is shown are the proofs that an
authority looks for. Each is sealed as what it is (`service.acme.seal`); versions and tokens are short texts. A reply
that is of another shape is as no answer.

Imports: config, net.stores, service.acme, wire. Used by: service,
service.acme.renewals, service.acme.together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import attrs

from lolly_tx.config.acme import Acme
from lolly_tx.net.stores.errors import StoreAway
from lolly_tx.net.stores.scripts import Script
from lolly_tx.net.stores.store import SharedStore
from lolly_tx.net.stores.turns import END, PUT, READ, SHOW, SYNC, TURN
from lolly_tx.service.acme.answers import MOST_PROOFS, NoChallenge, Proof
from lolly_tx.service.acme.seal import NotOurs, Seal
from lolly_tx.wire.resp import Reply

TURN_SECONDS = 30.0
"""Who has the turn and says nothing for so long has lost it."""
MEMBER_SECONDS = 5.0
"""An instance counts for so long after it was last heard of."""
_WORD = re.compile(rb"[A-Za-z0-9._-]{0,100}")
_ACCOUNT, _PROOFS, _HOST = "account", "proofs", "certificate of"


@attrs.frozen
class Standing:
    """How things are. `holder`: whose turn it is, "" = nobody's; `seconds`: that it has yet.

    `shown`, `changed`: versions. `members`: instances there are; `missing`: of those, who do not have what is shown.
    """

    holder: str
    token: str
    seconds: float
    shown: str
    changed: str
    members: int
    missing: int


@attrs.frozen
class Wait:
    """It is not our turn for `seconds`. `holder`: whose it is; "": an order was in vain a short while ago."""

    seconds: float
    holder: str


@attrs.frozen
class Turn:
    """It is our turn. `account`, `sealed`: sealed, b"" = there is none; `version`: of `sealed`."""

    token: str
    account: bytes = attrs.field(repr=False)
    version: str
    sealed: bytes = attrs.field(repr=False)


class Shelf:
    """See the module. `member`: what this instance is called. `store()`: the one that is in force.

    Everything errbacks with `StoreAway` when there is no answer.
    """

    def __init__(
        self, settings: Acme, store: Callable[[], SharedStore], key: bytes, member: str
    ) -> None:
        at = sha256(settings.directory.encode()).hexdigest()[:16]
        self.member = member
        self._words = "acme", settings.name, at
        self._store = store
        self._seal = Seal(key, f"{settings.name}\n{settings.directory}")

    def _key(self, *words: str) -> bytes:
        return self._store().key(*self._words, *words)

    def _item(self, host: str) -> bytes:
        return self._key("host", host)

    async def _run(self, script: Script, keys: list[bytes], *args: Any) -> Reply:
        return await self._store().run(script, keys, *args)

    async def sync(self, token: str, seen: str) -> Standing:
        """Say that we are there, have the turn, and have what is shown; "" for both where not. Tells how things are."""
        keys = [self._key("turns"), self._key("members"), self._key("seen")]
        words = self.member, token, seen, _ms(MEMBER_SECONDS), _ms(TURN_SECONDS)
        found = _list(await self._run(SYNC, keys, *words), 7)
        left = _number(found[2]) / 1000
        return Standing(
            _word(found[0]) if left else "",
            _word(found[1]),
            left,
            _word(found[3]),
            _word(found[4]),
            _number(found[5]),
            _number(found[6]),
        )

    async def turn(self, host: str) -> Turn | Wait:
        """Ask for the turn, for an order for `host`."""
        keys = [self._key("turns"), self._item(host), self._key("seen")]
        reply = await self._run(TURN, keys, self.member, _ms(TURN_SECONDS))
        if isinstance(reply, list) and len(reply) == 3:
            return Wait(_number(reply[1]) / 1000, _word(reply[2]))
        found = _list(reply, 5)
        return Turn(
            _word(found[1]), _bytes(found[2]), _word(found[3]), _bytes(found[4])
        )

    async def show(self, token: str, proofs: list[Proof], account: bytes) -> str:
        """Have all instances show these, and have that account (b"": as it is). The version; "": it is not our turn."""
        text = json.dumps([attrs.astuple(one) for one in proofs]).encode()
        sealed = self._seal.close(_PROOFS, text)
        common = self._seal.close(_ACCOUNT, account) if account else b""
        keys = [self._key("turns"), self._key("seen")]
        return _word(await self._run(SHOW, keys, self.member, token, sealed, common))

    async def put(
        self, token: str, host: str, begins: float, seconds: float, pem: bytes
    ) -> str:
        """Have all instances serve it. `token`: "" = ordered without a turn. `seconds`: for which it is valid yet.

        The version; "": it was not our turn any more, or there is a newer one.
        """
        sealed = self._seal.close(f"{_HOST} {host}", pem)
        words = self.member, token, int(begins), max(1, _ms(seconds)), sealed
        keys = [self._key("turns"), self._item(host)]
        return _word(await self._run(PUT, keys, *words))

    async def end(
        self, token: str, host: str, waits: tuple[float, float] | None
    ) -> None:
        """Our turn is over. `waits`: the first and the longest after an order that was in vain; None: it was not."""
        words = ("", "") if waits is None else (_ms(waits[0]), _ms(waits[1]))
        keys = [self._key("turns"), self._key("seen"), self._item(host)]
        # Not by its digest: it may be the last that we say, and nobody is there to say it again.
        said = "EVAL", END.text, len(keys), *keys, self.member, token, *words
        await self._store().ask(*said)

    # -- what others have put there; `known`: the version that is known, of which nothing is told

    async def certificate(self, host: str, known: str) -> tuple[str, bytes]:
        """The version of the certificate, "" = there is none, and it, sealed."""
        reply = await self._run(READ, [self._item(host)], "at", "value", known)
        version, sealed = _list(reply, 2)
        return _word(version), _bytes(sealed)

    async def account(self, known: str) -> tuple[str, bytes]:
        """The same of the account."""
        keys = [self._key("turns")]
        reply = await self._run(READ, keys, "common_at", "common", known)
        version, sealed = _list(reply, 2)
        return _word(version), _bytes(sealed)

    async def proofs(self) -> tuple[str, list[Proof]]:
        """The version of what is to be shown, and that. Raises `NotOurs`, too."""
        keys = [self._key("turns")]
        reply = await self._run(READ, keys, "shown_at", "shown", "")
        version, sealed = _list(reply, 2)
        if not version:
            return "", []
        text = self._seal.open(_PROOFS, _bytes(sealed))
        try:
            found = [Proof(*one) for one in json.loads(text)[:MOST_PROOFS]]
        except (ValueError, TypeError, NoChallenge) as error:
            raise NotOurs("proofs: of another version, or damaged") from error
        return _word(version), found

    def opened(self, host: str, sealed: bytes) -> bytes:
        """The certificate of `host`. Raises `NotOurs`."""
        return self._seal.open(f"{_HOST} {host}", sealed)

    def opened_account(self, sealed: bytes) -> bytes:
        """The account. Raises `NotOurs`."""
        return self._seal.open(_ACCOUNT, sealed)


def _ms(seconds: float) -> int:
    return int(1000 * seconds)


def _list(reply: Reply, length: int) -> list[Reply]:
    if not isinstance(reply, list) or len(reply) != length:
        raise StoreAway("it answers something else than it was asked")
    return reply


def _number(reply: Reply) -> int:
    if not isinstance(reply, int) or not 0 <= reply < 1 << 50:
        raise StoreAway("it answers something else than it was asked")
    return reply


def _bytes(reply: Reply) -> bytes:
    if not isinstance(reply, bytes):
        raise StoreAway("it answers something else than it was asked")
    return reply


def _word(reply: Reply) -> str:
    """A name, a token or a version."""
    if not isinstance(reply, bytes) or not _WORD.fullmatch(reply):
        raise StoreAway("it answers something else than it was asked")
    return reply.decode()

"""News that all instances are told, in one order, and none is missed: published, and kept beside that for a while.

    tell --> the store numbers it, keeps the latest, and publishes it, all in one step
    heard, with the number after the last one   --> it is news
    heard with another, or listened to again    --> the store is asked for what there has been since

What was told before all that the store keeps is missed, and whoever listens is told that it is. The same goes for a
store that began anew, or has forgotten what it told: its `epoch` is another then. What cannot be told is told later, as
long as this process lives. One key of the store has it all, a sorted set: the epoch by the number 0, news by theirs.

Imports: net.stores, wire, Twisted. Used by: service.stores.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lolly_tx.net.stores.errors import StoreAway
from lolly_tx.net.stores.scripts import Script
from lolly_tx.wire.resp import Reply

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.net.stores.store import SharedStore

MOST_KEPT = 1000
"""News that the store keeps for who has not heard them."""
PAGE, PAGE_BYTES = 250, 65536
"""Of them in one answer: it is to be there within the `timeout` of the store."""
LONGEST = 4096
"""Bytes of one that is believed."""
MOST_UNTOLD = 100
"""News that wait for the store; of more than that, everything is told to be old."""
AGAIN_SECONDS = 0.5
"""From a question without an answer, or a try to tell in vain, to the next one."""
SOON_SECONDS = 0.1
"""From an answer to the next question, where there was more in the meantime."""

Position = tuple[bytes, int]
"""The epoch, and the number of the last one that was heard."""
NOTHING_HEARD: Position = (b"", 0)

_EPOCH = re.compile(rb"[0-9a-f]{16}")
_ONE = re.compile(rb"([1-9][0-9]{0,14}) ([0-9a-f]{16}) (.+)", re.DOTALL)
_HEAD_BYTES = 64
"""At most, of what comes before the text."""

_BEGIN = """
local key = KEYS[1]
local epoch = redis.call('ZRANGEBYSCORE', key, 0, 0)[1]
if not epoch then
  redis.call('DEL', key)
  epoch = ARGV[1]
  redis.call('ZADD', key, 0, epoch)
end
local seq = tonumber(redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2])
"""

TELL = Script(
    _BEGIN
    + """
local number = string.format('%.0f', seq + 1)
local one = number .. ' ' .. ARGV[2]
redis.call('ZADD', key, number, one)
redis.call('ZREMRANGEBYRANK', key, 1, -(tonumber(ARGV[3]) + 1))
return redis.call('PUBLISH', key, epoch .. ' ' .. one)
"""
)
"""Key: of the news, also the name of their channel. An epoch, for a store that has none; what is told; how many are
kept. Returns how many heard it at once."""

SINCE = Script(
    _BEGIN
    + """
local known, last = ARGV[2], tonumber(ARGV[3])
if known == epoch and last > seq then
  redis.call('DEL', key)
  epoch, seq = ARGV[1], 0
  redis.call('ZADD', key, 0, epoch)
end
local told = string.format('%.0f', seq)
if known ~= '' and known ~= epoch then return {epoch, told, 1, {}} end
local first = redis.call('ZRANGE', key, 1, 1, 'WITHSCORES')[2]
if first and tonumber(first) > last + 1 then return {epoch, told, 1, {}} end
local page, bytes = {}, 0
for i, one in ipairs(redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', last), '+inf', 'LIMIT', 0, ARGV[4])) do
  bytes = bytes + #one
  if i > 1 and bytes > tonumber(ARGV[5]) then break end
  page[i] = one
end
return {epoch, told, 0, page}
"""
)
"""Key: of the news. An epoch, for a store that has none or has forgotten some; the epoch and the last number that are
known; how many at most, and bytes. Returns its epoch, its last number, whether some were missed, and news, if not."""


class News:
    """See the module. `key`: of the store; `me`: who tells, 16 hexadecimal digits: of its own news it hears nothing.

    `on_news(texts)`; `on_missed()`: some will never be heard. `everything`: a text that stands for all there could be.
    """

    def __init__(
        self,
        store: SharedStore,
        key: bytes,
        me: bytes,
        clock: IReactorTime,
        random: Random,
        *,
        everything: bytes,
        on_news: Callable[[list[bytes]], None],
        on_missed: Callable[[], None],
        position: Position = NOTHING_HEARD,
    ) -> None:
        self.position = position
        self.behind = True
        """There may be some that were not heard."""
        self.counts = {"told": 0, "heard": 0, "missed": 0, "ignored": 0}
        """`heard`: of others. `missed`: how often some were. `ignored`: what was none."""
        self._store = store
        self._key = key
        self._me = me
        self._clock = clock
        self._random = random
        self._everything = everything
        self._on_news = on_news
        self._on_missed = on_missed
        self._untold: list[bytes] = []
        self._listening = self._stopped = False
        self._more = False
        """Since it was asked something was heard that does not follow on what is known."""
        self._asking: Deferred[Any] | None = None
        self._telling: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._tell_timer: IDelayedCall | None = None
        store.on_back.append(self._back)

    @property
    def untold(self) -> int:
        """How many wait for the store."""
        return len(self._untold)

    def stop(self) -> None:
        """Nobody wants to hear any more."""
        if self._stopped:
            return
        self._listening, self._stopped = False, True
        self._store.on_back.remove(self._back)
        for timer in (self._timer, self._tell_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._timer = self._tell_timer = None
        for asked in (self._asking, self._telling):
            if asked is not None:
                asked.cancel()

    def _back(self) -> None:
        """The store answers again: what waited for a better time is done at once."""
        for timer, due in (
            (self._timer, self._ask_now),
            (self._tell_timer, self._tell_again),
        ):
            if timer is not None:
                timer.cancel()
                due()

    # -- telling

    def tell(self, text: bytes) -> Deferred[int]:
        """Tell it; how many heard it at once, us included. Errbacks with `StoreAway`; then it is told later."""
        return self._told(text).addErrback(self._eb_later, text)

    def _told(self, text: bytes) -> Deferred[int]:
        one = self._me + b" " + text
        args = (self._epoch(), one, MOST_KEPT)
        asked = self._store.ask("EVAL", TELL.text, 1, self._key, *args)
        return asked.addCallback(self._cb_told)

    def _cb_told(self, reply: Reply) -> int:
        self.counts["told"] += 1
        return reply if isinstance(reply, int) and 0 <= reply < 1 << 31 else 0

    def _eb_later(self, failure: Any, text: bytes) -> Any:
        failure.trap(StoreAway)
        self._untold.append(text)
        if len(self._untold) > MOST_UNTOLD:
            self._untold[:] = [self._everything]
        self._tell_later()
        return failure

    def _tell_later(self) -> None:
        if not (self._stopped or self._tell_timer or self._telling):
            self._tell_timer = self._clock.callLater(AGAIN_SECONDS, self._tell_again)

    def _tell_again(self) -> None:
        self._tell_timer = None
        text = self._untold[0]
        self._telling = self._told(text)
        self._telling.addCallbacks(self._cb_told_again, self._eb_told_again, (text,))

    def _cb_told_again(self, _: int, text: bytes) -> None:
        self._telling = None
        if self._untold[0] is text:  # else all of it is told to be old
            del self._untold[0]
        if self._untold:
            self._tell_again()

    def _eb_told_again(self, _: Any) -> None:
        self._telling = None
        self._tell_later()

    # -- hearing

    def there(self) -> None:
        """What is published is heard from now on."""
        self._listening = True
        self._ask()

    def gone(self) -> None:
        """It is not heard any more."""
        self._listening = False
        self.behind = True

    def message(self, payload: bytes) -> None:
        """What was published."""
        epoch, _, one = payload.partition(b" ")
        read = self._read(one)
        if read is None or not _EPOCH.fullmatch(epoch):
            self.counts["ignored"] += 1
            return
        number, teller, text = read
        known, last = self.position
        if epoch == known and number <= last:
            return
        if epoch != known or number != last + 1:
            self._ask()
            return
        self.position = epoch, number
        if teller != self._me:
            self.counts["heard"] += 1
            self._on_news([text])

    def _read(self, one: bytes) -> tuple[int, bytes, bytes] | None:
        """The number of one, who tells it, and what; None: it is none."""
        match = _ONE.fullmatch(one) if len(one) <= LONGEST + _HEAD_BYTES else None
        return None if match is None else (int(match[1]), match[2], match[3])

    def _ask(self) -> None:
        """Ask for what has been since, unless that is being done."""
        self.behind = self._more = True
        if self._listening and self._asking is None and self._timer is None:
            self._ask_now()

    def _ask_now(self) -> None:
        self._timer = None
        if not self._listening:
            return
        self._more = False
        epoch, last = self.position
        args = (self._epoch(), epoch, last, PAGE, PAGE_BYTES)
        asked = self._store.ask("EVAL", SINCE.text, 1, self._key, *args)
        self._asking = asked
        asked.addCallbacks(self._cb_since, self._eb_since)

    def _eb_since(self, _: Any) -> None:
        self._asking = None
        self._ask_later(AGAIN_SECONDS)

    def _ask_later(self, seconds: float) -> None:
        if self._timer is None and self._listening:
            self._timer = self._clock.callLater(seconds, self._ask_now)

    def _cb_since(self, reply: Reply) -> None:
        self._asking = None
        answer = _answer(reply)
        if answer is None:
            self.counts["ignored"] += 1
            self._ask_later(AGAIN_SECONDS)
            return
        epoch, told, missed, news = answer
        if missed:
            self.counts["missed"] += 1
            self.position = epoch, told
            self._on_missed()
        elif not self._taken(epoch, told, news):
            self._more = True
        if self._more:
            self._ask_later(SOON_SECONDS)
        else:
            self.behind = False

    def _taken(self, epoch: bytes, told: int, news: list[bytes]) -> bool:
        """Take what there has been. Whether that was all."""
        known, last = self.position
        before = last = last if known == epoch else 0
        texts = []
        for one in news:
            read = self._read(one)
            if read is None:
                self.counts["ignored"] += 1
            elif read[0] > last:  # else it was heard meanwhile
                last = read[0]
                if read[1] != self._me:
                    texts.append(read[2])
        whole = last >= told or last == before
        # What is wrong in it has been counted; nobody can have it in another way.
        self.position = epoch, max(last, told) if whole else last
        self.counts["heard"] += len(texts)
        if texts:
            self._on_news(texts)
        return whole

    def _epoch(self) -> bytes:
        """A new one, should the store need it."""
        return b"%016x" % self._random.getrandbits(64)


def _answer(reply: Reply) -> tuple[bytes, int, bool, list[bytes]] | None:
    """Of `SINCE`; None: it is none."""
    if not isinstance(reply, list) or len(reply) != 4:
        return None
    epoch, told, missed, news = reply
    if not isinstance(epoch, bytes) or not _EPOCH.fullmatch(epoch):
        return None
    if not isinstance(told, bytes) or not re.fullmatch(rb"[0-9]{1,15}", told):
        return None
    if not isinstance(news, list) or len(news) > PAGE or not isinstance(missed, int):
        return None
    texts = [one for one in news if isinstance(one, bytes)]
    return (epoch, int(told), bool(missed), texts) if len(texts) == len(news) else None

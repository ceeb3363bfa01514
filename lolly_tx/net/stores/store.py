"""A store that several instances share, as one process sees it: asked without ever being waited for.

    here   questions go out at once, one behind the other, on one connection; each has `timeout` for its answer
      `-- lost, three in a row without an answer, or it refuses what it is asked --> away
    away   nobody's question is sent: it fails at once
      `-- a heartbeat is answered within `timeout` --> here

Heartbeats tell how many processes share it, and its time. While it hangs the connection is kept for a while, because
whoever was only stopped answers there first, and then another is made.

Imports: config, net.stores, wire, Twisted. Used by: net.stores.news, proxy.middleware,
service, service.acme, service.stores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lolly_tx.config.stores import Store, store_address
from lolly_tx.net.stores.errors import StoreAway, StoreRefused
from lolly_tx.net.stores.link import Connect, Link
from lolly_tx.net.stores.past import Past
from lolly_tx.net.stores.scripts import HEARTBEAT, Script
from lolly_tx.wire.resp import Refusal, Reply, command

MISSES = 3
"""Questions in a row without an answer, from which on it is away."""
BEAT_SECONDS, BEAT_AWAY_SECONDS = 1.0, 0.25
"""From one heartbeat to the next, while it is here and while it is away."""
HUNG_SECONDS = 1.5
"""A heartbeat without an answer for so long: another connection is made."""
MEMBER_SECONDS = 10.0
"""A process counts for so long after its last heartbeat."""
MOST_OPEN = 10_000
"""Questions without an answer at once."""
RESULTS = ("asked", "answered", "late", "refused", "lost", "skipped")
"""What becomes of questions."""
MOST_SHARERS = 100_000
"""A number of processes above this is not believed."""


class _Question:
    """`done`: who waits; None: nobody any more, or a heartbeat."""

    __slots__ = ("asked_at", "deadline", "done", "heartbeat")

    def __init__(
        self, done: Deferred[Reply] | None, asked_at: float, deadline: float
    ) -> None:
        self.done = done
        self.asked_at = asked_at
        self.deadline = deadline
        self.heartbeat = done is None


class SharedStore:
    """See the module. `member`: what this process is called there; "": it does not count as one that shares limits.

    `connect`: as of an endpoint. `now`: monotonic, `wall`: since the epoch, both seconds.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        settings: Store,
        connect: Connect,
        clock: IReactorTime,
        *,
        now: Callable[[], float],
        wall: Callable[[], float],
        random: Random,
        member: str = "",
    ) -> None:
        self.settings = settings
        self.member = member
        self.password = ""
        self.here = False
        self.why = "it was not connected to yet"
        self.away_since: float | None = None
        """Monotonic; None: it is here, or was never."""
        self.losses = 0
        """How often it went away."""
        self.past = Past()
        self.sharers = 0
        """Processes that shared it by its latest word; 0: it has never said."""
        self.offset: float | None = None
        """Its time less ours, seconds; None: it has never said."""
        self.on_back: list[Callable[[], None]] = []
        self.counts = dict.fromkeys(RESULTS, 0)
        self._now = now
        self._wall = wall
        self._random = random
        self._clock = clock
        self._open: deque[_Question] = deque()
        self._expired = 0
        """How many of the first ones have been given up."""
        self._misses = 0
        self._probed_at: float | None = None
        self._timer: IDelayedCall | None = None
        self._beating: IDelayedCall | None = None
        self._lenient = False
        self._complaint = ""
        self.link = Link(
            connect,
            clock,
            random,
            self.greeting,
            on_up=self._up,
            on_reply=self._heard,
            on_down=self._down,
        )

    def key(self, *words: str) -> bytes:
        """The name of a key or a channel there."""
        return (self.settings.prefix + ":".join(words)).encode()

    def greeting(self) -> list[bytes]:
        """What a connection begins with."""
        said = []
        if self.password:
            who = [self.settings.username] if self.settings.username else []
            said.append(command("AUTH", *who, self.password))
        database = store_address(self.settings.url).database
        if database:
            said.append(command("SELECT", database))
        return said

    def start(self) -> None:
        """Connect, and stay so."""
        self.link.start()
        self._beat_later()

    def stop(self) -> None:
        """Ask nothing more; who waits is told."""
        self.here = False
        self.why = "the store is not used any more"
        for timer in (self._timer, self._beating):
            if timer is not None and timer.active():
                timer.cancel()
        self._timer = self._beating = None
        self.link.stop()
        self._forget(self.why)

    # -- questions

    def ask(self, *words: bytes | str | int) -> Deferred[Reply]:
        """The answer to a command. Errbacks with `StoreAway`: at once, or after `timeout` at the latest."""
        if not self.here:
            self.counts["skipped"] += 1
            return fail(StoreAway(self.why))
        if len(self._open) >= MOST_OPEN:
            self.counts["skipped"] += 1
            return fail(StoreAway("too many questions without an answer"))
        self.counts["asked"] += 1
        now = self._now()
        question = _Question(Deferred(self._leave_it), now, now)
        question.deadline = now + self.settings.timeout
        self._open.append(question)
        self.link.send(command(*words))
        if self._timer is None:
            self._timer = self._clock.callLater(self.settings.timeout, self._look)
        assert question.done is not None
        return question.done

    def run(
        self, script: Script, keys: list[bytes], *args: bytes | str | int
    ) -> Deferred[Reply]:
        """What `script` returns. Errbacks as `ask`."""
        asked = self.ask("EVALSHA", script.digest, len(keys), *keys, *args)
        return asked.addErrback(self._eb_unknown, script, keys, args)

    def _eb_unknown(
        self,
        failure: Any,
        script: Script,
        keys: list[bytes],
        args: tuple[bytes | str | int, ...],
    ) -> Any:
        """It was started anew, or this is the first time: the script is sent once."""
        if failure.check(StoreRefused) and str(failure.value).startswith("NOSCRIPT"):
            return self.ask("EVAL", script.text, len(keys), *keys, *args)
        return failure

    def _leave_it(self, done: Deferred[Reply]) -> None:
        """Who asked has gone; the answer will come all the same."""
        for question in self._open:
            if question.done is done:
                question.done = None
                return

    # -- answers

    def _heard(self, reply: Reply) -> None:
        if not self._open:
            self.link.give_up("it answers what nobody has asked")
            return
        question = self._open.popleft()
        if question.heartbeat:
            if self._expired:
                self._expired -= 1
            self._probed_at = None
            self._beat_heard(reply, self._now() - question.asked_at)
            return
        if self._expired:
            self._expired -= 1
            return  # too late
        self._misses = 0
        done, question.done = question.done, None
        if isinstance(reply, Refusal):
            self._complain(reply)
            if done is not None:
                done.errback(StoreRefused(reply.text[:200]))
            return
        self.counts["answered"] += 1
        if done is not None:
            done.callback(reply)

    def _complain(self, reply: Refusal) -> None:
        if reply.kind == "NOSCRIPT":
            return
        self.counts["refused"] += 1
        self.past.refusal = reply.text[:200]
        if reply.kind != self._complaint:
            self._complaint = reply.kind
            self.log.warn(
                "Store {name} refuses what it is asked: {why}",
                name=self.settings.name,
                why=reply.text[:200],
            )

    def _look(self) -> None:
        """Give up what has had its time.

        Once more first, for the loop itself may have stood still, and then the answers wait in the socket.
        """
        self._timer = None
        if not self._lenient:
            self._lenient = True
            self._timer = self._clock.callLater(0, self._look)
            return
        self._lenient = False
        now = self._now()
        late = []
        for question in islice(self._open, self._expired, None):
            if question.deadline > now:
                break
            late.append(question)
        self._expired += len(late)
        for question in late:
            done, question.done = question.done, None
            if not question.heartbeat:
                self.counts["late"] += 1
            self._misses += 1
            if done is not None:
                done.errback(
                    StoreAway(f"no answer in {1000 * self.settings.timeout:g} ms")
                )
        if self._misses >= MISSES and self.here:
            said = f"no answer in {1000 * self.settings.timeout:g} ms, {MISSES} times in a row"
            self._leave(said)
        self._watch()

    def _watch(self) -> None:
        """Look again when the next one has had its time."""
        if self._timer is None and len(self._open) > self._expired:
            following = self._open[self._expired].deadline - self._now()
            self._timer = self._clock.callLater(max(0.0, following), self._look)

    # -- heartbeats

    def _beat_later(self) -> None:
        seconds = BEAT_SECONDS if self.here else BEAT_AWAY_SECONDS
        seconds *= self._random.uniform(0.9, 1.1)
        self._beating = self._clock.callLater(seconds, self._beat)

    def _beat(self) -> None:
        self._beat_later()
        if not self.link.up:
            return
        if self._probed_at is None:
            self._probe()
        elif self._now() - self._probed_at >= HUNG_SECONDS:
            self.link.give_up("it does not answer")

    def _probe(self) -> None:
        now = self._probed_at = self._now()
        self._open.append(_Question(None, now, now + self.settings.timeout))
        keys = [self.key("members")]
        member, keep = self.member, int(1000 * MEMBER_SECONDS)
        self.link.send(
            command("EVAL", HEARTBEAT.text, len(keys), *keys, member, keep),
        )
        self._watch()

    def _beat_heard(self, reply: Reply, seconds: float) -> None:
        """A heartbeat was answered, after `seconds`."""
        self.past.answered_in = seconds
        if isinstance(reply, Refusal):
            self._leave(f"it refuses: {reply.text[:200]}")
            return
        words = reply if isinstance(reply, list) else []
        if len(words) != 3 or not all(isinstance(word, int) for word in words):
            self.link.give_up("it answers something else than it was asked")
            return
        count, whole, micros = (word for word in words if isinstance(word, int))
        if 0 <= count <= MOST_SHARERS:
            self.sharers = max(1, count)
        self.offset = whole + micros / 1e6 + seconds / 2 - self._wall()
        if seconds > self.settings.timeout:
            return  # as before: what is slow is no better than what is not there
        self._misses = 0
        self.link.settled()
        if not self.here:
            self._back()

    # -- here and away

    def _up(self) -> None:
        self._open.clear()
        self._expired = 0
        self._probe()

    def _down(self, why: str) -> None:
        self._probed_at = None
        self._forget(why)
        self._leave(why)

    def _leave(self, why: str) -> None:
        first = self.away_since is None
        changed = why != self.why
        self.why = why
        if self.here or (first and changed):
            self.here = False
            self.losses += 1
            self.away_since = self._now()
            self.past.went(self.away_since, why)
            self.log.warn(
                "Store {name} is away: {why}; what it is for goes on without it",
                name=self.settings.name,
                why=why,
            )
        self._fail_open(why)

    def _back(self) -> None:
        since, self.away_since = self.away_since, None
        self.here = True
        self.why = self._complaint = ""
        self.past.came(self._now())
        if since is None:
            self.log.info("Store {name} is there", name=self.settings.name)
        else:
            self.log.info(
                "Store {name} is back after {seconds} s",
                name=self.settings.name,
                seconds=round(self._now() - since, 1),
            )
        for tell in self.on_back:
            tell()

    def _fail_open(self, why: str) -> None:
        """Nobody is to wait any longer; the answers may come all the same."""
        waiting = [one for one in self._open if one.done is not None]
        self._expired = len(self._open)
        for question in waiting:
            done, question.done = question.done, None
            self.counts["lost"] += 1
            if done is not None:
                done.errback(StoreAway(why))

    def _forget(self, why: str) -> None:
        """The connection is gone, and all answers with it."""
        self._fail_open(why)
        self._open.clear()
        self._expired = self._misses = 0

    # -- what is shown

    def shown(self) -> dict[str, Any]:
        """As JSON-able values."""
        since = self.away_since
        state = "here" if self.here else "away" if since is not None else "connecting"
        return {
            "state": state,
            "why": self.why,
            "away": int(not self.here),
            "away_seconds": 0.0 if since is None else round(self._now() - since, 3),
            "losses": self.losses,
            "sharers": self.sharers,
            "questions": dict(self.counts),
        }

"""Passwords of users, verified in threads, with patience for nobody who guesses.

    check(client, user, password) --known a minute ago--> True
                                  --guessed too often---> LockedOut
                                  --else, in a thread---> Deferred[bool]

Imports: domain.access, Twisted. Used by: proxy.forwards, proxy.middleware.basic_auth,
service.forwards.

What was right is remembered until it was not used for a minute, as a keyed hash (HMAC) of what was said; what was wrong
is not. Unknown users take as long as known ones. Failures are counted by client, so that nobody locks out somebody
else; of those behind one address, nobody who has logged in and goes on.
"""

from __future__ import annotations

import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from lolly_tx.domain.access.lockout import Lockout
from lolly_tx.domain.access.passwords import matches

REMEMBERED_SECONDS = 60.0
REMEMBERED = 4096
MOST_WAITING = 64
"""Comparisons that wait for a thread; who comes then is told to come again."""
THREADS = 2


class LockedOut(Exception):
    """Too many failures, or too much to verify. `seconds`: when to come again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come again in {seconds:.0f} s")
        self.seconds = seconds


class Threads:
    """A few threads for slow work, begun when there is some. `most`: how many."""

    def __init__(self, reactor: Any, name: str, most: int = THREADS) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, most, name)
        self._begun = self._stopped = False

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        """What `work` returns or raises. After `stop`, for a request that was on its way, a thread of the process."""
        if self._stopped:
            return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)
        if not self._begun:
            self._begun = True
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, work)

    def stop(self) -> None:
        """Let them end with what waits for them, which may take seconds: nobody waits for that."""
        begun = self._begun and not self._stopped
        self._stopped = True
        if begun:
            Thread(target=self._pool.stop, daemon=True).start()


class Verifier:
    """See the module. `users`: hashes by name. `run`: does work in a thread."""

    def __init__(
        self,
        users: Mapping[str, str],
        run: Callable[[Callable[[], bool]], Deferred[bool]],
        now: Callable[[], float],
    ) -> None:
        self._users = {name.encode(): stored for name, stored in users.items()}
        # Of the kind that is there, so that it takes as long.
        self._dummy = next(iter(users.values()), "")
        self._run = run
        self._now = now
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._waiting = 0
        self.lockout = Lockout()

    def check(self, client: str, user: bytes, password: bytes) -> Deferred[bool]:
        """Whether that is right. Raises `LockedOut`."""
        now = self._now()
        said = hmac.digest(self._key, user + b"\0" + password, "sha256")
        if self._remembers(said, now):
            return succeed(True)
        wait = self.lockout.wait(client, now)
        if not wait and self._waiting >= MOST_WAITING:
            wait = 1.0
        if wait:
            raise LockedOut(wait)
        stored = self._users.get(user)
        known = stored is not None
        compared = stored or self._dummy
        if not compared:
            self.lockout.failed(client, now)
            return succeed(False)
        self._waiting += 1
        verdict = self._run(lambda: matches(compared, password) and known)
        verdict.addBoth(self._cb_over)
        verdict.addCallback(self._cb_verdict, client, said)
        return verdict

    def knows(self, user: bytes, password: bytes) -> bool:
        """That was found right a moment ago, or has been used ever since."""
        said = hmac.digest(self._key, user + b"\0" + password, "sha256")
        return self._remembers(said, self._now())

    def _remembers(self, said: bytes, now: float) -> bool:
        """Whether it is known still, and is for another minute: a stranger at the same address may be locked out."""
        if self._right.get(said, 0.0) <= now:
            return False
        self._right[said] = now + REMEMBERED_SECONDS
        self._right.move_to_end(said)
        return True

    def _cb_over(self, verdict: Any) -> Any:
        self._waiting -= 1
        return verdict

    def _cb_verdict(self, right: bool, client: str, said: bytes) -> bool:
        now = self._now()
        if right:
            self._right.pop(said, None)
            self._right[said] = now + REMEMBERED_SECONDS
            if len(self._right) > REMEMBERED:
                self._right.popitem(last=False)
        else:
            self.lockout.failed(client, now)
        return right

"""A store in memory: it reads what is sent to it, byte by byte, and answers what it is told to, when it is told to.

    fake = FakeStore(clock)
    store = fake.store(timeout=0.05)     # a `SharedStore` that connects to it
    fake.frozen = True                   # it reads and says nothing, as a process that is stopped

Commands that nobody has set an answer for with `answers` are answered as Redis would: heartbeats and PING among them,
and scripts by the functions that `on` was given.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from lolly_tx.config.stores import Store
from lolly_tx.net.stores.scripts import HEARTBEAT, Script
from lolly_tx.net.stores.store import SharedStore
from lolly_tx.wire.resp import Refusal, Reply, ReplyReader

NOSCRIPT = Refusal("NOSCRIPT No matching script")
RunScript = Callable[[list[bytes], list[bytes]], Reply]


def rendered(reply: Reply) -> bytes:
    """A reply as it is sent."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, Refusal):
        return b"-%b\r\n" % reply.text.encode()
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(map(rendered, reply))
    return b"$%d\r\n%b\r\n" % (len(reply), reply)


class _Transport(StringTransport):
    """Hands over what is written, at once."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self.line = line

    def write(self, data: bytes) -> None:
        self.line.received(data)

    def loseConnection(self) -> None:
        self.line.close()

    def abortConnection(self) -> None:
        self.aborting = True
        self.line.close()


class Line:
    """One connection to a fake."""

    def __init__(self, fake: FakeStore, protocol: Protocol) -> None:
        self.fake = fake
        self.protocol = protocol
        self.open = True
        self._reader = ReplyReader()
        self._unread: list[bytes] = []
        self.transport = _Transport(self)

    def received(self, data: bytes) -> None:
        if self.fake.frozen:
            self._unread.append(data)
            return
        for words in self._reader.feed(data):
            assert isinstance(words, list)
            said = self.fake.said(self, [w for w in words if isinstance(w, bytes)])
            for reply in said:
                self.send(reply)

    def thaw(self) -> None:
        unread, self._unread = self._unread, []
        for data in unread:
            self.received(data)

    def send(self, reply: Reply) -> None:
        self.fake.clock.callLater(self.fake.latency, self._deliver, rendered(reply))

    def _deliver(self, data: bytes) -> None:
        if self.open:
            self.protocol.dataReceived(data)

    def close(self) -> None:
        if self.open:
            self.open = False
            self.fake.clock.callLater(
                0, self.protocol.connectionLost, Failure(ConnectionDone())
            )


class FakeStore:
    """See the module. `seen`: commands, as lists of words. `down`: it takes no connections."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lines: list[Line] = []
        self.seen: list[list[bytes]] = []
        self.frozen = False
        self.down = False
        self.latency = 0.001
        self.sharers = 1
        self.skew = 1000.0
        self.connects = 0
        self.answers: dict[bytes, Reply] = {}
        self.scripts: dict[bytes, RunScript] = {}
        self.known: set[bytes] = {HEARTBEAT.digest}
        self.wall = 5000.0

    def store(self, member: str = "m1", **settings: Any) -> SharedStore:
        """One of ours that is connected to it once it is started."""
        made = Store("shared", "redis://127.0.0.1:6379", **settings)
        return SharedStore(
            made,
            self.connect,
            self.clock,
            now=self.clock.seconds,
            wall=lambda: self.wall + self.clock.seconds(),
            random=Random(1),
            member=member,
        )

    def connect(self, factory: Any) -> Deferred[Any]:
        """As an endpoint does."""
        self.connects += 1
        if self.down:
            return fail(ConnectionRefusedError("refused"))
        protocol = factory.buildProtocol(None)
        line = Line(self, protocol)
        self.lines.append(line)
        protocol.makeConnection(line.transport)
        return succeed(protocol)

    def on(self, script: Script, run: RunScript) -> None:
        """What a script does."""
        self.scripts[script.digest] = run

    def said(self, line: Line, words: list[bytes]) -> list[Reply]:
        self.seen.append(words)
        name, rest = words[0].upper(), words[1:]
        if name in self.answers:
            return [self.answers[name]]
        if name in (b"AUTH", b"SELECT", b"PING"):
            return [b"OK"]
        if name in (b"EVAL", b"EVALSHA"):
            return [self._run(name, rest)]
        return [Refusal(f"ERR unknown command {name.decode()}")]

    def _run(self, name: bytes, rest: list[bytes]) -> Reply:
        digest = Script(rest[0].decode()).digest if name == b"EVAL" else rest[0]
        if name == b"EVALSHA" and digest not in self.known:
            return NOSCRIPT
        self.known.add(digest)
        count = int(rest[1])
        keys, args = rest[2 : 2 + count], rest[2 + count :]
        if digest == HEARTBEAT.digest:
            now = self.wall + self.skew + self.clock.seconds()
            return [self.sharers, int(now), int(now % 1 * 1e6)]
        return self.scripts[digest](keys, args)

    def freeze(self) -> None:
        """Read and say nothing any more."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on."""
        self.frozen = False
        for line in self.lines:
            if line.open:
                line.thaw()

    def kill(self) -> None:
        """End: what is open is closed, and nobody connects."""
        self.down = True
        for line in self.lines:
            line.close()


@attrs.define
class Heard:
    """What became of questions."""

    said: list[Any] = attrs.field(factory=list)
    failed: list[str] = attrs.field(factory=list)

    def ask(self, store: SharedStore, *words: Any) -> Deferred[Any]:
        """One question, of which the result is noted."""
        return store.ask(*words).addCallbacks(
            self.said.append, lambda failure: self.failed.append(str(failure.value))
        )

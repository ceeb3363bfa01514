"""Simulated clients of a stream of datagrams: each sends now and then, and the stream that serves them is the real one.

    client --datagram--> port --> session --> the model of its target
              ^-- answer -----------|--- answer or refusal, later ---/

The port, the sessions with their deadlines, and who finds targets for them are what a running stream has
(`net.datagrams`, `proxy.streams.datagrams`); only sockets are not. A datagram that is not answered is an error, whoever
has lost it.

Imports: domain, net, net.datagrams, net.sockets, proxy, proxy.streams, simulate,
Twisted. Used by: simulate.findings, simulate.world.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from twisted.internet.defer import succeed

from lolly_tx.domain.errors import AllFull, ProxyError
from lolly_tx.domain.node import Node
from lolly_tx.domain.target import Target
from lolly_tx.net.datagrams.acceptor import DatagramAcceptor
from lolly_tx.net.datagrams.port import DatagramPort
from lolly_tx.net.datagrams.session import NO_TARGET, DatagramSession
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.replies import status_of
from lolly_tx.proxy.streams.datagrams import DatagramCounters, DatagramStreaming
from lolly_tx.proxy.streams.session import SERVED
from lolly_tx.proxy.streams.streamnames import place_name
from lolly_tx.simulate.journey import Surroundings
from lolly_tx.simulate.load import Client
from lolly_tx.simulate.modelsockets import ModelReactor, ModelSocket, PortSocket
from lolly_tx.simulate.staging import Talk

LATE = 504
"""The status of a datagram that had no answer, or none in time; it is nobody's refusal."""

REFUSED = 502
"""The status of one that its target's machine has refused."""

_LARGEST = 65507


class TalkSurroundings(Surroundings, Protocol):
    """What conversations need beside what requests do."""

    deadlines: Deadlines


class Conversation:
    """A client that sends from one port until its time is over."""

    __slots__ = ("address", "until")

    def __init__(self, address: tuple[str, int], until: float) -> None:
        self.address = address
        self.until = until


class Conversations:
    """Everybody who sends to a stream, and the stream. `most`, `census`: the sessions that the limits allow.

    `parting`: seconds that those of a target may go on for which is no more.
    """

    def __init__(
        self,
        world: TalkSurroundings,
        talk: Talk,
        targets: Sequence[Target],
        most: int,
        census: Census,
        parting: float,
    ) -> None:
        stream = talk.stream
        self.counters = DatagramCounters()
        self.most_open: dict[str, int] = {one.id: 0 for one in targets}
        self.lost: Counter[str] = Counter()
        """Datagrams that had no answer, by why."""
        self._world = world
        self._talk = talk
        self._targets = {(one.host, one.port): one.id for one in targets}
        self._ports = 0
        self._reactor = ModelReactor()
        self._site = DatagramStreaming(
            stream.name,
            lambda: world.forwarder,
            lambda name: succeed((name,)),  # nothing is looked up
            counters=self.counters,
            links=tuple,
            along=Along(
                place_name(stream.name),
                client_of=lambda peer, head: peer.address,
                wall=world.now,
            ),
            idle=stream.session_timeout,
            parting=parting,
            header_of=lambda peer: b"",
        )
        self.idle = stream.session_timeout
        self.acceptor = DatagramAcceptor(
            place_name(stream.name),
            self,
            deadlines=world.deadlines,
            census=census,
            most=most,
            connect=self._connect,
        )
        self._socket = PortSocket(self._came_back)
        self._port = DatagramPort(self._reactor, cast(Any, self._socket), self.acceptor)
        self._port.startListening()
        world.deadlines.start()

    @property
    def open(self) -> int:
        """Sessions that are not over."""
        return len(self._port.sessions)

    # -- clients

    def arrive(self, client: Client, now: float) -> None:
        """One begins to send."""
        self._ports += 1
        until = now + self._talk.staying.lasts.draw(self._talk.random)
        self._say(now, Conversation((client.address, self._ports), until), None)

    def _say(self, now: float, one: Conversation, _: object) -> None:
        staying, random = self._talk.staying, self._talk.random
        turned_away = self.acceptor.turned_away
        size = min(_LARGEST, int(staying.sent.draw(random)))
        self._socket.inbox.append((size, one.address))
        self._port.doRead()
        if self.acceptor.turned_away > turned_away:
            self._lose(now, now, status_of(_FULL), "no session left", _FULL)
        again = now + staying.every.draw(random)
        if again < one.until:
            self._world.schedule(again, self._say, one)

    def _came_back(self, asked: float) -> None:
        """An answer has reached the client that had asked at `asked`."""
        world = self._world
        now = world.now()
        if world.patience and now - asked > world.patience:
            self._lose(asked, now, LATE, "answered too late")
        else:
            world.recording.finished(asked, SERVED, None, now)

    def _lose(
        self,
        asked: float,
        now: float,
        status: int,
        why: str,
        error: ProxyError | None = None,
    ) -> None:
        self.lost[why] += 1
        self._world.recording.finished(asked, status, error, now)

    # -- targets

    def _connect(self, address: str, port: int) -> ModelSocket:
        target = self._targets[address, port]
        in_flight = self._world.forwarder.pool.nodes[target].in_flight
        self.most_open[target] = max(self.most_open[target], in_flight)
        return ModelSocket(self._reactor.number(), self._ask, target)

    def _ask(self, made: ModelSocket, target: str) -> None:
        """A datagram has been sent to `target`."""
        world, talk = self._world, self._talk
        now = world.now()
        seconds, _, trouble = world.models[target].answer(now)
        if trouble == "refused":
            world.schedule(now + seconds, self._refused, made, now)
        elif trouble in ("unreachable", "silent"):
            self._lose(now, now, LATE, "no answer")
        elif trouble:  # its process dies with the question
            world.schedule(now + seconds, self._died, now)
        elif talk.random.random() < talk.staying.answered:
            size = min(_LARGEST, int(talk.staying.received.draw(talk.random)))
            world.schedule(now + seconds, self._answered, made, (now, size))
        else:
            world.recording.finished(now, SERVED, None, now)

    def _died(self, now: float, asked: float, _: object) -> None:
        self._lose(asked, now, LATE, "no answer")

    def _refused(self, now: float, made: ModelSocket, asked: float) -> None:
        self._lose(asked, now, REFUSED, "refused by the target's machine")
        made.refuse()
        self._reactor.wake(made)

    def _answered(
        self, now: float, made: ModelSocket, answer: tuple[float, int]
    ) -> None:
        asked, size = answer
        if made.closed:
            self._lose(asked, now, LATE, "answered when its session was over")
            return
        made.inbox.append(size)
        self._socket.asked = asked
        self._reactor.wake(made)

    # -- sessions (`DatagramSite`): those who serve are asked, and what comes of it is noted

    def find(self, session: DatagramSession, tried: Sequence[Node]) -> None:
        """See `DatagramSite`."""
        self._site.find(session, tried)

    def stays(self, node: Node, since: float, now: float) -> bool:
        """See `DatagramSite`."""
        return self._site.stays(node, since, now)

    def dropped(self, why: str, upwards: bool) -> None:
        """See `DatagramSite`."""
        self._site.dropped(why, upwards)

    def over(self, session: DatagramSession, error: ProxyError | None) -> None:
        """See `DatagramSite`."""
        self._site.over(session, error)
        if session.why == NO_TARGET and error is not None:
            now = self._world.now()
            self._lose(now, now, status_of(error), "no target", error)


_FULL = AllFull("no session is left")


def session_counts(talk: Conversations) -> Mapping[str, Any]:
    """What became of the sessions, JSON-able."""
    counters = talk.counters
    return {
        "up": counters.served + talk.open,
        "ended": dict(sorted(counters.ended.items())),
        "open": talk.open,
        "most_open": dict(talk.most_open),
        "sent": counters.sent,
        "received": counters.received,
        "turned_away": talk.acceptor.turned_away,
    }

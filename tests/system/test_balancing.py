"""Balancing over real sockets: nobody sees a failure that another target can prevent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    clientFromString,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from lolly_tx.config import parse
from lolly_tx.service.build import LollyService, build
from tests.domain.pools import Diary
from tests.net.fakes import SteppingTestCase

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SECONDS = 5.0
"""How long a scene is watched."""

Reply = Callable[[], tuple[int, float]]
"""The next status, and the seconds it takes."""


class Origin(Factory):
    """A backend that answers as `reply` says, and counts."""

    noisy = False

    def __init__(self, reactor: Any, name: str) -> None:
        self.reactor = reactor
        self.name = name
        self.reply: Reply = lambda: (200, 0.0)
        self.answers: Counter[int] = Counter()

    def buildProtocol(self, addr: Any) -> Protocol:
        return _OriginSide(self)


class _OriginSide(Protocol):
    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            _, _, self.received = self.received.partition(b"\r\n\r\n")
            status, seconds = self.origin.reply()
            self.origin.answers[status] += 1
            if seconds:
                self.origin.reactor.callLater(seconds, self.answer, status)
            else:
                self.answer(status)

    def answer(self, status: int) -> None:
        head = b"HTTP/1.1 %d R\r\nDate: d\r\nContent-Length: 1\r\n\r\n" % status
        assert self.transport is not None
        self.transport.write(head + self.origin.name.encode())


class Asker(Protocol):
    """Asks again and again on one connection. `answers`: when asked, status, by whom."""

    def __init__(self) -> None:
        self.answers: list[tuple[float, int, str]] = []
        self.wanted = 0
        self.asked_at = 0.0
        self.received = b""
        self.lost = False

    def ask(self, times: int = 1) -> None:
        """Ask so many times, one after the other."""
        self.wanted = times
        self._next()

    def _next(self) -> None:
        self.wanted -= 1
        self.asked_at = time.monotonic()
        assert self.transport is not None
        self.transport.write(GET)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        head, end, rest = self.received.partition(b"\r\n\r\n")
        length = 1 if b"Length: 1\r\n" in head + b"\r\n" else None
        if not end or not rest or (length is None and len(rest) < 5):
            return
        self.received = b""
        self.answers.append((self.asked_at, int(head[9:12]), rest[:1].decode()))
        if self.wanted:
            self._next()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class BalancingTests(SteppingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.diary = Diary()
        self.origins: dict[str, Origin] = {}

    def start(self, text: str, *more: str) -> LollyService:
        """Three backends, or one for each of `more` (settings of a target), and the proxy."""
        targets = []
        for name, extra in zip("abc", more or ("", "", ""), strict=False):
            origin = self.origins[name] = Origin(self.reactor, name)
            server = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
            port: Any = self.successResultOf(server.listen(origin))
            self.addCleanup(port.stopListening)
            url = f"http://127.0.0.1:{port.getHost().port}"
            targets.append(f'{{ url = "{url}", id = "{name}"{extra} }}')
        config = parse(
            '[listener.web]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
            '[[route]]\npool = "app"\n[pool.app]\n'
            f"targets = [{', '.join(targets)}]\n{text}"
        )
        service = build(self.reactor, config, events=self.diary)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(self._stop, service)
        return service

    def _stop(self, service: LollyService) -> None:
        stopped: list[Any] = []
        service.stopService().addBoth(stopped.append)
        self.spin(lambda: stopped, "the end")
        self.assertEqual(service.pools["app"].in_flight, 0)

    def askers(self, service: LollyService, count: int) -> list[Asker]:
        """So many connected clients."""
        port: Any = next(service.listeners.ports()).getHost()
        found: list[Any] = []
        for _ in range(count):
            client = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.port)
            client.connect(Factory.forProtocol(Asker)).addBoth(found.append)
        self.spin(lambda: len(found) == count, "connections")
        for one in found:
            self.addCleanup(one.transport.abortConnection)
        return found

    def watch(self, askers: list[Asker], until: float) -> list[tuple[float, int, str]]:
        """Everybody asks until that time; all the answers."""
        for one in askers:
            one.ask(10**6)
        while time.monotonic() < until:
            self.reactor.iterate(0.01)
        for one in askers:
            one.wanted = 0
        ends = [len(one.answers) for one in askers]
        self.spin(
            lambda: all(
                len(one.answers) > end or one.lost
                for one, end in zip(askers, ends, strict=True)
            ),
            "the last answers",
        )
        self.assertFalse(any(one.lost for one in askers))
        return [answer for one in askers for answer in one.answers]

    def asked(self, asker: Asker, times: int) -> Counter[str]:
        """Who answered so many sequential requests; all of them well."""
        before = len(asker.answers)
        asker.ask(times)
        self.spin(lambda: len(asker.answers) == before + times, "all answers")
        answers = asker.answers[before:]
        self.assertEqual({status for _, status, _ in answers}, {200})
        return Counter(name for _, _, name in answers)

    def test_toggling(self) -> None:
        """A backend that answers 200 and 503 in turns of half a second fails no GET."""
        service = self.start(
            '[pool.app.retry]\non = ["connect", "timeout", "reset", "503"]\n'
            '[pool.app.passive]\nfail_timeout = "700ms"\n'
        )
        start = time.monotonic()

        def toggle() -> tuple[int, float]:
            bad = int((time.monotonic() - start) / 0.5) % 2
            return (503 if bad else 200), 0.0

        self.origins["a"].reply = toggle
        answers = self.watch(self.askers(service, 4), start + SECONDS)
        self.assertEqual({status for _, status, _ in answers}, {200})
        seen = self.origins["a"].answers
        self.assertGreater(seen[200], 0)
        self.assertGreater(seen[503], 3)
        self.assertGreater(self.diary.words("ejection").count("a: up -> ejected"), 1)
        self.assertGreater(len(answers), 500)

    def test_half_bad(self) -> None:
        """One of three answers 500 to every second request: once it is out nobody sees a 500."""
        service = self.start("[pool.app.outlier]\n")
        turns = iter(range(10**9))
        self.origins["a"].reply = lambda: (200 + 300 * (next(turns) % 2), 0.0)
        askers = self.askers(service, 4)
        started = time.monotonic()
        answers = self.watch(askers, started + SECONDS)
        events = [e for e in self.diary.events if e.new == "ejected"]
        self.assertEqual([e.node for e in events], ["a"])
        self.assertIn("outlier", events[0].cause)
        self.assertLess(events[0].at, started + 2.5)
        seen = Counter(status for at, status, _ in answers if at > events[0].at)
        self.assertEqual(set(seen), {200})
        self.assertGreater(seen[200], 500)
        self.assertGreater(self.origins["a"].answers[500], 0)

    def test_shares(self) -> None:
        """3,000 requests are spread evenly, and by weight, within one per cent."""
        service = self.start("")
        (asker,) = self.askers(service, 1)
        got = self.asked(asker, 3000)
        for name in "abc":
            self.assertAlmostEqual(got[name], 1000, delta=10)
        # Shares follow a change of weights in the running pool.
        nodes = service.pools["app"].nodes.values()
        targets = [n.target for n in nodes]
        heavier = [
            type(t)(t.id, t.address, host=t.host, port=t.port, weight=weight)
            for t, weight in zip(targets, (3, 2, 1), strict=True)
        ]
        service.pools["app"].replace(heavier, time.monotonic())
        got = self.asked(asker, 3000)
        for name, share in zip("abc", (1500, 1000, 500), strict=True):
            self.assertAlmostEqual(got[name], share, delta=30)

    def test_by_name(self) -> None:
        """Any client of this process may connect through the pool of the running proxy."""
        self.start("")
        got: list[Any] = []
        for _ in range(3):
            endpoint = clientFromString(self.reactor, "lolly:pool=app")
            endpoint.connect(Factory.forProtocol(Asker)).addBoth(got.append)
        self.spin(lambda: len(got) == 3, "connections")
        for one in got:
            self.addCleanup(one.transport.abortConnection)
            one.ask()
        self.spin(lambda: all(one.answers for one in got), "answers")
        self.assertEqual(sorted(one.answers[0][2] for one in got), ["a", "b", "c"])
        for one in got:
            one.transport.abortConnection()
        self.rounds()

    def test_least_time(self) -> None:
        """Of 60 sequential requests the one that takes 1 ms gets 55, the one with 50 ms few."""
        service = self.start('balance = "least_time"\n', "", "")
        self.origins["a"].reply = lambda: (200, 0.05)
        self.origins["b"].reply = lambda: (200, 0.001)
        (asker,) = self.askers(service, 1)
        got = self.asked(asker, 60)
        self.assertGreaterEqual(got["b"], 55)
        self.assertGreater(got["a"], 0)

    def test_queue(self) -> None:
        """Forty clients of a backend that takes two at once are all served in turn."""
        service = self.start("[pool.app.queue]\n", ", max_conns = 2")
        most = running = 0

        def reply() -> tuple[int, float]:
            nonlocal most, running
            running = service.pools["app"].in_flight
            most = max(most, running)
            return 200, 0.005

        self.origins["a"].reply = reply
        askers = self.askers(service, 40)
        for one in askers:
            one.ask(3)
        self.spin(lambda: all(len(one.answers) == 3 for one in askers), "all answers")
        statuses = {status for one in askers for _, status, _ in one.answers}
        self.assertEqual((statuses, most), ({200}, 2))

    def test_dead_and_back(self) -> None:
        """A backend that hangs costs a hedge or a try, never an error."""
        service = self.start(
            '[pool.app.timeout]\ntry = "300ms"\n[pool.app.hedge]\nleast = "20ms"\n'
            '[pool.app.passive]\nfail_timeout = "1s"\n'
        )
        askers = self.askers(service, 4)
        for one in askers:
            self.asked(one, 20)
        hang = time.monotonic() + 1.0
        self.origins["a"].reply = lambda: (
            (200, 30.0) if time.monotonic() < hang else (200, 0.0)
        )
        answers = self.watch(askers, hang + 2.0)
        self.assertEqual({status for _, status, _ in answers}, {200})
        late = Counter(name for at, _, name in answers if at > hang + 1.5)
        self.assertGreater(late["a"], 0)
        hedging = service.running_pools["app"].forwarder.policy.hedging
        assert hedging is not None
        self.assertGreater(hedging.won, 0)

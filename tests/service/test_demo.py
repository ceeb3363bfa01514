"""Tests of the demonstration."""

from treq.testing import RequestTraversalAgent, StubTreq
from twisted.application.service import Service
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed
from twisted.web.resource import Resource

from lolly_tx.config import parse
from lolly_tx.service.demo import Demo
from lolly_tx.service.demo.origins import (
    FLAKY_PERIOD_SECONDS,
    FLAKY_WELL_SECONDS,
    Origin,
    Switches,
)
from lolly_tx.service.demo.visitor import (
    ASK_INTERVAL_SECONDS,
    ASK_TIMEOUT_SECONDS,
    ASKED_PER_REPORT,
    Visitor,
)


class Port:
    """A listening port of `LoopbackReactor`."""

    def __init__(self, reactor, number):
        self.reactor = reactor
        self.number = number

    def getHost(self):
        return IPv4Address("TCP", "127.0.0.1", self.number)

    def stopListening(self):
        del self.reactor.listening[self.number]
        return succeed(None)


class LoopbackReactor(MemoryReactorClock):
    """A reactor whose ports are numbers in `listening`; `taken` ones cannot be had."""

    def __init__(self):
        super().__init__()
        self.listening = {}
        self.taken = set()

    def listenTCP(self, port, factory, backlog=50, interface=""):
        assert interface == "127.0.0.1", interface
        number = port or 40001 + len(self.listening)
        if number in self.taken or number in self.listening:
            raise CannotListenError(interface, number, OSError(98, "in use"))
        self.listening[number] = factory
        return Port(self, number)


class LogTestCase(SynchronousTestCase):
    def setUp(self):
        self.events = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def told(self, key):
        """The values under `key` in what was logged."""
        return [event[key] for event in self.events if key in event]


class OriginTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = LoopbackReactor()

    def ask(self, origin, path="/"):
        treq = StubTreq(origin)
        response = self.successResultOf(treq.get(f"http://127.0.0.1{path}"))
        return response, self.successResultOf(treq.content(response))

    def test_page(self):
        """The page says which origin answered."""
        response, body = self.ask(Origin("a", self.reactor), "/any/path")
        self.assertEqual((response.code, body), (200, b"Origin a answers.\n"))
        self.assertEqual(response.headers.getRawHeaders("x-origin"), ["a"])

    def test_flaky(self):
        """A flaky origin answers 503 in its bad times and 200 in its good ones."""
        origin = Origin("c", self.reactor, flaky=True)
        codes = []
        for _ in range(3):
            codes.append(self.ask(origin)[0].code)
            self.reactor.advance(FLAKY_WELL_SECONDS)
            codes.append(self.ask(origin, "/health")[0].code)
            self.reactor.advance(FLAKY_PERIOD_SECONDS - FLAKY_WELL_SECONDS)
        self.assertEqual(codes, [200, 503] * 3)

    def test_reliable(self):
        """The others are never ill."""
        origin = Origin("a", self.reactor)
        self.reactor.advance(FLAKY_WELL_SECONDS)
        self.assertFalse(origin.ill)

    def test_comes_back_at_the_same_port(self):
        """An origin that is started again listens where it did before."""
        origin = Origin("a", self.reactor)
        origin.start()
        origin.start()
        port = origin.port
        self.assertEqual(list(self.reactor.listening), [port])
        self.successResultOf(origin.stop())
        self.assertEqual(self.reactor.listening, {})
        self.assertFalse(origin.running)
        origin.start()
        self.assertEqual(list(self.reactor.listening), [port])

    def test_stop_cuts_connections(self):
        """Stopping an origin cuts the connections it has, as a crash would."""
        origin = Origin("a", self.reactor)
        origin.start()
        transport = StringTransport()
        address = IPv4Address("TCP", "127.0.0.1", 1)
        protocol = self.reactor.listening[origin.port].buildProtocol(address)
        protocol.makeConnection(transport)
        self.successResultOf(origin.stop())
        self.assertTrue(transport.disconnected)

    def test_stop_twice(self):
        """Stopping what is stopped is harmless."""
        self.successResultOf(Origin("a", self.reactor).stop())


class SwitchTests(LogTestCase):
    def setUp(self):
        super().setUp()
        self.reactor = LoopbackReactor()
        self.origin = Origin("a", self.reactor)
        self.origin.start()
        self.treq = StubTreq(Switches({"a": self.origin}))

    def ask(self, method, path):
        response = self.successResultOf(
            self.treq.request(method, f"http://127.0.0.1{path}")
        )
        return response.code, self.successResultOf(self.treq.content(response))

    def test_stop_and_start(self):
        """An origin is switched off and on by name."""
        self.assertEqual(self.ask("POST", "/a/stop"), (200, b"origin a is stopped\n"))
        self.assertFalse(self.origin.running)
        self.assertEqual(self.ask("GET", "/"), (200, b"origin a is stopped\n"))
        self.assertEqual(self.ask("POST", "/a/start"), (200, b"origin a is running\n"))
        self.assertTrue(self.origin.running)
        self.assertEqual(self.told("word"), ["stop", "start"])

    def test_unknown(self):
        """Other names and words are a 404."""
        for path in ("/", "/x/stop", "/a/explode", "/a/stop/now"):
            self.assertEqual(self.ask("POST", path)[0], 404)

    def test_reading_changes_nothing(self):
        """A GET switches nothing."""
        self.ask("GET", "/a/stop")
        self.assertTrue(self.origin.running)

    def test_port_taken(self):
        """When somebody took the port meanwhile, that is said."""
        self.ask("POST", "/a/stop")
        self.reactor.taken.add(self.origin.port)
        code, body = self.ask("POST", "/a/start")
        self.assertEqual(code, 503)
        self.assertIn(b"cannot start", body)

    def test_failed_stop(self):
        """A failure while stopping is logged."""
        self.origin.stop = lambda: Deferred.fromCoroutine(self.fail_later())
        self.ask("POST", "/a/stop")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    async def fail_later(self):
        raise OSError("no")


class ProxyStandIn(Resource):
    """Answers like the proxy would with `origin`'s answer."""

    isLeaf = True
    origin: str | None = "a"
    code = 200

    def render_GET(self, request):
        request.setResponseCode(self.code)
        if self.origin is not None:
            request.setHeader("x-origin", self.origin)
        return b"body"


class Unreachable:
    """An agent whose requests fail with `problem`, or never end without one."""

    problem: Exception | None = ResponseFailed([])
    cancelled = 0

    def request(self, method, uri, headers=None, bodyProducer=None):
        answer = Deferred(self.cancel)
        if self.problem is not None:
            answer.errback(self.problem)
        return answer

    def cancel(self, deferred):
        self.cancelled += 1


class VisitorTests(LogTestCase):
    def setUp(self):
        super().setUp()
        self.clock = Clock()

    def start(self, agent):
        self.visitor = Visitor("http://127.0.0.1/", ("a", "b"), agent, self.clock)
        self.visitor.start()
        self.addCleanup(self.visitor.stop)

    def ask(self, times):
        self.clock.pump([ASK_INTERVAL_SECONDS] * times)

    def test_tells(self):
        """Every so many requests it tells who answered."""
        proxy = ProxyStandIn()
        self.start(RequestTraversalAgent(proxy))
        self.ask(9)
        proxy.origin = "b"
        self.ask(ASKED_PER_REPORT - 10)
        self.assertEqual(
            (self.told("asked"), self.told("answers"), self.told("failed")),
            ([ASKED_PER_REPORT], [f"a 10, b {ASKED_PER_REPORT - 10}"], [0]),
        )

    def test_failures(self):
        """A status that is not 200, an unknown origin and a dead proxy are failures."""
        proxy = ProxyStandIn()
        proxy.code = 503
        self.start(RequestTraversalAgent(proxy))
        self.ask(4)
        proxy.code, proxy.origin = 200, None
        self.ask(ASKED_PER_REPORT - 5)
        self.assertEqual(self.told("failed"), [ASKED_PER_REPORT])

    def test_dead_proxy(self):
        """When nobody answers, it keeps asking and counts that."""
        self.start(Unreachable())
        self.ask(2 * ASKED_PER_REPORT - 1)
        self.assertEqual(self.told("failed"), [ASKED_PER_REPORT] * 2)

    def test_slow_proxy(self):
        """An answer that does not come is given up after a while."""
        agent = Unreachable()
        agent.problem = None
        self.start(agent)
        self.clock.pump([ASK_TIMEOUT_SECONDS, ASK_INTERVAL_SECONDS])
        self.assertEqual(agent.cancelled, 1)

    def test_stop(self):
        """After the stop nothing is asked and nothing told, and no timer is left."""
        agent = Unreachable()
        agent.problem = None
        self.start(agent)
        self.visitor.stop()
        self.visitor.stop()
        self.assertEqual(agent.cancelled, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.told("asked"), [])


class DemoTests(LogTestCase):
    def setUp(self):
        super().setUp()
        self.reactor = LoopbackReactor()
        self.configs = []
        self.proxy = Service()
        self.demo = Demo(
            self.reactor, self.build, agent=RequestTraversalAgent(ProxyStandIn())
        )

    def build(self, reactor, config):
        self.assertIs(reactor, self.reactor)
        self.configs.append(config)
        return self.proxy

    def start(self):
        self.demo.privilegedStartService()
        self.demo.startService()

    def test_nothing_before_the_start(self):
        """Making the demonstration does not listen."""
        self.assertEqual((self.reactor.listening, self.configs), ({}, []))

    def test_daemon(self):
        """Before it becomes a daemon everything listens, and once only."""
        early = []
        self.proxy.listen_early = lambda: early.append(len(self.reactor.listening))
        self.demo.listen_early()
        self.start()
        self.assertEqual(early, [len(self.reactor.listening)])
        self.assertEqual(len(self.configs), 1)
        self.assertTrue(self.proxy.running)

    def test_configuration(self):
        """The proxy gets the three origins at the ports they have."""
        self.start()
        [config] = self.configs
        self.assertEqual(
            [(t.id, t.port) for t in config.pools["demo"].targets],
            [(name, origin.port) for name, origin in self.demo.origins.items()],
        )
        self.assertEqual(
            config.listeners["web"].endpoint, "tcp:8080:interface=127.0.0.1"
        )
        self.assertEqual(config.admin.endpoint, "tcp:8081:interface=127.0.0.1")
        self.assertTrue(self.proxy.running)

    def test_one_is_flaky(self):
        """Exactly one of the origins is flaky."""
        self.reactor.advance(FLAKY_WELL_SECONDS)
        self.assertEqual([o.name for o in self.demo.origins.values() if o.ill], ["c"])

    def test_guide(self):
        """It says what to open and what to try, with a configuration that loads."""
        self.start()
        [guide] = self.told("guide")
        for hint in (
            "http://127.0.0.1:8080/",
            "http://127.0.0.1:8081/api/pools",
            "curl -X POST http://127.0.0.1:8082/b/stop",
        ):
            self.assertIn(hint, guide)
        shown = guide.partition("configuration:")[2]
        self.assertEqual(parse(shown, "<demo>", {}), self.configs[0])

    def test_switch_port_taken(self):
        """When the switches' port is taken they go elsewhere, and the guide says so."""
        self.reactor.taken.add(8082)
        self.start()
        [guide] = self.told("guide")
        self.assertNotIn("8082", guide)
        self.assertIn("/b/stop", guide)

    def test_asks(self):
        """It asks the proxy by itself and tells what it got."""
        self.start()
        self.reactor.pump([ASK_INTERVAL_SECONDS] * ASKED_PER_REPORT)
        self.assertEqual(self.told("failed"), [0])

    def test_own_agent(self):
        """Without an agent of the test's, it asks over real connections."""
        demo = Demo(self.reactor, self.build, proxy_port=9999)
        demo.privilegedStartService()
        demo.startService()
        self.assertEqual(self.reactor.tcpClients[0][:2], ("127.0.0.1", 9999))
        self.successResultOf(demo.stopService())

    def test_stop(self):
        """The end leaves no port and no timer."""
        self.start()
        self.successResultOf(self.demo.stopService())
        self.assertFalse(self.proxy.running)
        self.assertEqual(self.reactor.listening, {})
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_without_start(self):
        """Stopping before the start is harmless."""
        self.successResultOf(self.demo.stopService())

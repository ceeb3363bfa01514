"""Tests of the service that a configuration describes, on a reactor in memory."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from random import Random

from twisted.internet import interfaces
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lolly_tx.config.load import parse
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http1.shared import HALF_CLOSE_SECONDS
from lolly_tx.net.sockets.endpoints import BadEndpoint
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.service import listening
from lolly_tx.service.build import CannotListen, build
from lolly_tx.service.records.reopening import NotReopened
from lolly_tx.service.surroundings import Part
from tests.proxy.world import GET, OK, Line, get

CONFIG = """
[listener.web]
endpoint = "tcp:8080"
[listener.other]
endpoint = "tcp:8081:interface=127.0.0.1"
[[route]]
pool = "app"
path = "/app/"
[[route]]
pool = "app"
listener = "other"
path = "/other/"
[pool.app]
targets = ["http://127.0.0.1:9001"]
[pool.app.retry]
tries = 1
[timeouts]
shutdown = "10s"
"""
ADMIN = '[admin]\nendpoint = "tcp:8082:interface=127.0.0.1"\n'


class Reactor(MemoryReactorClock):
    """Ports in memory that can be stopped; some that somebody has."""

    def __init__(self, taken=()):
        super().__init__()
        self.taken = taken
        self.ports = {}

    def listenTCP(self, port, factory, *rest, **named):
        if port in self.taken:
            raise CannotListenError("", port, OSError(98, "Address already in use"))
        made = super().listenTCP(port, factory, *rest, **named)
        self.ports[port] = factory
        made.stopListening = lambda: self.ports.pop(port, None)
        return made


class BuildTestCase(SynchronousTestCase):
    """Builds services from text, and plays their clients and backends."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.reactor = Reactor()

    def build(self, text=CONFIG, **named):
        config = parse(text, str(self.folder / "lolly.toml"), {})
        clock = self.reactor.seconds
        return build(self.reactor, config, now=clock, wall=clock, **named)

    def started(self, text=CONFIG, **named):
        service = self.build(text, **named)
        service.privilegedStartService()
        service.startService()
        return service

    def client(self, port=8080):
        line = Line(self.reactor, "192.0.2.1")
        address = IPv4Address("TCP", "192.0.2.1", 4000)
        line.protocol = self.reactor.ports[port].buildProtocol(address)
        line.protocol.makeConnection(line)
        return line

    def backend(self, port=9001):
        """Accept the proxy's last connect."""
        host, asked, factory, *_ = self.reactor.tcpClients.pop()
        self.assertEqual((host, asked), ("127.0.0.1", port))
        line = Line(self.reactor)
        line.protocol = factory.buildProtocol(None)
        line.protocol.makeConnection(line)
        return line

    def pass_time(self, seconds):
        for _ in range(int(seconds / 0.05)):
            self.reactor.advance(0.05)


class BuildTests(BuildTestCase):
    def test_serves(self):
        """It listens where it should and forwards what comes."""
        service = self.started(CONFIG + ADMIN)
        self.assertEqual(sorted(self.reactor.ports), [8080, 8081, 8082])
        self.assertTrue(service.listening)
        client = self.client()
        client.send(get("/app/x"))
        backend = self.backend()
        self.assertTrue(backend.take().startswith(b"GET /app/x HTTP/1.1\r\n"))
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(service.pools["app"].nodes.popitem()[1].stats.requests, 1)

    def test_loop(self):
        """What comes back to any listener is refused at once, what comes from another process is not."""
        self.started()
        self.client().send(get("/app/x"))
        sent = self.backend().take()
        for port in (8080, 8081):
            again = self.client(port)
            again.send(sent)
            self.assertIn(b"HTTP/1.1 508 ", again.take())
        self.assertEqual(self.reactor.tcpClients, [])
        self.setUp()
        self.started()
        self.client().send(sent)
        self.assertEqual(self.backend().take().count(b"\r\nLolly-Hop: "), 2)

    def test_routes_of_listeners(self):
        """A route with a listener holds for that one only."""
        self.started()
        web, other = self.client(8080), self.client(8081)
        for client in (web, other):
            client.send(get("/other/"))
        self.assertIn(b"HTTP/1.1 404 ", web.take())
        self.assertEqual(other.take(), b"")
        self.backend()

    def test_nothing_before_the_start(self):
        """Building listens nowhere and starts nothing."""
        service = self.build(CONFIG + ADMIN, random=Random(1))
        self.assertEqual(self.reactor.ports, {})
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertFalse(service.listening)

    def test_start_without_privileges(self):
        """A start alone listens, too."""
        service = self.build()
        service.startService()
        self.assertEqual(sorted(self.reactor.ports), [8080, 8081])

    def test_port_in_use(self):
        """If one endpoint cannot be listened on, none is, and the error names it."""
        self.reactor = Reactor(taken=(8081,))
        service = self.build()
        error = self.assertRaises(CannotListen, service.privilegedStartService)
        self.assertIn("tcp:8081:interface=127.0.0.1", str(error))
        self.assertEqual(self.reactor.ports, {})

    def test_admin_port_in_use(self):
        """The same with the admin endpoint."""
        self.reactor = Reactor(taken=(8082,))
        service = self.build(CONFIG + ADMIN)
        self.assertRaises(CannotListen, service.privilegedStartService)
        self.assertEqual(self.reactor.ports, {})

    def test_endpoint_that_takes_its_time(self):
        """An endpoint that does not listen at once is not waited for."""

        @implementer(interfaces.IStreamServerEndpoint)
        class Slow:
            def listen(self, factory):
                self.waiting = Deferred()
                return self.waiting

        slow = Slow()
        self.patch(listening, "serverFromString", lambda reactor, text: slow)
        service = self.build()
        error = self.assertRaises(CannotListen, service.privilegedStartService)
        self.assertIn("at once", str(error))
        self.assertTrue(slow.waiting.called)

    def test_wrong_things(self):
        """Files and addresses that cannot be used are found out when it is built."""
        (self.folder / "empty.pem").write_text("")
        tls = CONFIG.replace(
            'endpoint = "tcp:8080"',
            'endpoint = "tcp:8080"\ntls.certificate = "empty.pem"',
        )
        self.assertRaises(TLSSettingsError, self.build, tls)
        target = CONFIG.replace(
            '"http://127.0.0.1:9001"',
            '{ endpoint = "ssl:x:1:certKey=/no/a:privateKey=/no/b" }',
        )
        self.assertRaises(BadEndpoint, self.build, target)
        log = CONFIG + '[access_log]\npath = "no/such/folder/access.log"\n'
        self.assertRaises(OSError, self.build, log)

    def logged(self):
        return (self.folder / "access.log").read_text().splitlines()

    def with_log(self, more=""):
        return self.started(f'{more}{CONFIG}[access_log]\npath = "access.log"\n')

    def test_access_log(self):
        """Each request has one line: answered, refused, malformed, given up."""
        self.with_log()
        client = self.client()
        client.send(get("/app/1"))
        self.backend().send(OK)
        client.send(get("/none"))
        client.send(b"nonsense\r\n\r\n")
        client = self.client()
        client.send(get("/app/2"))
        client.reset()
        self.pass_time(1.2)
        words = [line.split('"')[1:3] for line in self.logged()]
        self.assertEqual(
            [[request, rest.split()[0]] for request, rest in words],
            [
                ["GET /app/1 HTTP/1.1", "200"],
                ["GET /none HTTP/1.1", "404"],
                ["nonsense - -", "400"],
                ["GET /app/2 HTTP/1.1", "499"],
            ],
        )

    def test_logs_of_listener_and_route(self):
        """A route may have a log of its own or none, and what a listener says holds for the rest of its requests."""
        own = 'access_log = { path = "web.log", format = "$uri $route" }'
        text = f"""
{CONFIG.replace("[listener.web]", f"[listener.web]{chr(10)}{own}")}
[[route]]
path = "=/app/quiet"
pool = "app"
access_log = false
[[route]]
path = "=/app/own"
pool = "app"
access_log = {{ path = "own.log", format = "json", fields = {{ by = "$route" }} }}
[access_log]
path = "access.log"
"""
        self.started(text)
        client = self.client()
        backend = None
        for path in ("/app/1", "/app/quiet", "/app/own", "/none"):
            client.send(get(path))
            if path != "/none":
                backend = backend or self.backend()
                backend.send(OK)
        self.pass_time(1.2)
        usual = (self.folder / "web.log").read_text()
        self.assertEqual(usual.splitlines(), ["/app/1 * /app/", "/none -"])
        [own] = map(json.loads, (self.folder / "own.log").read_text().splitlines())
        self.assertEqual((own["target"], own["by"]), ("/app/own", "* =/app/own"))
        self.assertEqual(self.logged(), [])

    def test_sampled_and_masked(self):
        """Of ordinary answers there is a share, of all others each; what is named is hidden."""
        self.started(
            f'{CONFIG}[access_log]\npath = "access.log"\nsample = 0\nmask = "who"\n'
            'format = "$status $uri $sample"\n'
        )
        client = self.client()
        client.send(get("/app/1?who=me"))
        backend = self.backend()
        backend.send(OK)
        client.send(get("/app/2?who=me"))
        backend.send(OK.replace(b"200 OK", b"500 No"))
        client.send(get("/none"))
        self.pass_time(1.2)
        self.assertEqual(self.logged(), ["500 /app/2?who=*** 1", "404 /none 1"])

    def test_original_client(self):
        """Behind a trusted proxy the log names the client it speaks for."""
        self.with_log('trusted_proxies = ["192.0.2.0/24"]\n')
        client = self.client()
        client.send(get("/app/", "X-Forwarded-For: 198.51.100.9\r\n"))
        self.backend().send(OK)
        self.pass_time(1.2)
        [line] = self.logged()
        self.assertTrue(line.startswith("198.51.100.9 "))

    def test_health_on_a_listener(self):
        """A listener may tell whether the proxy is well, before any route and for any Host."""
        text = CONFIG.replace("[listener.web]\n", "[listener.web]\nhealth = true\n")
        service = self.started(text)
        for path, status, body in (
            ("/healthz", b"200 OK", b'{"alive": true}\n'),
            ("/readyz?x=1", b"200 OK", b'{"ready": true}\n'),
        ):
            client = self.client()
            client.send(get(path))
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 " + status), got)
            self.assertTrue(got.endswith(b"\r\n\r\n" + body), got)
            self.assertFalse(client.disconnecting)
        service.pools["app"].set_enabled("http-127-0-0-1-9001", "down", "test", 0.0)
        for method, body in (("GET", b'{"ready": false}\n'), ("HEAD", b"")):
            client = self.client()
            client.send(get("/readyz").replace(b"GET", method.encode()))
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 503 "), got)
            self.assertTrue(got.endswith(b"\r\n\r\n" + body), got)
        client = self.client()
        client.send(get("/healthz").replace(b"GET", b"PUT"))
        self.assertTrue(client.take().startswith(b"HTTP/1.1 404 "))
        client = self.client(8081)
        client.send(get("/healthz"))
        self.assertTrue(client.take().startswith(b"HTTP/1.1 404 "))

    def test_original_client_of_a_refused_request(self):
        """So it does when the request is refused."""
        self.with_log('trusted_proxies = ["192.0.2.0/24"]\n')
        self.client().send(get("/none", "X-Forwarded-For: 198.51.100.9:44\r\n"))
        self.pass_time(1.2)
        [line] = self.logged()
        self.assertTrue(line.startswith("198.51.100.9 - - "))

    def unix_client(self):
        """One that came by a UNIX socket."""
        line = Line(self.reactor)
        line.protocol = self.reactor.ports[8080].buildProtocol(UNIXAddress(None))
        line.protocol.makeConnection(line)
        return line

    def test_unix(self):
        """The client of a UNIX socket has a name in the log and in the fields."""
        self.with_log('forwarded = ["x-forwarded", "x-real-ip"]\n')
        self.unix_client().send(get("/app/"))
        backend = self.backend()
        sent = backend.take()
        self.assertIn(b"X-Forwarded-For: unix:\r\n", sent)
        self.assertIn(b"X-Real-IP: unix:\r\n", sent)
        self.assertNotIn(b"\r\nForwarded:", sent)
        backend.send(OK)
        self.pass_time(1.2)
        [line] = self.logged()
        self.assertTrue(line.startswith("unix: - - "), line)

    def test_trusted_unix(self):
        """A proxy that comes by a UNIX socket can be trusted like any other."""
        self.with_log(
            'trusted_proxies = ["unix"]\nforwarded = ["x-forwarded", "x-real-ip"]\n'
        )
        self.unix_client().send(get("/app/", "X-Forwarded-For: 198.51.100.9\r\n"))
        backend = self.backend()
        sent = backend.take()
        self.assertIn(b"X-Forwarded-For: 198.51.100.9, unix:\r\n", sent)
        self.assertIn(b"X-Real-IP: 198.51.100.9\r\n", sent)
        backend.send(OK)
        self.pass_time(1.2)
        [line] = self.logged()
        self.assertTrue(line.startswith("198.51.100.9 - - "), line)

    def test_no_address(self):
        """A client whose address nobody can tell does not shift the words of its line."""
        self.with_log()
        line = Line(self.reactor)
        line.protocol = self.reactor.ports[8080].buildProtocol(None)
        line.protocol.makeConnection(line)
        line.send(get("/none"))
        self.pass_time(1.2)
        [line] = self.logged()
        self.assertTrue(line.startswith("- - - "), line)

    def test_reopen(self):
        """After a rotation the log goes on in a new file."""
        service = self.with_log()
        (self.folder / "access.log").rename(self.folder / "old.log")
        service.reopen_logs()
        self.client().send(get("/none"))
        self.pass_time(1.2)
        self.assertEqual(len(self.logged()), 1)
        self.started().reopen_logs()

    def test_reopen_of_workers(self):
        """Who has others write the log says whether they can, and makes no file."""
        self.folder.joinpath("b").mkdir()
        text = CONFIG + '[access_log]\npath = "b/access.log"\n'
        service = self.started(text, part=Part(serves=False))
        service.reopen_logs()
        self.assertEqual(list(self.folder.joinpath("b").iterdir()), [])
        self.folder.joinpath("b", "access.log").mkdir()
        self.assertRaises(NotReopened, service.reopen_logs)
        self.folder.joinpath("b", "access.log").rmdir()
        self.folder.joinpath("b", "access.log").touch()
        service.reopen_logs()
        self.folder.joinpath("b", "access.log").unlink()
        self.folder.joinpath("b").rmdir()
        self.assertRaises(NotReopened, service.reopen_logs)

    def stop(self, service):
        done = []
        service.stopService().addCallback(done.append)
        return done

    def test_stop(self):
        """A stop closes what is idle and lets exchanges end."""
        service = self.with_log()
        idle, busy = self.client(), self.client()
        busy.send(get("/app/"))
        backend = self.backend()
        done = self.stop(service)
        self.assertEqual(self.reactor.ports, {})
        self.assertTrue(service.draining)
        self.assertFalse(service.listening)
        self.pass_time(5.0)
        self.assertTrue(idle.closed)
        self.assertEqual(done, [])
        backend.send(OK)
        self.assertIn(b"Connection: close\r\n", busy.take())
        self.pass_time(0.2)
        self.assertEqual(done, [None])
        self.assertEqual(len(self.logged()), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_lame_duck(self):
        """For a while a stop only says so: clients are served as ever, new ones too."""
        text = CONFIG.replace("[timeouts]", "[timeouts]\nlame_duck = '3s'")
        service = self.started(text.replace('8080"\n', '8080"\nhealth = true\n'))
        kept = self.client()
        done = self.stop(service)
        self.assertTrue(service.draining)
        self.pass_time(2.9)
        asking = self.client()
        asking.send(get("/readyz"))
        self.assertIn(b"HTTP/1.1 503 ", asking.take())
        fresh = self.client()
        for client in (kept, fresh):
            client.send(get("/app/"))
        for _ in range(2):
            self.backend().send(OK)
        for client in (kept, fresh):
            self.assertNotIn(b"Connection: close", client.take())
        self.pass_time(0.2)
        self.assertEqual(self.reactor.ports, {})
        self.assertEqual(done, [])
        self.pass_time(3.0)
        self.assertEqual(done, [None])

    def test_stop_takes_too_long(self):
        """What has not ended in time is cut, and logged before the log is closed."""
        service = self.with_log()
        client = self.client()
        client.send(get("/app/"))
        backend = self.backend()
        done = self.stop(service)
        self.pass_time(9.8)
        self.assertEqual(done, [])
        self.pass_time(0.5)
        self.assertEqual(done, [None])
        self.assertTrue(client.aborted)
        self.assertTrue(backend.aborted)
        [line] = self.logged()
        self.assertIn('" 503 ', line)
        [node] = service.pools["app"].nodes.values()
        self.assertEqual((node.in_flight, node.stats.failures), (0, 0))

    def test_stop_with_a_connection_that_stays(self):
        """Not even a connection that cannot be lost holds the stop for ever."""
        service = self.started()
        client = self.client()
        client.send(GET[:10])
        client.abortConnection = lambda: None
        done = self.stop(service)
        self.pass_time(11.3)
        self.assertEqual(done, [None])

    def test_health(self):
        """Probing begins with the start and ends with the stop."""
        service = self.started(CONFIG + "[pool.app.health]\n")
        self.pass_time(0.1)
        self.assertEqual(len(self.reactor.tcpClients), 1)
        self.stop(service)
        self.pass_time(30.0)
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_limits(self):
        """The limits of the configuration are those of the listeners."""
        service = self.started(
            CONFIG
            + "[limits]\nconnections = 1\nbody_size = 10\nhead_size = 300\nline_size = 200\n"
        )
        client = self.client()
        client.send(get("/app/", "X: " + "x" * 400 + "\r\n"))
        self.assertIn(b"HTTP/1.1 431 ", client.take())
        more = self.client(8081)
        self.assertIn(b"HTTP/1.1 503 ", more.take())
        self.assertEqual(service.acceptors["other"].turned_away, 1)

    def patience(self, service):
        """What a client of the listener "web" has, after its last byte."""
        return service.acceptors["web"].buildProtocol(None).shared.timeouts.gone

    def test_half_close(self):
        """Who has closed his side counts as gone after a while, or is answered in any case."""
        service = self.started(CONFIG)
        self.assertEqual(self.patience(service), HALF_CLOSE_SECONDS)
        self.stop(service)
        service = self.started(CONFIG + '[limits]\nhalf_close = "answer"\n')
        self.assertEqual(self.patience(service), NEVER)

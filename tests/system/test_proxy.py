"""The whole proxy, started by twistd, between real clients and real origins."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import trustme
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Request,
    TextMessage,
)

from tests.system.origin import PIECE

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
PATIENCE = 20.0
MIB = 1 << 20
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]

CONFIG = """
[admin]
endpoint = "tcp:{admin}:interface=127.0.0.1"
[access_log]
path = "access.log"
flush = "100ms"
[listener.web]
endpoint = "tcp:{web}:interface=127.0.0.1"
[listener.secure]
endpoint = "tcp:{secure}:interface=127.0.0.1"
tls.certificate = "server.pem"
[listener.local]
endpoint = "unix:{folder}/web.sock"
[[route]]
path = "/p/"
pool = "plain"
[[route]]
path = "/s/"
pool = "secure"
[[route]]
path = "/w/"
pool = "wrong"
[[route]]
path = "/u/"
pool = "local"
[pool.plain]
targets = ["http://127.0.0.1:{plain}"]
[pool.secure]
targets = ["https://localhost:{encrypted}"]
tls.ca = "ca.pem"
[pool.wrong]
targets = ["https://localhost:{encrypted}"]
tls.ca = "ca.pem"
tls.server_name = "other.example"
[pool.local]
targets = [{{ endpoint = "unix:{folder}/origin.sock" }}]
"""

THREE = """
[listener.web]
endpoint = "tcp:{web}:interface=127.0.0.1"
[[route]]
pool = "app"
[pool.app]
targets = [{targets}]
"""


def free_port() -> int:
    """One that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(so, what: str):
    """Poll until it is so; fails after a while."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        result = so()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def listening(port: int) -> bool:
    """Somebody accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def resident(pid: int, name: str = "VmHWM") -> int:
    """Memory of a process: now (VmRSS) or at most (VmHWM), bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024


class SystemTestCase(SynchronousTestCase):
    """Starts processes, and ends them."""

    processes: list[subprocess.Popen[str]]
    folder: Path

    @classmethod
    def setUpClass(cls):
        cls.processes = []
        cls._folder = tempfile.TemporaryDirectory()
        cls.folder = Path(cls._folder.name)

    @classmethod
    def tearDownClass(cls):
        for process in cls.processes:
            process.kill()
            process.communicate()
        cls._folder.cleanup()

    @classmethod
    def origin(cls, *words: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.origin", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        cls.processes.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    @classmethod
    def proxy(cls, config: str, reactor: str = "lolly", name="lolly.toml", **pipes):
        (cls.folder / name).write_text(config)
        process = subprocess.Popen(
            [
                *TWISTD,
                *("--nodaemon", "--pidfile=", f"--reactor={reactor}"),
                *("--logfile=twistd.log",) * (not pipes),
                *("lolly", "--config", name),
            ],
            cwd=cls.folder,
            env=ENVIRONMENT,
            **pipes,
        )
        cls.processes.append(process)
        return process

    def get(self, port: int, path: str = "/p/hello") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class Smoke:
    """What works on every reactor."""

    reactor = "lolly"
    size = 4 * MIB

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(cls.folder / "ca.pem"))
        issued = ca.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(
            str(cls.folder / "server.pem")
        )
        cls.ca = ca
        cls.ports = {name: free_port() for name in ("web", "secure", "admin")}
        _, cls.ports["plain"] = cls.origin()
        _, cls.ports["encrypted"] = cls.origin("--pem", str(cls.folder / "server.pem"))
        cls.origin("--unix", str(cls.folder / "origin.sock"))
        cls.running = cls.proxy(
            CONFIG.format(folder=cls.folder, **cls.ports), cls.reactor
        )
        wait_for(lambda: listening(cls.ports["web"]), "the proxy")

    def connection(self):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.ports["web"], timeout=PATIENCE
        )
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection, *request, **named) -> tuple[int, bytes]:
        connection.request(*request, **named)
        response = connection.getresponse()
        return response.status, response.read()

    def hash_of(self, size: int) -> str:
        digest = hashlib.sha256()
        for at in range(0, size, len(PIECE)):
            digest.update(PIECE[: size - at])
        return digest.hexdigest()

    def body(self, size: int):
        for at in range(0, size, len(PIECE)):
            yield PIECE[: size - at]

    def test_get_and_post(self):
        """Requests go to the origin and answers come back, on one connection."""
        connection = self.connection()
        status, text = self.ask(connection, "GET", "/p/hello")
        self.assertEqual((status, text[:6]), (200, b"hello "))
        sock = connection.sock
        digest = hashlib.sha256(b"abc").hexdigest()
        self.assertEqual(
            self.ask(connection, "POST", "/p/sum", body=b"abc"),
            (200, f"3 {digest}".encode()),
        )
        self.assertIs(connection.sock, sock)
        self.assertEqual(self.ask(connection, "GET", "/nowhere")[0], 404)

    def test_upload(self):
        """A long upload arrives whole, in constant memory, with either framing."""
        self.ask(self.connection(), "PUT", "/p/sum", body=b"x" * 70000)
        for length in ({"Content-Length": str(self.size)}, {}):
            with self.constant_memory():
                status, text = self.ask(
                    self.connection(),
                    *("PUT", "/p/sum"),
                    body=self.body(self.size),
                    headers=length,
                    encode_chunked=not length,
                )
            self.assertEqual(status, 200)
            self.assertEqual(text.decode(), f"{self.size} {self.hash_of(self.size)}")

    def test_download(self):
        """A long download arrives whole, in constant memory, with either framing."""
        for path in ("/p/big", "/p/chunks", "/s/big"):
            digest, length = hashlib.sha256(), 0
            with self.constant_memory():
                connection = self.connection()
                connection.request("GET", f"{path}/{self.size}")
                response = connection.getresponse()
                while data := response.read(1 << 18):
                    digest.update(data)
                    length += len(data)
            self.assertEqual(length, self.size, path)
            self.assertEqual(digest.hexdigest(), self.hash_of(self.size), path)

    def test_until_close(self):
        """A body that ends with the connection, plain or TLS, ends well."""
        for path in ("/p/rest", "/s/rest"):
            status, text = self.ask(self.connection(), "GET", f"{path}/1000000")
            self.assertEqual(status, 200)
            self.assertEqual(hashlib.sha256(text).hexdigest(), self.hash_of(1000000))

    def constant_memory(self):
        return MemoryWatch(self, self.running.pid)

    def test_mirror(self):
        """A chunked request and its chunked answer run at the same time."""
        status, text = self.ask(
            self.connection(),
            *("POST", "/p/mirror"),
            body=self.body(300000),
            encode_chunked=True,
        )
        self.assertEqual(status, 200)
        self.assertEqual(hashlib.sha256(text).hexdigest(), self.hash_of(300000))

    def test_https_target(self):
        """An https target is verified; a name that is not its own is refused."""
        connection = self.connection()
        for _ in range(3):
            status, text = self.ask(connection, "GET", "/s/hello")
            self.assertEqual((status, text[:6]), (200, b"hello "))
        connection.request("GET", "/w/hello")
        response = connection.getresponse()
        self.assertEqual(response.status, 502)
        self.assertEqual(
            response.headers["Proxy-Status"], "lolly_tx; error=tls_certificate_error"
        )
        response.read()

    def test_tls_listener(self):
        """Clients can come over TLS."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        connection = http.client.HTTPSConnection(
            "localhost", self.ports["secure"], timeout=PATIENCE, context=context
        )
        self.addCleanup(connection.close)
        for path in ("/p/hello", "/s/hello"):
            status, text = self.ask(connection, "GET", path)
            self.assertEqual((status, text[:6]), (200, b"hello "))
        status, text = self.ask(connection, "GET", "/p/big/1000000")
        self.assertEqual(hashlib.sha256(text).hexdigest(), self.hash_of(1000000))
        status, text = self.ask(
            connection,
            *("PUT", "/p/sum"),
            body=self.body(1000000),
            headers={"Content-Length": "1000000"},
        )
        self.assertEqual(text.decode(), f"1000000 {self.hash_of(1000000)}")

    def test_unix_sockets(self):
        """Listeners and targets may be UNIX sockets."""
        connection = self.connection()
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(PATIENCE)
        connection.sock.connect(str(self.folder / "web.sock"))
        for path in ("/u/hello", "/p/hello", "/u/hello"):
            status, text = self.ask(connection, "GET", path)
            self.assertEqual((status, text[:6]), (200, b"hello "))

    def test_websocket(self):
        """A WebSocket's messages go both ways, and its close code comes back."""
        for path in ("/p/ws", "/s/ws"):
            sock = socket.create_connection(
                ("127.0.0.1", self.ports["web"]), timeout=PATIENCE
            )
            self.addCleanup(sock.close)
            ws = WSConnection(ConnectionType.CLIENT)
            sock.sendall(ws.send(Request(host="x", target=path)))
            events = self.events(sock, ws)
            self.assertIsInstance(next(events), AcceptConnection)
            sock.sendall(ws.send(TextMessage(data="hello")))
            self.assertEqual(next(events).data, "hello")
            sock.sendall(ws.send(BytesMessage(data=PIECE * 4)))
            echoed = b""
            while len(echoed) < 4 * len(PIECE):
                echoed += bytes(next(events).data)
            self.assertEqual(echoed, PIECE * 4)
            sock.sendall(ws.send(CloseConnection(code=4321, reason="bye")))
            closed = next(events)
            self.assertEqual((closed.code, closed.reason), (4321, "bye"))
            self.assertEqual(sock.recv(1), b"")

    def events(self, sock, ws):
        while True:
            ws.receive_data(sock.recv(1 << 16))
            yield from ws.events()

    def test_access_log(self):
        """Each request has one line in the access log."""
        self.ask(self.connection(), "GET", f"/p/hello?once={self.reactor}")
        log = self.folder / "access.log"
        line = f'"GET /p/hello?once={self.reactor} HTTP/1.1" 200 '
        wait_for(lambda: log.exists() and line in log.read_text(), "the line")
        self.assertEqual(log.read_text().count(line), 1)

    def test_admin(self):
        """The admin endpoint says that the proxy is ready."""
        self.assertEqual(self.get(self.ports["admin"], "/readyz")[0], 200)


class MemoryWatch:
    """The peak memory of a process stays within 16 MiB of what it was."""

    def __init__(self, case, pid: int) -> None:
        self.case = case
        self.pid = pid

    def __enter__(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        self.before = resident(self.pid, "VmRSS")

    def __exit__(self, *_):
        grown = resident(self.pid) - self.before
        self.case.assertLess(grown, 16 * MIB)


class LollyTests(Smoke, SystemTestCase):
    size = 100 * MIB


class EPollTests(Smoke, SystemTestCase):
    reactor = "epoll"


class AsyncioTests(Smoke, SystemTestCase):
    reactor = "asyncio"


class LifeTests(SystemTestCase):
    def start(self, *targets: int, extra: str = "", reactor: str = "lolly"):
        """A proxy for origins at these ports: (process, port)."""
        port = free_port()
        text = ", ".join(f'"http://127.0.0.1:{target}"' for target in targets)
        process = self.proxy(
            THREE.format(web=port, targets=text) + extra, reactor, f"{port}.toml"
        )
        wait_for(lambda: listening(port), "the proxy")
        return process, port

    def test_kill_one_of_three(self):
        """Kill -9 of one of three backends under load costs no request."""
        origins = [self.origin() for _ in range(3)]
        process, port = self.start(*(port for _, port in origins))
        answers: list[tuple[int, bytes]] = []
        errors: list[BaseException] = []
        over = threading.Event()

        def load() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            try:
                while not over.is_set():
                    connection.request("GET", "/p/slow/0.002")
                    response = connection.getresponse()
                    answers.append((response.status, response.read()))
            except BaseException as error:
                errors.append(error)
            connection.close()

        threads = [threading.Thread(target=load) for _ in range(16)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(answers) > 300, "load")
        victim = origins[1][0]
        victim.kill()
        victim.wait()
        mark = len(answers)
        wait_for(lambda: len(answers) > mark + 600, "more load")
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(errors, [])
        self.assertEqual({status for status, _ in answers}, {200})
        late = {text for _, text in answers[mark + 300 :]}
        self.assertNotIn(f"hello {victim.pid}".encode(), late)
        self.assertEqual(len(late), 2)
        process.terminate()

    def test_stop_under_load(self):
        """SIGTERM: nothing new is accepted, requests in flight end, exit status 0."""
        for reactor in ("lolly", "epoll", "asyncio"):
            _, target = self.origin()
            process, port = self.start(target, reactor=reactor)
            results = []

            def ask(port=port, results=results):
                results.append(self.get(port, "/p/slow/1"))

            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            time.sleep(0.4)  # they are in flight
            process.send_signal(signal.SIGTERM)
            wait_for(lambda port=port: not listening(port), "the end of listening")
            for thread in threads:
                thread.join(PATIENCE)
            self.assertEqual([status for status, _ in results], [200] * 8)
            self.assertEqual(process.wait(PATIENCE), 0)

    def test_stop_and_a_slow_reader(self):
        """SIGTERM: an answer that the kernel still has is taken to its end, slowly, before the exit."""
        _, target = self.origin()
        process, port = self.start(target)
        size, taken = 3_000_000, b""
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            client.settimeout(PATIENCE)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /p/big/%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)
            taken += client.recv(4096)
            process.send_signal(signal.SIGTERM)
            until = time.monotonic() + 5.0
            while data := client.recv(4096):
                taken += data
                if time.monotonic() < until:
                    time.sleep(0.1)
        self.assertEqual(len(taken.partition(b"\r\n\r\n")[2]), size)
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_stop_takes_too_long(self):
        """Requests that take longer than the patience are cut, and logged."""
        _, target = self.origin()
        process, port = self.start(
            target,
            extra='[timeouts]\nshutdown = "300ms"\n[access_log]\npath = "cut.log"\n',
        )
        results = []

        def ask():
            try:
                results.append(self.get(port, "/p/slow/30"))
            except (OSError, http.client.HTTPException) as error:
                results.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.4)
        began = time.monotonic()
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - began, 5.0)
        thread.join(PATIENCE)
        self.assertIsInstance(results[0], Exception)
        self.assertIn(
            '"GET /p/slow/30 HTTP/1.1" 503 ', (self.folder / "cut.log").read_text()
        )

    def refused(self, config: str, name: str) -> str:
        """What a proxy that cannot start says before it ends with status 1."""
        process = self.proxy(
            config, name=name, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        _, said = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        return str(said)

    def test_port_in_use(self):
        """A port that somebody has: one line, status 1, nothing half-started."""
        free = free_port()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            config = THREE.format(web=free, targets='"http://127.0.0.1:9"')
            said = self.refused(
                config + f'[listener.more]\nendpoint = "tcp:{port}"\n', "taken.toml"
            )
        self.assertEqual(len(said.splitlines()), 1, said)
        self.assertIn(str(port), said)
        self.assertFalse(listening(free))

    def test_wrong_configuration(self):
        """All errors of a configuration are told, status 1, nothing listens."""
        free = free_port()
        config = THREE.format(web=free, targets="3")
        said = self.refused(
            config + "[listner.x]\n[pool.app.retry]\ntries = 0\n", "w.toml"
        )
        for word in ("listner", "pool.app.targets", "pool.app.retry.tries"):
            self.assertIn(word, said)
        self.assertNotIn("Traceback", said)
        self.assertFalse(listening(free))

    def test_wrong_target(self):
        """A target whose address cannot be meant is found out at the start."""
        config = THREE.format(web=free_port(), targets='{ endpoint = "tcp:x" }')
        said = self.refused(config, "t.toml")
        self.assertNotIn("Traceback", said)
        self.assertIn("tcp:x", said)

"""A forward proxy in memory: built of its settings on a reactor in memory, with names that a test resolves.

world = ForwardWorld("allow = [...]")
client = world.client()              a client's connection (a `Line`)
world.connects()                     (host, port) of every connect that was begun
target = world.accept()              the other end of the last one
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.config.load import parse
from lolly_tx.service.build import build
from lolly_tx.service.changes.reload import Reloader
from tests.proxy.world import Line

PORT = 3128
_SALT = b"saltsalt"
_DIGEST = hashlib.scrypt(b"secret", salt=_SALT, n=2, r=1, p=1, dklen=16)
_SALT_TEXT, _DIGEST_TEXT = (
    b64encode(one).decode().rstrip("=") for one in (_SALT, _DIGEST)
)
HASH = f"$scrypt$ln=1,r=1,p=1${_SALT_TEXT}${_DIGEST_TEXT}"
"""Of "secret", as cheap as one can be."""
USERS = f'users = {{ alice = "{HASH}" }}\n'


@implementer(IHostnameResolver)
class Names:
    """Resolves the names that a test gives addresses, at once; `asked`: those that were looked up."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(hostName)
        resolutionReceiver.resolutionBegan(None)
        for host in self.addresses.get(hostName, ()):
            kind: Any = IPv6Address if ":" in host else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", host, 0))
        resolutionReceiver.resolutionComplete()


class Reactor(MemoryReactorClock):
    """Ports in memory, whose threads do their work at once."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[int, Any] = {}
        self.nameResolver: Any = Names()

    def listenTCP(self, port: int, factory: Any, *rest: Any, **named: Any) -> Any:
        made = super().listenTCP(port, factory, *rest, **named)
        host = named.get("interface") or (rest[1] if len(rest) > 1 else "") or "0.0.0.0"
        self.ports[port] = factory
        made.getHost = lambda: IPv4Address("TCP", host, port)
        made.stopListening = lambda: self.ports.pop(port, None)
        return made


class ForwardWorld:
    """See the module. `settings`: lines of its table. `more`: of the rest of the file."""

    def __init__(self, settings: str = "", more: str = "") -> None:
        self.reactor = Reactor()
        self.names: Names = self.reactor.nameResolver
        now = self.reactor.seconds
        self.service: Any = build(
            self.reactor,
            parse(self.text(settings, more), "/t.toml", {}),
            now=now,
            wall=now,
            random=Random(1),
        )
        self.service.privilegedStartService()
        self.service.startService()
        self.forward: Any = self.service.forwards["f"]
        self.lines: list[Line] = []
        self.compare_at_once()

    def compare_at_once(self) -> None:
        """Have no threads."""
        verifier = self.forward.proxy.gate.verifier
        if verifier is not None:
            verifier._run = maybeDeferred

    def compare_later(self) -> list[Callable[[], None]]:
        """Have passwords compared when the test calls what is in the list."""
        waiting: list[Callable[[], None]] = []

        def run(work: Callable[[], bool]) -> Deferred[bool]:
            done: Deferred[bool] = Deferred()
            waiting.append(lambda: None if done.called else done.callback(work()))
            return done

        self.forward.proxy.gate.verifier._run = run
        return waiting

    @staticmethod
    def text(settings: str, more: str = "") -> str:
        """A file of settings."""
        head = f'[forward.f]\nendpoint = "tcp:{PORT}:interface=127.0.0.1"\n'
        if "users" not in settings and "allow =" not in settings:
            head += 'allow = ["192.0.2.0/24"]\n'
        return head + settings + more

    def reload(self, settings: str, more: str = "") -> None:
        """Have other settings."""
        config = parse(self.text(settings, more), "/t.toml", {})
        reloader = Reloader(self.service, lambda: config, in_thread=maybeDeferred)
        reloader.reload()
        self.pass_time(1)

    def client(self, address: str = "192.0.2.1") -> Line:
        """One more client."""
        line = Line(self.reactor, address)
        factory = self.reactor.ports[PORT]
        line.protocol = factory.buildProtocol(IPv4Address("TCP", address, 4000))
        line.protocol.makeConnection(line)
        self.lines.append(line)
        return line

    def connects(self) -> list[tuple[str, int]]:
        """Where connects were begun to."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def accept(self) -> Line:
        """The target that was asked last accepts."""
        factory = self.reactor.tcpClients[-1][2]
        line = Line(self.reactor)
        line.protocol = factory.buildProtocol(None)
        line.protocol.makeConnection(line)
        self.lines.append(line)
        return line

    def refuse(self, error: Exception | None = None) -> None:
        """It refuses."""
        factory = self.reactor.tcpClients[-1][2]
        connector = self.reactor.connectors[-1]
        factory.clientConnectionFailed(
            connector, Failure(error or ConnectionRefusedError())
        )

    def pass_time(self, seconds: float) -> None:
        """In steps, as a reactor would."""
        for _ in range(int(seconds * 10)):
            self.reactor.advance(0.1)

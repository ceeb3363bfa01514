"""The origins of the demonstration, and the switches that turn them off and on.

Imports: service.admin, Twisted. Used by: service.demo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import Request

from lolly_tx.service.admin.site import QuietSite

LOOPBACK = "127.0.0.1"

# A flaky origin is well for 20 seconds and then ill for 8, over and over.
FLAKY_WELL_SECONDS = 20.0
FLAKY_PERIOD_SECONDS = 28.0


class Origin(Resource):
    """A web server of one page that says who answered, and that can be switched off.

    `reactor`: listens and tells the time. `flaky`: it is ill in the pattern of
    `FLAKY_PERIOD_SECONDS` and then answers everything, checks included, with 503.
    """

    isLeaf = True

    def __init__(self, name: str, reactor: Any, *, flaky: bool = False) -> None:
        super().__init__()
        self.name = name
        self.port = 0
        self._reactor = reactor
        self._flaky = flaky
        self._born: float = reactor.seconds()
        self._listening: Any = None
        # Knows its connections, so that switching off cuts them as a crash would.
        self._factory = WrappingFactory(QuietSite(self, reactor=reactor))
        self._factory.noisy = False

    @property
    def ill(self) -> bool:
        """Whether it fails just now."""
        age = max(0.0, self._reactor.seconds() - self._born)
        return self._flaky and age % FLAKY_PERIOD_SECONDS >= FLAKY_WELL_SECONDS

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return self._listening is not None

    def start(self) -> None:
        """Listen: at first on a port of the system's choice, later on the same one."""
        if self._listening is None:
            self._listening = self._reactor.listenTCP(
                self.port, self._factory, interface=LOOPBACK
            )
            self.port = self._listening.getHost().port

    def stop(self) -> Deferred[None]:
        """Stop listening and cut all connections."""
        listening, self._listening = self._listening, None
        for connection in list(self._factory.protocols):
            connection.abortConnection()
        if listening is None:
            return succeed(None)
        return maybeDeferred(listening.stopListening)

    def render(self, request: Request) -> bytes:
        """Say who answers, whatever was asked."""
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"x-origin", self.name.encode())
        if self.ill:
            request.setResponseCode(503)
            return f"Origin {self.name} is ill.\n".encode()
        return f"Origin {self.name} answers.\n".encode()


class Switches(Resource):
    """POST /NAME/stop and /NAME/start; GET says who is running."""

    isLeaf = True
    log = Logger()

    def __init__(self, origins: Mapping[str, Origin]) -> None:
        super().__init__()
        self._origins = origins

    def render_GET(self, request: Request) -> bytes:
        """One line for each origin."""
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        return "".join(map(self._state, self._origins.values())).encode()

    def render_POST(self, request: Request) -> bytes:
        """Turn the switch that the path names."""
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        match [segment.decode("latin-1") for segment in request.postpath or ()]:
            case [name, "start" | "stop" as word] if name in self._origins:
                origin = self._origins[name]
            case _:
                request.setResponseCode(404)
                return b"POST to /NAME/stop or /NAME/start\n"
        try:
            self._turn(origin, word)
        except CannotListenError as error:
            request.setResponseCode(503)
            return f"origin {name} cannot start: {error}\n".encode()
        return self._state(origin).encode()

    def _turn(self, origin: Origin, word: str) -> None:
        if word == "start":
            origin.start()
        else:
            stopped = origin.stop()
            stopped.addErrback(lambda why: self.log.failure("stopping", failure=why))
        self.log.info("origin {name}: {word}", name=origin.name, word=word)

    def _state(self, origin: Origin) -> str:
        return f"origin {origin.name} is {'running' if origin.running else 'stopped'}\n"

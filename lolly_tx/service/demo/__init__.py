"""The demonstration that `twistd lolly` runs without a configuration.

Three small origins on loopback, one of them flaky, the proxy on 127.0.0.1:8080, the admin
endpoint on 127.0.0.1:8081, a switch for each origin on 127.0.0.1:8082, and a client of
its own that asks all the time and says what it got. It has no way of its own into the
proxy: it writes a configuration as a user would and hands it to `build`.

Imports: config, net, service.admin, service.demo, Twisted. Used by: tap.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.web.client import Agent
from twisted.web.iweb import IAgent

from lolly_tx.config import parse
from lolly_tx.config.model import Config
from lolly_tx.net.quiet import QuietConnections
from lolly_tx.service.admin.site import QuietSite
from lolly_tx.service.demo.origins import LOOPBACK, Origin, Switches
from lolly_tx.service.demo.visitor import Visitor

__all__ = ["Demo"]

PROXY_PORT, ADMIN_PORT, SWITCH_PORT = 8080, 8081, 8082
NAMES = ("a", "b", "c")
FLAKY = "c"

CONFIG = """\
[admin]
endpoint = "tcp:{admin_port}:interface=127.0.0.1"

[listener.web]
endpoint = "tcp:{proxy_port}:interface=127.0.0.1"

[[route]]
pool = "demo"

[pool.demo]
targets = [
{targets}
]

[pool.demo.health]              # asked every second; two good answers bring it back
interval = "1s"
timeout = "1s"
rise = 2

[pool.demo.retry]               # the next one is asked before the client hears of it
tries = 3
on = ["connect", "timeout", "reset", "503"]
"""

GUIDE = """\
The demo runs: a proxy and three origins, a, b and c. Origin c is ill now and then.

  Open  http://127.0.0.1:{proxy_port}/            the proxy; reload, and the origins take turns
        http://127.0.0.1:{admin_port}/api/pools   what it knows about them
  Try   curl http://127.0.0.1:{proxy_port}/
        curl -X POST http://127.0.0.1:{switch_port}/b/stop    and ask again: no request fails
        curl -X POST http://127.0.0.1:{switch_port}/b/start   b comes back after two good checks

A client asks the proxy five times a second; what it got is told below. Ctrl-C ends it all.
The configuration:

{config}"""


class Demo(MultiService):
    """The whole demonstration as one service.

    `build(reactor, config)`: makes the proxy's service. `agent`: what the visitor asks
    with. The ports are those of the proxy, the admin endpoint and the switches.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        build: Callable[[Any, Config], IService],
        *,
        agent: IAgent | None = None,
        proxy_port: int = PROXY_PORT,
        admin_port: int = ADMIN_PORT,
        switch_port: int = SWITCH_PORT,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._build = build
        self._proxy_port = proxy_port
        self._admin_port = admin_port
        self._switch_port = switch_port
        self._switches: Any = None
        self._proxy: Any = None
        self.origins = {
            name: Origin(name, reactor, flaky=name == FLAKY) for name in NAMES
        }
        self._idle = QuietConnections(reactor)
        self._visitor = Visitor(
            f"http://{LOOPBACK}:{proxy_port}/",
            NAMES,
            agent or Agent(reactor, pool=self._idle),
            reactor,
        )

    def listen_early(self) -> None:
        """Have everything listen before the process becomes a daemon. Raises `CannotListen`."""
        self._prepare()
        self._proxy.listen_early()

    def privilegedStartService(self) -> None:
        """Start the origins, then the proxy for the ports that they got."""
        self._prepare()
        super().privilegedStartService()

    def _prepare(self) -> None:
        if self._proxy is not None:
            return
        for origin in self.origins.values():
            origin.start()
        site = QuietSite(Switches(self.origins), reactor=self._reactor)
        self._switches = self._listen(self._switch_port, site)
        self.config_text = CONFIG.format(
            admin_port=self._admin_port,
            proxy_port=self._proxy_port,
            targets="\n".join(
                f'  {{ id = "{name}", url = "http://{LOOPBACK}:{origin.port}" }},'
                for name, origin in self.origins.items()
            ),
        )
        config = parse(self.config_text, "<demo>", {})
        self._proxy = self._build(self._reactor, config)
        self.addService(self._proxy)

    def _listen(self, port: int, site: QuietSite) -> Any:
        """Listen on `port`, or on any when somebody else has it: the guide says which."""
        listen = self._reactor.listenTCP
        try:
            return listen(port, site, interface=LOOPBACK)
        except CannotListenError:
            return listen(0, site, interface=LOOPBACK)

    def startService(self) -> None:
        """Say what there is to see and start to ask."""
        super().startService()
        self.log.info(
            "{guide}",
            guide=GUIDE.format(
                proxy_port=self._proxy_port,
                admin_port=self._admin_port,
                switch_port=self._switches.getHost().port,
                config=textwrap.indent(self.config_text, "  "),
            ),
        )
        self._visitor.start()

    def stopService(self) -> Deferred[list[Any]]:
        """Stop asking, then everything else."""
        self._visitor.stop()
        ending = [
            maybeDeferred(super().stopService),
            self._idle.closeCachedConnections(),
            *(origin.stop() for origin in self.origins.values()),
        ]
        switches, self._switches = self._switches, None
        if switches is not None:
            ending.append(maybeDeferred(switches.stopListening))
        return gatherResults(ending, consumeErrors=True)

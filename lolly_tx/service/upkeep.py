"""What looks after certificates while the proxy runs: files that change, orders by ACME, what authorities say of them.

Imports: config, net.stores, service, service.acme, service.certificates,
service.stores, Twisted. Used by: service.service.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from lolly_tx.config.model import Config
from lolly_tx.service.acme.renewals import FIRST_WAIT, LONGEST_WAIT, Renewals, thread_of
from lolly_tx.service.certificates.stapling import Ask, Stapling
from lolly_tx.service.certificates.watching import Watch
from lolly_tx.service.commons import Commons
from lolly_tx.service.listeners import Listeners
from lolly_tx.service.middlewares import CannotMake
from lolly_tx.service.stores.running import Stores

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.acme import Acme
    from lolly_tx.net.stores.store import SharedStore
    from lolly_tx.service.acme.together import Together


def _over_http(reactor: Any) -> Ask:
    """As of `service.certificates.responders`, which is imported with the first question: most proxies ask none."""
    asking: Ask | None = None

    def ask(responder: str, question: bytes) -> Deferred[bytes]:
        nonlocal asking
        if asking is None:
            from lolly_tx.service.certificates.responders import over_http

            asking = over_http(reactor)
        return asking(responder, question)

    return ask


def _together(
    renewals: Renewals,
    settings: Acme,
    commons: Commons,
    config: Callable[[], Config],
    stores: Stores,
) -> Together:
    """What an authority is shared by. Raises `CannotMake`."""
    from lolly_tx.net.stores.errors import StoreAway
    from lolly_tx.service.acme.folders import AcmeStore
    from lolly_tx.service.acme.seal import BadKey, read_key
    from lolly_tx.service.acme.shelf import Shelf
    from lolly_tx.service.acme.together import Together

    around, name = commons.surroundings, settings.name
    try:
        key = read_key(settings.key_file)
    except BadKey as error:
        raise CannotMake(f"acme {name}: key_file: {error}") from error

    def store() -> SharedStore:
        found = stores.get(settings.store)
        if found is None:  # authorities stay as they are until a start, stores do not
            raise StoreAway("there is no such store any more")
        return found

    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64]
    member = f"{host}-{around.random.getrandbits(32):08x}"
    return Together(
        settings,
        Shelf(settings, store, key, member),
        around.reactor,
        wall=around.wall,
        in_thread=thread_of(around.reactor),
        hosts=lambda: renewals.hosts(name),
        files=lambda: AcmeStore(config().state_dir, name),
        taken=lambda host: renewals.taken(name, host),
        free=renewals.look,
        waits=(FIRST_WAIT, LONGEST_WAIT),
    )


class Upkeep:
    """Of those that `listeners` serve. `config`: the settings in force. One process of several asks others, `asks`.

    `stores`: what authorities are shared by. Raises `CannotMake`, should a key for that be missing.
    """

    def __init__(
        self,
        commons: Commons,
        listeners: Listeners,
        config: Callable[[], Config],
        asks: bool,
        stores: Stores,
    ) -> None:
        around = commons.surroundings
        reactor = around.reactor
        self._listeners = listeners
        self._config = config
        self._asks = asks
        self._wall = around.wall
        self._watch = Watch(
            reactor,
            lambda: listeners.certificates,
            commons.deadlines.now,
            around.wall,
        )
        self.renewals = Renewals(
            reactor,
            config,
            wall=around.wall,
            random=around.random,
            in_thread=thread_of(reactor),
        )
        if asks:
            self.renewals.together = {
                name: _together(self.renewals, one, commons, config, stores)
                for name, one in config().acme.items()
                if one.store
            }
        self.stapling = Stapling(
            reactor,
            listeners.stapled,
            commons.staples,
            state_dir=lambda: config().state_dir,
            wall=around.wall,
            random=around.random,
            ask=_over_http(reactor),
        )

    def start(self) -> None:
        """Begin."""
        self._watch.start()
        if self._asks and self._config().acme:
            self.renewals.start()
        if self._asks:
            self.stapling.start()

    def stop(self) -> None:
        """End all of it."""
        self._watch.stop()
        self.renewals.stop()
        self.stapling.stop()

    def shown(self) -> list[dict[str, Any]]:
        """The certificates that are served."""
        wall = self._wall()
        return [
            {**shown, "ocsp": self.stapling.shown(shown["fingerprint"])}
            for name, one in self._listeners.certificates
            for shown in one.shown(name, wall)
        ]

    def expiries(self) -> Iterator[tuple[str, float]]:
        """The first name, or else the file, of each that is served, and when it ends (seconds since the epoch)."""
        for _, files in self._listeners.certificates:
            for one in files.credentials.certificates:
                ends = one.leaf.not_valid_after_utc.timestamp()
                yield (one.names[0] if one.names else one.path), ends

    def counted(self) -> dict[str, Any]:
        """What was ordered and asked so far."""
        return {
            "acme": self.renewals.counted() if self._config().acme else None,
            "ocsp": self.stapling.counted(),
        }

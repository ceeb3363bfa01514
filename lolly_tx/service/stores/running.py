"""The stores of a running service, by name: made of the settings, kept over reloads that do not change them.

    prepare(config)    those that stay and those that are new; may raise, then nothing has happened
    commit(made)       let it be in force; what is not committed was never started

Imports: config, domain, net.sockets, net.stores, service. Used by: service,
service.changes, service.stores.fleet, service.stores.shared_purges.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from lolly_tx.config.model import Config
from lolly_tx.domain.target import Target
from lolly_tx.net.sockets.endpoints import client_endpoint
from lolly_tx.service.middlewares import CannotMake
from lolly_tx.service.surroundings import Surroundings

if TYPE_CHECKING:  # pragma: no cover  # imported with the first of them
    from lolly_tx.config.stores import Store
    from lolly_tx.net.stores.link import Connect
    from lolly_tx.net.stores.store import SharedStore

LONGEST_PASSWORD = 4096
"""Bytes of a file with a password."""


@attrs.frozen
class _One:
    settings: Store
    store: SharedStore
    connect: Connect


class MadeStores:
    """Those of other settings, by name, and which of them were there before."""

    def __init__(self) -> None:
        self.all: dict[str, _One] = {}
        self.kept: set[str] = set()
        self.passwords: dict[str, str] = {}

    def store(self, name: str) -> SharedStore:
        """The one of that name. Raises KeyError."""
        return self.all[name].store


class Stores:
    """See the module."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._made: dict[str, _One] = {}
        self._running = False
        self._member = f"{around.random.getrandbits(64):016x}"
        """What this process is called among those that share a store."""

    def __iter__(self) -> Iterator[tuple[str, SharedStore]]:
        return iter([(name, one.store) for name, one in self._made.items()])

    def connect(self, name: str) -> Connect:
        """Makes connections to the one of that name. Raises KeyError."""
        return self._made[name].connect

    def get(self, name: str) -> SharedStore | None:
        """The one of that name that is in force."""
        one = self._made.get(name)
        return one.store if one is not None else None

    def prepare(self, config: Config) -> MadeStores:
        """Make what `config` needs and is not there. Raises `CannotMake`."""
        made = MadeStores()
        for name, settings in config.stores.items():
            before = self._made.get(name)
            password = _password(settings)
            if before is not None and before.settings == settings:
                made.all[name] = before
                made.kept.add(name)
            else:
                made.all[name] = self._one(settings)
            made.passwords[name] = password
        return made

    def _one(self, settings: Store) -> _One:
        from lolly_tx.net.stores.store import SharedStore

        around = self._around
        connect = connect_to(settings, around.reactor)
        store = SharedStore(
            settings,
            connect,
            around.reactor,
            now=around.now,
            wall=around.wall,
            random=around.random,
            member=self._member if around.part.serves else "",
        )
        return _One(settings, store, connect)

    def commit(self, made: MadeStores) -> None:
        """Let it be in force."""
        before, self._made = self._made, made.all
        for name, one in made.all.items():
            one.store.password = made.passwords[name]  # for its next connection
        for name, one in before.items():
            if made.all.get(name) is not one:
                one.store.stop()
        if self._running:
            for name, one in made.all.items():
                if name not in made.kept:
                    one.store.start()

    def start(self) -> None:
        """Connect to all of them."""
        self._running = True
        for one in self._made.values():
            one.store.start()

    def stop(self) -> None:
        """The service ends."""
        self._running = False
        for one in self._made.values():
            one.store.stop()

    def shown(self) -> dict[str, Any]:
        """How each of them is, as JSON-able values."""
        return {name: one.store.shown() for name, one in self._made.items()}


def connect_to(settings: Store, reactor: Any) -> Connect:
    """Makes connections to that store. Raises `CannotMake`."""
    from lolly_tx.config.stores import store_address
    from lolly_tx.net.stores.link import CONNECT_SECONDS

    address = store_address(settings.url)
    name = f"store-{settings.name.lower()}"
    if address.path:
        path = address.path.replace("\\", "\\\\").replace(":", "\\:")
        target = Target(name, settings.url, endpoint=f"unix:{path}")
    else:
        target = Target(
            name,
            settings.url,
            scheme="https" if address.secure else "http",
            host=address.host,
            port=address.port,
        )
    try:
        endpoint = client_endpoint(
            reactor, target, tls=settings.tls, timeout=CONNECT_SECONDS
        )
    except ValueError as error:
        raise CannotMake(f"store {settings.name}: {error}") from error
    connect: Connect = endpoint.connect
    return connect


def _password(settings: Store) -> str:
    if not settings.password_file:
        return ""
    try:
        with Path(settings.password_file).open("rb") as file:
            data = file.read(LONGEST_PASSWORD + 1)
        text = data.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CannotMake(f"store {settings.name}: password_file: {why}") from error
    if not text or len(data) > LONGEST_PASSWORD or "\n" in text:
        said = f"password_file has to have one line of at most {LONGEST_PASSWORD} bytes"
        raise CannotMake(f"store {settings.name}: {said}")
    return text

"""The listeners of a service by name, each of which can be added, changed or removed without the others.

    prepare(name, place)   it is to be listened on there; nothing happens yet
    commit()               everything prepared is listened on, or nothing of it; who had a name before drains
    drain(name)            listen there no more, and let the connections end
    rest(name), wake(name) the same for a while: the listener stays one, and its address ours

What is served there is `proxy.resource.ReverseProxyResource`: `place_of` makes the place of one from its settings.

Imports: config, domain.access, net, net.http1, net.http2, net.sockets, proxy, service,
service.acme, service.certificates, wire, Twisted. Used by: service, service.forwards,
service.metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, succeed

from lolly_tx.config.listening import ListenerTLS
from lolly_tx.config.model import Config, Limits, Listener
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.http1.shared import HALF_CLOSE_SECONDS, ClientTimeouts, Http1Settings
from lolly_tx.net.sockets.acceptor import Acceptor, Census, Door
from lolly_tx.net.sockets.eager import eager
from lolly_tx.net.sockets.inherited import Inheritance
from lolly_tx.net.sockets.proxied import Proxied
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1, ALPN_HTTP2
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.service.listening import Place, server_endpoint
from lolly_tx.service.surroundings import WHOLE
from lolly_tx.wire.grammar import HeadLimits

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.forward import Forward
    from lolly_tx.config.streams import Stream
    from lolly_tx.net.sockets.certificates import Certificate
    from lolly_tx.net.sockets.challenges import Challenges
    from lolly_tx.net.sockets.staples import Staples
    from lolly_tx.proxy.secured import SecuredSite
    from lolly_tx.service.certificates.files import ListenerCertificates


class Listeners:
    """See the module."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._prepared: dict[str, Place] = {}
        self._leaving: list[Acceptor] = []
        self.resting: set[str] = set()
        """Those that take nobody new, whatever becomes of their settings; also some that are still to come."""
        self.given_up: Deferred[Any] = succeed(None)
        """Fires when nothing listens any more where the last commit listens no more."""

    @property
    def complete(self) -> bool:
        """Nothing is prepared that is not listened on."""
        return not self._prepared

    @property
    def places(self) -> dict[str, Place]:
        """Those that are listened on, and those that are prepared under other names."""
        return {**self._prepared, **self._places}

    @property
    def acceptors(self) -> dict[str, Acceptor]:
        """Those of the places where clients are served."""
        found = {name: place.acceptor for name, place in self.places.items()}
        return {name: one for name, one in found.items() if one is not None}

    @property
    def certificates(self) -> list[tuple[str, ListenerCertificates]]:
        """Those of the places that have some of their own, each with the name of its listener."""
        found = ((name, place.certificates) for name, place in self.places.items())
        return [(name, one) for name, one in found if one is not None]

    def stapled(self) -> Iterator[Certificate]:
        """The certificates of those with `tls.ocsp`."""
        for _, one in self.certificates:
            if one.tls.ocsp:
                yield from one.credentials.certificates

    @property
    def doors(self) -> list[Door]:
        """The connections of clients, those of listeners that were removed included."""
        self._leaving = [each for each in self._leaving if each.doors]
        acceptors = (*self.acceptors.values(), *self._leaving)
        return [door for each in acceptors for door in each.doors]

    def prepare(self, name: str, place: Place) -> None:
        """Have `commit` listen there. Where the name is taken already, at another address, it takes over."""
        self._prepared[name] = place

    @property
    def prepared(self) -> dict[str, Place]:
        """Those that the next commit is for; after `ready` they are open."""
        return dict(self._prepared)

    def inherit(self, inheritance: Inheritance) -> None:
        """Have what is prepared listen on sockets that were passed to this process, where there are such."""
        for name, place in self._prepared.items():
            place.heirloom = inheritance.take(name, place.text)

    def lend(self) -> None:
        """Another process listens on all of it as well, from now on."""
        for place in self.places.values():
            place.lend()

    def leave(self) -> None:
        """Who comes from now on is for the other process that listens there; who is here stays."""
        for place in self.places.values():
            place.leave()

    def commit_early(self) -> None:
        """Listen on what can be listened on before the process becomes a daemon. Raises `CannotListen`."""
        self._open(place for place in self._prepared.values() if place.early)

    def commit(self, leaving: Iterable[str] = ()) -> None:
        """Listen on all that is prepared, or raise `CannotListen`; then what was before goes on, and nothing else.

        `leaving`: the names of those that listen no more.
        """
        self._open(self._prepared.values())
        prepared, self._prepared = self._prepared, {}
        for place in prepared.values():
            place.settle()
        leaving = tuple(leaving)
        given_up = [self.drain(name) for name in leaving]
        self.resting.difference_update(leaving)
        for name, place in prepared.items():
            if name in self._places:
                before = self._places[name].acceptor
                if before is not None and place.acceptor is not None:
                    place.acceptor.follow(before)
                given_up.append(self.drain(name))
        self.given_up = DeferredList(given_up, consumeErrors=True)
        self._places.update(prepared)

    def ready(self, leaving: Iterable[str] = ()) -> None:
        """Listen on all that is prepared, beside what is there: then `commit` cannot fail. Raises `CannotListen`.

        When it raises, or is followed by `forget`, what was there goes on and nothing else. `leaving`: the names that
        are to be drained with the commit, whose sockets may be taken over.
        """
        names = dict.fromkeys((*self._prepared, *leaving))
        self._open(
            self._prepared.values(),
            [self._places[name] for name in names if name in self._places],
        )

    def forget(self) -> None:
        """What is prepared is not to be."""
        prepared, self._prepared = self._prepared, {}
        for place in prepared.values():
            place.close()

    def _open(self, places: Iterable[Place], leaving: Sequence[Place] = ()) -> None:
        try:
            for place in places:
                place.open(leaving)
            for name in self.resting & self._prepared.keys():
                if self._prepared[name].port is not None:
                    self._prepared[name].rest()
        except Exception:
            for place in self._prepared.values():
                place.close()
            raise

    def drain(self, name: str) -> Deferred[Any]:
        """Remove one: listen there no more, and let its connections end. Fires when nothing listens."""
        place = self._places.pop(name)
        if place.acceptor is not None:
            self._leaving.append(place.acceptor)
        return place.drain()

    def rest(self, name: str) -> None:
        """Take nobody new there until `wake`, and let the connections end. Raises `CannotListen`: it goes on as it was.

        A name that nobody has yet begins so.
        """
        place = self._places.get(name)
        if place is not None:
            place.rest()
        self.resting.add(name)

    def wake(self, name: str) -> None:
        """Take clients there again. Raises `CannotListen`: it is as it was."""
        place = self._places.get(name)
        if place is not None and name in self.resting:
            place.wake()
        self.resting.discard(name)

    def stop(self, patient: bool = False, last: str = "") -> Deferred[Any]:
        """Drain all of them; another `commit` would listen there again. Fires when nothing listens.

        `patient`: tunnels go on until `hurry`. `last`: the name of one that is listened on until `end`, unless another
        process listens there as well.
        """
        self._prepared, self._places = self.places, {}
        draining = [
            place.drain(patient)
            for name, place in self._prepared.items()
            if name != last or getattr(place.port, "is_lent", False)
        ]
        return DeferredList(draining, consumeErrors=True)

    def end(self) -> Deferred[Any]:
        """Nothing is listened on any more, the last one included; fires when that is so."""
        closing = [place.close() for place in self._prepared.values()]
        return DeferredList(closing, consumeErrors=True)

    def hurry(self, name: str = "") -> None:
        """Tell tunnels that it is time to end, too; of one listener, or of all."""
        for each in self._of(name):
            each.drain()

    def cut(self, name: str) -> None:
        """End the connections of one now, whatever is going on there."""
        for each in self._of(name):
            for door in [*each.doors]:
                door.shut()

    def _of(self, name: str) -> Iterable[Acceptor]:
        found = self.acceptors
        if not name:
            return (*found.values(), *self._leaving)
        return [found[name]] if name in found else []

    def ports(self) -> Iterator[Any]:
        """The ports that are open."""
        return (p.port for p in self.places.values() if p.port is not None)


def address_of(port: Any) -> str:
    """Where an open port really listens, "HOST:PORT" or a path; "" where that cannot be told."""
    try:
        address = port.getHost()
    except (AttributeError, OSError):
        return ""
    host = getattr(address, "host", None)
    if host is None:
        name = getattr(address, "name", b"") or b""
        return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"


def place_of(
    listener: Listener,
    config: Config,
    resource: ReverseProxyResource,
    *,
    reactor: Any,
    deadlines: Deadlines,
    census: Census,
    ports: Callable[[str, Any], Any] = WHOLE.ports,
    staples: Staples | None = None,
) -> Place:
    """Where `listener`, one of `config`, is to serve `resource`. Raises `BadEndpoint` and `TLSSettingsError`.

    `staples`: those of certificates, for a listener that shows them.
    """
    limits = config.limits
    tls = listener.tls is not None or listener.endpoint.startswith(("ssl:", "tls:"))
    certificates = None
    front: SecuredSite | None = None
    if listener.tls is not None:
        from lolly_tx.service.certificates.secretfolders import with_secrets

        alpn = (ALPN_HTTP2, ALPN_HTTP1) if listener.http2 else (ALPN_HTTP1,)
        own = with_secrets(listener.name, listener.tls, config)
        certificates = certificates_of(own, config, deadlines, alpn, staples)
        if listener.tls.sites or listener.tls.fields:
            from lolly_tx.proxy.secured import SecuredSite

            sites = certificates.credentials.site_of if listener.tls.sites else None
            front = SecuredSite(resource.proxy, sites, listener.tls.fields)
    acceptor = resource.site(
        front,
        secure=tls,
        deadlines=deadlines,
        census=census,
        settings=http1_settings(config),
        most=limits.connections_per_listener,
        proxied=proxied_of(listener, config, deadlines),
        http2=_http2(listener, limits) if _speaks_http2(listener, tls) else None,
    )
    key = f"listener.{listener.name}.endpoint"
    return opened(
        listener.name, listener.endpoint, key, acceptor, reactor, ports, certificates
    )


def http1_settings(config: Config) -> Http1Settings:
    """What clients may send, and how long it may take."""
    timeouts, limits = config.timeouts, config.limits
    return Http1Settings(
        timeouts=ClientTimeouts(
            head=timeouts.head,
            body=timeouts.body,
            keepalive=timeouts.keepalive,
            write=timeouts.write,
            body_rate=limits.body_rate,
            gone=HALF_CLOSE_SECONDS if limits.half_close == "cancel" else NEVER,
        ),
        limits=HeadLimits(
            head_bytes=limits.head_size,
            fields=limits.fields,
            line_bytes=limits.line_size,
        ),
        body_bytes=limits.body_size,
        requests=limits.requests_per_connection,
    )


def certificates_of(
    tls: ListenerTLS,
    config: Config,
    deadlines: Deadlines,
    alpn: tuple[bytes, ...],
    staples: Staples | None,
) -> ListenerCertificates:
    """Those of one place, with what is allowed to handshakes there. Raises `TLSSettingsError`."""
    from lolly_tx.net.sockets.handshakes import Handshakes
    from lolly_tx.service.certificates.files import ListenerCertificates
    from lolly_tx.service.certificates.secretfolders import with_acme

    return ListenerCertificates(
        with_acme(tls, config),
        Handshakes(config.timeouts.handshake, deadlines, config.limits.handshakes),
        alpn=alpn,
        challenges=_challenges(config),
        staples=staples,
    )


def opened(
    name: str,
    text: str,
    key: str,
    acceptor: Acceptor,
    reactor: Any,
    ports: Callable[[str, Any], Any],
    certificates: ListenerCertificates | None,
) -> Place:
    """Where `acceptor` makes doors. `text`, `key`: the endpoint, and where it stands. Raises `BadEndpoint`."""
    view = eager(reactor)
    if certificates is not None:
        from lolly_tx.net.sockets.tls_ports import secure

        view = secure(reactor, certificates.credentials)
    endpoint = server_endpoint(ports(name, view), text, key)
    return Place(text, endpoint, acceptor, view, certificates)


def _challenges(config: Config) -> Challenges | None:
    """What authorities are to be shown by TLS, on every listener that speaks it; None: none asks."""
    asked = any(one.challenge == "tls-alpn-01" for one in config.acme.values())
    if asked and config.state_dir:
        from lolly_tx.net.sockets.challenges import Challenges
        from lolly_tx.service.acme.folders import shown_folder

        return Challenges(str(shown_folder(config.state_dir)))
    return None


def proxied_of(
    listener: Listener | Stream | Forward, config: Config, deadlines: Deadlines
) -> Proxied | None:
    """Who has to begin with a PROXY header there."""
    if not listener.proxy_protocol:
        return None
    return Proxied(
        listener.name,
        TrustedPeers(listener.proxy_protocol),
        seconds=config.timeouts.proxy_protocol,
        deadlines=deadlines,
        most=config.limits.connections,
    )


def _speaks_http2(listener: Listener, tls: bool) -> bool:
    return listener.http2 if tls else listener.h2c


def _http2(listener: Listener, limits: Limits) -> Any:
    from lolly_tx.net.http2.shared import (
        Http2Settings,  # and with it the tables of HPACK
    )

    return Http2Settings(
        websocket=listener.http2_websocket,
        streams=limits.streams,
        resets=limits.resets,
        odd_frames=limits.odd_frames,
        continuations=limits.continuations,
        buffer_bytes=limits.connection_buffer,
    )

"""One place that is listened on.

Imports: net.sockets, service.certificates, Twisted. Used by: service, service.admin,
service.changes, service.forwards, service.workers.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.eager import EagerReactor, PlainPort, share_address
from lolly_tx.net.sockets.endpoints import BadEndpoint
from lolly_tx.net.sockets.inherited import PREFIX, Heirloom, PassedEndpoint
from lolly_tx.net.sockets.later_tls import with_tls

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.certificates.files import ListenerCertificates

_EARLY = (TCP4ServerEndpoint, TCP6ServerEndpoint, SSL4ServerEndpoint)
"""Others depend on what a daemon changes: the lock of a UNIX socket has the process's id, its path a root."""


class CannotListen(Exception):
    """An endpoint of the configuration cannot be listened on."""


class Place:
    """Where `factory` is to be listened for. `text`: the endpoint's string, for messages. `port`: while it is open.

    `view`: the reactor that `endpoint` listens on; without it the place cannot take over another's socket.
    `certificates`: where those of `view` come from; None: it has none, or from elsewhere.
    """

    def __init__(
        self,
        text: str,
        endpoint: Any,
        factory: Any,
        view: Any = None,
        certificates: ListenerCertificates | None = None,
    ) -> None:
        self.text = text
        self.certificates = certificates
        self.port: Any = None
        self.factory = factory
        self._endpoint = endpoint
        self._view = view if isinstance(view, EagerReactor) else None
        self._from: Place | None = None
        self.resting = False
        """Nobody new is taken there, until `wake`."""
        self.heirloom: Heirloom | None = None
        """The socket to listen on, if one was passed to this process."""

    @property
    def acceptor(self) -> Acceptor | None:
        """What makes doors for clients there; None where others are served, such as the admin."""
        return self.factory if isinstance(self.factory, Acceptor) else None

    @property
    def early(self) -> bool:
        """It can be listened on before the process becomes a daemon."""
        return isinstance(self._endpoint, _EARLY)

    @property
    def secure(self) -> bool:
        """It speaks TLS with a context of ours."""
        return self._view is not None and self._view.secure

    def open(self, leaving: Sequence[Place] = ()) -> None:
        """Listen. Does nothing when it does already, or rests. Raises `CannotListen`.

        `leaving`: places that will listen no more, but still do. The socket of one at the same address is taken over;
        beside one at an address that overlaps, such as another interface of one port, this one listens as well.
        """
        if self.port is not None or self.resting:
            return
        same = [p for p in leaving if p.text == self.text and p.port is not None]
        try:
            if same:
                self._take_over(same[0])
            else:
                self._listen(leaving)
        except Exception as error:
            said = f"cannot listen on {self.text}: {_reason(error)}{_fix(error)}"
            raise CannotListen(said) from error

    @property
    def owned(self) -> bool:
        """The socket is ours to end."""
        return not getattr(self.port, "is_lent", True)

    def lend(self) -> None:
        """Another process listens there as well: closing ends nothing but our part."""
        lend = getattr(self.port, "lend", None)
        if lend is not None:
            lend()

    def leave(self) -> None:
        """Take nobody new who can go to the other process that listens there."""
        rest = getattr(self.port, "rest", None)
        if rest is not None and getattr(self.port, "is_lent", False):
            rest()

    def _listen(self, leaving: Sequence[Place]) -> None:
        if self._view is not None:
            self._view.heirloom, self.heirloom = self.heirloom, None
        try:
            self.port = listening_now(self._endpoint.listen(self.factory))
            return
        except CannotListenError:
            sockets = [p.port.socket for p in leaving if isinstance(p.port, PlainPort)]
            if self._view is None or not sockets:
                raise
        # The kernel lets sockets overlap that all say so, and are of one user. It is said
        # for this moment only: a second instance is to be told that the port is in use.
        for each in sockets:
            share_address(each, True)
        self._view.beside_others = True
        try:
            self.port = listening_now(self._endpoint.listen(self.factory))
            sockets.append(self.port.socket)
        finally:
            self._view.beside_others = False
            for each in sockets:
                share_address(each, False)

    def _take_over(self, other: Place) -> None:
        """Listen on a copy of the socket of `other`, so that nobody who waits in its queue is lost."""
        port = other.port
        if self._view is None or not isinstance(port, PlainPort):
            raise OSError(
                "what listens there cannot be changed in place;"
                " give it another address, or restart"
            )
        self.port = self._view.adoptStreamPort(
            port.fileno(), port.addressFamily, self.factory
        )
        self._from = other

    def settle(self) -> None:
        """The change that it was opened for is decided: a socket that was taken over is its own now."""
        other, self._from = self._from, None
        if other is not None and other.port is not None:
            other.port.is_lent = True
            self.port.is_lent = False

    def go_by(self, other: Place) -> None:
        """Serve new clients as `other`, which is not open, would: by its settings and its certificate."""
        if self.acceptor is not None and other.acceptor is not None:
            self.acceptor.go_by(other.acceptor)
        elif hasattr(self.factory, "resource"):
            self.factory.resource = other.factory.resource
        if self._view is not None and self.secure and other._view is not None:
            self._view.go_by(other._view)
            self.certificates = other.certificates
            if self.port is not None:
                self.port.credentials = self._view.credentials

    def rest(self, patient: bool = True) -> None:
        """Take nobody new until `wake`, and let the connections end. Raises `CannotListen`, and goes on then.

        Where the port can (ours can) its address stays ours meanwhile; other ports are closed. `patient`: tunnels
        are not told.
        """
        if self.port is not None and not self.resting:
            rest = getattr(self.port, "rest", None)
            try:
                if rest is not None:
                    rest()
                else:
                    self.close()
            except OSError as error:
                said = f"{self.text} cannot be drained: {_reason(error)}"
                raise CannotListen(said) from error
        self.resting = True
        if self.acceptor is not None:
            self.acceptor.drain(patient)

    def wake(self) -> None:
        """Take clients again, and keep those alive who are there. Raises `CannotListen`, and rests on."""
        if not self.resting:
            return
        self.resting = False
        try:
            if self.port is None:
                self.open()
            else:
                self.port.wake()
        except OSError as error:
            self.resting = True
            said = f"cannot listen on {self.text}: {_reason(error)}{_fix(error)}"
            raise CannotListen(said) from error
        except CannotListen:
            self.resting = True
            raise
        if self.acceptor is not None:
            self.acceptor.resume()

    def close(self) -> Deferred[Any]:
        """Listen no more; fires when that is so."""
        port, self.port = self.port, None
        self.resting = False
        closing: Deferred[Any] = succeed(None)
        if port is not None:
            closing.addCallback(_stop, port)
        return closing

    def drain(self, patient: bool = False) -> Deferred[Any]:
        """The same, and let the connections end, each after its next answer; `patient`: tunnels when they like."""
        closed = self.close()
        if self.acceptor is not None:
            self.acceptor.drain(patient)
        return closed


def server_endpoint(reactor: Any, text: str, key: str) -> Any:
    """The endpoint that a string means. Raises `BadEndpoint`, whatever its parser raises: it may be a plugin's.

    `key`: of the setting, for messages.
    """
    if text.startswith(PREFIX):
        return PassedEndpoint(reactor)
    try:
        return serverFromString(reactor, with_tls(text))
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise BadEndpoint(f'{key}: "{text}" cannot be used: {said}') from error


def _stop(_: None, port: IListeningPort) -> Any:
    return port.stopListening()


def _reason(error: Exception) -> str:
    """Why, for a person: of a UNIX socket Twisted names the link that is its lock, and shows paths as bytes."""
    if isinstance(error, CannotListenError) and isinstance(error.port, bytes):
        return f"{os.fsdecode(error.port)}: {error.socketError}"
    if isinstance(error, OSError) and error.filename2 is not None:
        path = os.fsdecode(error.filename2).removesuffix(".lock")
        return f"{path}: {error.strerror}"
    return str(error)


_FIXES = {
    errno.EADDRINUSE: "; ss -ltnp says who listens there",
    errno.EADDRNOTAVAIL: "; this machine has no such address",
    errno.EACCES: "; a port below 1024 needs CAP_NET_BIND_SERVICE, a UNIX socket a folder that may be written",
    errno.ENOENT: "; its folder has to be there",
}


def _fix(error: Exception) -> str:
    """What to do about it, where that is known."""
    why = error.socketError if isinstance(error, CannotListenError) else error
    return _FIXES.get(getattr(why, "errno", 0) or 0, "")


def listening_now(listening: Deferred[IListeningPort]) -> IListeningPort:
    """The port of an endpoint that listens at once, as all of Twisted's do. Raises why there is none."""
    results: list[IListeningPort | Failure] = []
    listening.addBoth(results.append)
    if not results:
        listening.cancel()
        raise CannotListen("the endpoint does not listen at once")
    result = results[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result

"""Tests of the listeners of a service: all or none at the start, and each of them alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.unix import Port as UNIXPort
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.listeners import Listeners
from lolly_tx.service.listening import CannotListen, Place


class Port:
    def __init__(self) -> None:
        self.open = True

    def stopListening(self) -> None:
        self.open = False


class LendablePort(Port):
    """One of ours."""

    is_lent = resting = False

    def lend(self) -> None:
        self.is_lent = True

    def rest(self) -> None:
        self.resting = True


class Endpoint:
    """One of a plugin. `result`: of its `listen`."""

    def __init__(self, result: Any = None) -> None:
        self.ports: list[Port] = []
        self.result = result

    def listen(self, factory: Any) -> Deferred[Any]:
        if self.result is not None:
            result: Deferred[Any] = self.result
            return result
        self.ports.append(Port())
        return succeed(self.ports[-1])


def listeners(**endpoints: Any) -> Listeners:
    """Listeners at these endpoints, prepared."""
    made = Listeners()
    for name, endpoint in endpoints.items():
        made.prepare(name, Place(f"{name}:1", endpoint, None))
    return made


class StartTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Everything is listened on, and again after a stop."""
        one, two = Endpoint(), Endpoint()
        made = listeners(one=one, two=two)
        self.assertFalse(made.complete)
        for count in (1, 2):
            made.commit()
            self.assertTrue(made.complete)
            self.assertEqual([len(one.ports), len(two.ports)], [count, count])
            self.successResultOf(made.stop())
            self.assertFalse(one.ports[-1].open or two.ports[-1].open)

    def test_leave(self) -> None:
        """Nobody new is taken where another process listens as well; others go on as they are."""
        lent, own, foreign = LendablePort(), LendablePort(), Port()
        made = listeners(
            lent=Endpoint(succeed(lent)),
            own=Endpoint(succeed(own)),
            foreign=Endpoint(succeed(foreign)),
        )
        made.commit()
        lent.lend()
        made.leave()
        self.assertEqual((lent.resting, own.resting), (True, False))
        self.assertTrue(lent.open and own.open and foreign.open)

    def test_none(self) -> None:
        """If one cannot, none does, and the error names it."""
        one = Endpoint()
        late: Deferred[Any] = Deferred()
        for result, part in ((fail(OSError("no")), "no"), (late, "at once")):
            made = listeners(one=one, bad=Endpoint(result))
            with self.assertRaises(CannotListen) as caught:
                made.commit()
            self.assertIn("cannot listen on bad:1: ", str(caught.exception))
            self.assertIn(part, str(caught.exception))
            self.assertFalse(one.ports[-1].open)
            self.assertFalse(made.complete)
        self.assertTrue(late.called)

    def test_socket_that_cannot_be_made(self) -> None:
        """Of a UNIX socket the path and the reason are told, not what the lock beside it is made of."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "held.lock").symlink_to(str(os.getpid()))
        cases = {
            "no/s": "No such file or directory; its folder has to be there",
            "x" * 120: "AF_UNIX path too long",
            "held": "Cannot acquire lock",
        }
        for name, reason in cases.items():
            path = f"{folder}/{name}"
            port = UNIXPort(path.encode(), Factory(), wantPID=True)
            result = maybeDeferred(port.startListening)
            place = Place(f"unix:{path}", Endpoint(result), None)
            with self.assertRaises(CannotListen) as caught:
                place.open()
            self.assertEqual(
                str(caught.exception),
                f"cannot listen on unix:{path}: {path}: {reason}",
            )

    def test_early(self) -> None:
        """Plain TCP is listened on before the rest, which is asked for later, and once."""
        reactor = MemoryReactorClock()
        other = Endpoint()
        made = listeners(other=other)
        tcp = TCP4ServerEndpoint(reactor, 80)
        made.prepare("tcp", Place("tcp:80", tcp, Factory.forProtocol(Protocol)))
        made.commit_early()
        self.assertEqual((len(reactor.tcpServers), other.ports), (1, []))
        self.assertFalse(made.complete)
        made.commit()
        self.assertEqual((len(reactor.tcpServers), len(other.ports)), (1, 1))

    def test_early_in_vain(self) -> None:
        """What was listened on early is closed when the rest cannot be."""
        one = Endpoint()
        made = listeners(bad=Endpoint(fail(OSError("no"))))
        made.prepare("one", Early(one))
        made.commit_early()
        self.assertTrue(one.ports[-1].open)
        self.assertRaises(CannotListen, made.commit)
        self.assertFalse(one.ports[-1].open)


class Early(Place):
    """One that can be listened on early."""

    early = True

    def __init__(self, endpoint: Any) -> None:
        super().__init__("early:1", endpoint, None)


class OneTests(SynchronousTestCase):
    """One listener changes; the others are not touched."""

    def setUp(self) -> None:
        self.one, self.two = Endpoint(), Endpoint()
        self.made = listeners(one=self.one, two=self.two)
        self.made.commit()

    def test_added(self) -> None:
        """One more is listened on."""
        more = Endpoint()
        self.made.prepare("more", Place("more:1", more, None))
        self.made.commit()
        self.assertEqual(set(self.made.places), {"one", "two", "more"})
        self.assertEqual([len(e.ports) for e in (self.one, self.two, more)], [1, 1, 1])
        self.assertTrue(self.one.ports[0].open and more.ports[0].open)

    def test_removed(self) -> None:
        """One is closed, and known no more."""
        self.successResultOf(self.made.drain("one"))
        self.assertEqual(list(self.made.places), ["two"])
        self.assertEqual(
            (self.one.ports[0].open, self.two.ports[0].open), (False, True)
        )

    def test_changed(self) -> None:
        """Who takes the name over is listened on before the other is closed."""
        other = Endpoint()
        self.made.prepare("one", Place("other:1", other, None))
        self.assertTrue(self.one.ports[0].open)
        self.made.commit()
        self.assertEqual((self.one.ports[0].open, other.ports[0].open), (False, True))
        self.assertTrue(self.two.ports[0].open)

    def test_changed_in_vain(self) -> None:
        """If that cannot be listened on, the one before goes on."""
        self.made.prepare("one", Place("bad:1", Endpoint(fail(OSError("no"))), None))
        before = self.made.places["one"]
        self.assertRaises(CannotListen, self.made.commit)
        self.assertTrue(self.one.ports[0].open and self.two.ports[0].open)
        self.assertIs(self.made.places["one"], before)

"""Tests of listening sockets that take nobody for a while: the kernel's part of it, and what ports do."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python import log
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.adopted import AdoptedPort
from lolly_tx.net.sockets.eager import PlainPort, PlainUNIXPort
from lolly_tx.net.sockets.refusing import hide, listen_again, listens, refuse, reveal
from lolly_tx.net.sockets.slots import SlotPort, bind_slots


def ask(address: Any) -> str:
    """What becomes of a client."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(5)
        try:
            client.connect(address)
        except ConnectionRefusedError:
            return "refused"
        except FileNotFoundError:
            return "nothing there"
        return "connected"


class Readers(Clock):
    """A reactor as far as a port needs one."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    removeWriter = removeReader


class Taking(Factory):
    """Counts who is taken."""

    noisy = False

    def __init__(self) -> None:
        self.taken = 0

    def buildProtocol(self, address: Any) -> Protocol | None:
        self.taken += 1
        return None


class PortTestCase(SynchronousTestCase):
    """Ports on a reactor whose time is the test's."""

    def setUp(self) -> None:
        """Somewhere for paths."""
        self.reactor = Readers()
        self.factory = Taking()
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "s")

    def tcp(self) -> tuple[PlainPort, Any]:
        """One that listens, and where."""
        port = PlainPort(0, self.factory, interface="127.0.0.1", reactor=self.reactor)
        return self._started(port), port.socket.getsockname()

    def unix(self) -> PlainUNIXPort:
        """The same at a path."""
        port: PlainUNIXPort = self._started(
            PlainUNIXPort(
                self.path.encode(), self.factory, 1024, 0o666, self.reactor, 1
            )
        )
        return port

    def _started(self, port: Any) -> Any:
        port.startListening()
        self.addCleanup(self.stop, port)
        return port

    def stop(self, port: Any) -> None:
        if not port.connected:
            return
        port.stopListening()
        self.reactor.advance(1)


class TCPPortTests(PortTestCase):
    def test_rest_and_wake(self) -> None:
        """Who waits in the queue is taken, who comes later is refused; then all is as before, at the same address."""
        port, address = self.tcp()
        self.assertEqual(ask(address), "connected")
        port.rest()
        port.rest()
        self.reactor.advance(0.01)
        self.assertEqual((self.factory.taken, self.reactor.readers), (1, []))
        self.assertEqual(ask(address), "refused")
        port.wake()
        port.wake()
        self.assertEqual(ask(address), "connected")
        self.assertEqual(self.reactor.readers, [port])
        port.doRead()
        self.assertEqual(self.factory.taken, 2)

    def test_second_thoughts(self) -> None:
        """What is taken back at once has refused nobody."""
        port, address = self.tcp()
        port.rest()
        port.wake()
        self.reactor.advance(1)
        self.assertEqual(ask(address), "connected")
        self.assertEqual(self.reactor.readers, [port])

    def test_somebody_else_has_it_by_now(self) -> None:
        """A port that was taken meanwhile is an error, and the port rests on until it is free."""
        port, address = self.tcp()
        port.rest()
        self.reactor.advance(0.01)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(address)
            other.listen()
            self.assertRaises(OSError, port.wake)
            self.assertTrue(port.resting)
        port.wake()
        self.assertEqual(ask(address), "connected")

    def test_end_while_it_rests(self) -> None:
        """The end accepts nobody, asks nobody, and leaves no timer; also when it comes before the last call."""
        for pause in (0.0, 0.01):
            port, address = self.tcp()
            port.rest()
            self.reactor.advance(pause)
            self.stop(port)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.assertEqual(ask(address), "refused")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_socket_of_somebody_else(self) -> None:
        """One that others listen on as well is not touched: who comes waits in its queue."""
        port, address = self.tcp()
        port.lend()
        port.rest()
        self.reactor.advance(0.01)
        self.assertEqual(ask(address), "connected")
        self.assertEqual((self.factory.taken, self.reactor.readers), (0, []))
        port.wake()
        self.assertEqual(self.reactor.readers, [port])
        port.is_lent = False

    def test_what_the_log_says(self) -> None:
        """That a port is closed is said where it is, and not where others go on with its socket."""
        said: list[str] = []

        def hear(event: dict[str, Any]) -> None:
            said.append(" ".join(event.get("message", ())))

        log.addObserver(hear)
        self.addCleanup(log.removeObserver, hear)
        for lent in (True, False):
            port, _ = self.tcp()
            port.is_lent = lent
            self.stop(port)
            self.assertEqual(any("Closed" in line for line in said), not lent)

    def test_taken_over_from_one_that_rests(self) -> None:
        """A port on a socket that is not listened on rests without a look at it, and can be woken."""
        before, address = self.tcp()
        before.rest()
        self.reactor.advance(0.01)
        port = self._started(
            PlainPort._fromListeningDescriptor(
                self.reactor, before.socket.fileno(), socket.AF_INET, self.factory
            )
        )
        port.is_lent, before.is_lent = False, True
        port.rest()
        self.assertEqual(self.reactor.readers, [])
        self.reactor.advance(1)
        self.stop(before)
        port.wake()
        self.assertEqual(ask(address), "connected")
        self.assertEqual(self.flushLoggedErrors(), [])


class UNIXPortTests(PortTestCase):
    def test_rest_and_wake(self) -> None:
        """Its path leads nowhere meanwhile; who had found it is taken."""
        port = self.unix()
        self.assertEqual(ask(self.path), "connected")
        port.rest()
        self.reactor.advance(0.01)
        self.assertEqual((self.factory.taken, self.reactor.readers), (1, []))
        self.assertEqual(ask(self.path), "nothing there")
        port.wake()
        self.assertEqual(ask(self.path), "connected")

    def test_end_while_it_rests(self) -> None:
        """Nothing of it is left in the folder."""
        port = self.unix()
        port.rest()
        self.reactor.advance(0.01)
        self.stop(port)
        self.assertEqual(os.listdir(self.folder), [])

    def test_path_that_cannot_be_hidden(self) -> None:
        """Where the path cannot be moved, it goes on."""
        port = self.unix()
        os.rename(self.path, self.path + "x")
        self.assertRaises(OSError, port.rest)
        self.assertFalse(port.resting)
        os.rename(self.path + "x", self.path)
        self.assertEqual(self.reactor.readers, [port])

    def test_path_of_somebody_else(self) -> None:
        """What another one has made at the path meanwhile stays, and it rests on."""
        port = self.unix()
        port.rest()
        self.reactor.advance(0.01)
        with open(self.path, "w"):
            pass
        self.assertRaises(FileExistsError, port.wake)
        self.assertTrue(port.resting)
        os.unlink(self.path)
        port.wake()
        self.assertEqual(ask(self.path), "connected")

    def test_hidden_already(self) -> None:
        """What was hidden by the code before is hidden, and is found again."""
        self.unix()
        hide(self.path)
        hide(self.path)
        self.assertEqual(ask(self.path), "nothing there")
        reveal(self.path)
        reveal(self.path)
        self.assertEqual(ask(self.path), "connected")

    def test_inherited_while_hidden(self) -> None:
        """New code that is given the socket finds no path, rests, and opens it at the same path."""
        before = self.unix()
        before.rest()
        self.reactor.advance(0.01)
        passed = socket.socket(fileno=os.dup(before.socket.fileno()))
        before.lend()
        port = PlainUNIXPort(
            self.path.encode(), self.factory, 1024, 0o666, self.reactor, 1
        )
        port.inherit(passed, owned=True)
        port.startListening()
        port.rest()
        self.reactor.advance(0.01)
        self.stop(before)
        self.assertEqual(ask(self.path), "nothing there")
        port.wake()
        self.assertEqual(ask(self.path), "connected")
        self.stop(port)
        self.assertEqual(os.listdir(self.folder), [])


class SlotTests(PortTestCase):
    """A slot for each process."""

    def slots(self) -> tuple[SlotPort, Any]:
        """Two of one address."""
        port = SlotPort(bind_slots("127.0.0.1", 0, 2))
        self.addCleanup(port.stopListening)
        return port, port.sockets[0].getsockname()

    def test_owner(self) -> None:
        """It has all slots refused, also those where nobody accepts, and listened on again."""
        port, address = self.slots()
        port.refuse()
        self.assertEqual(ask(address), "connected")
        for _ in range(2):
            port.rest()
        port.refuse()
        self.assertEqual({ask(address) for _ in range(8)}, {"refused"})
        for _ in range(2):
            port.wake()
        self.assertEqual({ask(address) for _ in range(8)}, {"connected"})
        self.assertEqual([listens(one) for one in port.sockets], [True, True])

    def test_lent(self) -> None:
        """A socket of systemd stays as it is."""
        port, address = self.slots()
        port.is_lent = True
        port.rest()
        port.refuse()
        self.assertEqual(ask(address), "connected")
        port.wake()
        self.assertFalse(port.resting)

    def test_path(self) -> None:
        """A path is hidden, found again, and removed at the end whatever it is then."""
        made = socket.socket(socket.AF_UNIX)
        made.bind(self.path)
        made.listen()
        port = SlotPort([made, made], self.path)
        port.rest()
        self.assertEqual(ask(self.path), "nothing there")
        port.wake()
        self.assertEqual(ask(self.path), "connected")
        port.rest()
        port.stopListening()
        self.assertEqual(os.listdir(self.folder), [])

    def adopted(self, port: SlotPort, lent: bool) -> AdoptedPort:
        """Accepting on the first slot, here."""

        def listen(one: socket.socket) -> Any:
            return self._started(
                PlainPort._fromListeningDescriptor(
                    self.reactor, one.fileno(), socket.AF_INET, self.factory
                )
            )

        made = AdoptedPort(listen, lent)
        made.adopt(0, port.sockets[0])
        return made

    def test_who_accepts(self) -> None:
        """It takes who waits and has the rest refused, on slots that it looks after meanwhile, too."""
        port, address = self.slots()
        accepting = self.adopted(port, lent=False)
        while not self.factory.taken:
            self.assertEqual(ask(address), "connected")
            for reader in self.reactor.readers:
                reader.doRead()
        taken = self.factory.taken
        accepting.rest()
        self.reactor.advance(0.01)
        accepting.adopt(1, port.sockets[1])
        self.reactor.advance(0.01)
        self.assertEqual(ask(address), "refused")
        self.assertGreaterEqual(self.factory.taken, taken)
        port.rest()
        port.wake()
        accepting.wake()
        self.assertEqual(len(self.reactor.readers), 2)
        self.assertEqual(ask(address), "connected")

    def test_who_accepts_for_systemd(self) -> None:
        """Nothing is taken from a queue that others go on with."""
        port, address = self.slots()
        accepting = self.adopted(port, lent=True)
        accepting.rest()
        self.reactor.advance(0.01)
        self.assertEqual((ask(address), self.reactor.readers), ("connected", []))
        self.assertEqual(self.factory.taken, 0)
        accepting.wake()
        self.assertEqual(len(self.reactor.readers), 1)


class KernelTests(SynchronousTestCase):
    def test_ipv6(self) -> None:
        """The same with the other family, twice, as nothing is asked twice of the kernel."""
        with socket.socket(socket.AF_INET6) as listening:
            try:
                listening.bind(("::1", 0))
            except OSError:
                self.skipTest("there is no IPv6 here")
            listening.listen()
            address = listening.getsockname()
            for _ in range(2):
                refuse(listening)
            with socket.socket(socket.AF_INET6) as client:
                self.assertRaises(ConnectionRefusedError, client.connect, address)
            listen_again(listening, 8)
            self.assertEqual(listening.getsockname(), address)
            with socket.socket(socket.AF_INET6) as client:
                client.connect(address)

    def test_unix(self) -> None:
        """A UNIX socket that was shut down could not be revived, so nothing is done to it."""
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("")
            one.listen()
            refuse(one)
            listen_again(one, 8)
            self.assertTrue(listens(one))

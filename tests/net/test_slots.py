"""Tests of listening sockets that one process owns and others accept on."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.net.sockets.slots import (
    AdoptedPort,
    AdoptingReactor,
    SlotPort,
    SlotReactor,
    bind_slots,
)


class Outer:
    """A reactor as far as a view needs one."""

    word = "of the real one"

    def __init__(self) -> None:
        self.adopted: list[tuple[int, int, Any]] = []

    def adoptStreamPort(self, fd: int, family: int, factory: Any) -> FakePort:
        self.adopted.append((fd, family, factory))
        return FakePort(fd)

    def wrap_tls(self, factory: Any, context: Any) -> Any:
        return ("tls", factory, context)


class FakePort:
    """What accepts on one socket."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.stopped = False
        self.is_lent = True

    def stopListening(self) -> None:
        self.stopped = True

    def getHost(self) -> str:
        return f"socket {self.fd}"


class SlotTestCase(SynchronousTestCase):
    """Closes what a test opened."""

    def listen(self, text: str, count: int = 2) -> SlotPort:
        """Listen as an endpoint string says."""
        listening = serverFromString(SlotReactor(Outer(), count), text).listen(
            Factory()
        )
        port: SlotPort = self.successResultOf(listening)
        self.addCleanup(port.stopListening)
        return port

    def folder(self) -> str:
        """A folder with a short name, as paths of sockets have to be."""
        made = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, made)
        return made


class SlotReactorTests(SlotTestCase):
    """Listening that makes slots."""

    def test_each_slot_has_a_socket_of_the_same_address(self) -> None:
        """Two slots, one address, and nothing that blocks who accepts there."""
        port = self.listen("tcp:0:interface=127.0.0.1")
        verifyObject(IListeningPort, port)
        one, two = port.sockets
        self.assertEqual(one.getsockname(), two.getsockname())
        self.assertNotEqual(one.fileno(), two.fileno())
        self.assertEqual((one.getblocking(), two.getblocking()), (False, False))
        self.assertIsInstance(port.getHost(), IPv4Address)
        self.assertIn("2 slots", repr(port))
        port.startListening()

    def test_clients_are_dealt_out_among_the_slots(self) -> None:
        """Of many connections each slot gets some, and none is lost."""
        port = self.listen("tcp:0:interface=127.0.0.1")
        clients = [
            socket.create_connection(port.sockets[0].getsockname()) for _ in range(64)
        ]
        taken = []
        for one in port.sockets:
            count = 0
            try:
                while True:
                    one.accept()[0].close()
                    count += 1
            except BlockingIOError:
                taken.append(count)
        for client in clients:
            client.close()
        self.assertEqual(sum(taken), 64)
        self.assertTrue(all(taken), taken)

    def test_second_instance_is_refused(self) -> None:
        """Another proxy does not silently share the port, and the first one keeps it."""
        port = self.listen("tcp:0:interface=127.0.0.1")
        number = port.getHost().port
        again = serverFromString(
            SlotReactor(Outer(), 2), f"tcp:{number}:interface=127.0.0.1"
        ).listen(Factory())
        self.failureResultOf(again, CannotListenError)
        socket.create_connection(("127.0.0.1", number)).close()

    def test_every_interface_and_one_of_them_are_the_same_port(self) -> None:
        """0.0.0.0 and 127.0.0.1 on one port: who comes second is refused."""
        port = self.listen("tcp:0:interface=127.0.0.1")
        with self.assertRaises(OSError):
            bind_slots("", port.getHost().port, 2)

    def test_ipv6(self) -> None:
        """An address with colons is one of IPv6."""
        try:
            port = self.listen("tcp6:0:interface=\\:\\:1")
        except CannotListenError:  # pragma: no cover  # a machine without IPv6
            return
        self.assertIsInstance(port.getHost(), IPv6Address)

    def test_address_is_free_after_the_end(self) -> None:
        """When the port is given back somebody else may have it."""
        port = self.listen("tcp:0:interface=127.0.0.1")
        number = port.getHost().port
        port.stopListening()
        for one in bind_slots("127.0.0.1", number, 1):
            one.close()

    def test_tls_strings_have_slots_too(self) -> None:
        """What is spoken on a connection is no matter to the slots."""
        port = SlotReactor(Outer(), 3).listenSSL(
            0, Factory(), None, interface="127.0.0.1"
        )
        self.addCleanup(port.stopListening)
        self.assertEqual(len(port.sockets), 3)

    def test_unix_socket_is_shared(self) -> None:
        """A path has one socket; it is removed at the end, by its owner."""
        path = os.path.join(self.folder(), "s")
        port = self.listen(f"unix:{path}")
        self.assertIs(port.sockets[0], port.sockets[1])
        self.assertIsInstance(port.getHost(), UNIXAddress)
        port.stopListening()
        self.assertFalse(os.path.exists(path))

    def test_unix_socket_in_use_is_refused(self) -> None:
        """Somebody accepts there, so it is neither removed nor taken."""
        path = os.path.join(self.folder(), "s")
        self.listen(f"unix:{path}")
        again = serverFromString(SlotReactor(Outer(), 2), f"unix:{path}").listen(
            Factory()
        )
        self.failureResultOf(again, CannotListenError)
        self.assertTrue(os.path.exists(path))

    def test_abandoned_unix_socket_is_replaced(self) -> None:
        """What a killed proxy left behind is no reason not to start."""
        path = os.path.join(self.folder(), "s")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
        self.listen(f"unix:{path}")

    def test_file_at_the_path_stays(self) -> None:
        """What is no socket is not removed."""
        path = os.path.join(self.folder(), "s")
        with open(path, "w") as file:
            file.write("mine")
        again = serverFromString(SlotReactor(Outer(), 2), f"unix:{path}").listen(
            Factory()
        )
        self.failureResultOf(again, CannotListenError)
        self.assertTrue(os.path.exists(path))

    def test_passed_descriptor_is_shared(self) -> None:
        """A socket that the system passed is the same one for every slot."""
        [passed] = bind_slots("127.0.0.1", 0, 1)
        port = SlotReactor(Outer(), 2).adoptStreamPort(
            passed.fileno(), socket.AF_INET, Factory()
        )
        self.addCleanup(port.stopListening)
        self.assertTrue(port.is_lent)
        self.assertIs(port.sockets[0], port.sockets[1])
        self.assertEqual(port.sockets[0].getsockname(), passed.getsockname())
        passed.close()

    def test_the_rest_is_the_real_reactors(self) -> None:
        """A view changes nothing else."""
        self.assertEqual(SlotReactor(Outer(), 2).word, "of the real one")


class AdoptingReactorTests(SlotTestCase):
    """Accepting on slots of another process."""

    def setUp(self) -> None:
        """Two slots."""
        self.sockets = self.listen("tcp:0:interface=127.0.0.1").sockets
        self.outer = Outer()
        self.factory = Factory()
        view = AdoptingReactor(self.outer, {0: self.sockets[0]})
        listening: Deferred[Any] = serverFromString(view, "tcp:80").listen(self.factory)
        self.port: AdoptedPort = self.successResultOf(listening)

    def test_own_slot_is_accepted_on(self) -> None:
        """Whatever port the settings name, the socket is the one of the slot."""
        verifyObject(IListeningPort, self.port)
        fd = self.sockets[0].fileno()
        self.assertEqual(self.outer.adopted, [(fd, socket.AF_INET, self.factory)])
        self.assertEqual(self.port.getHost(), f"socket {fd}")
        self.port.startListening()

    def test_another_slot_is_adopted_and_left(self) -> None:
        """While a slot has nobody another process takes care of it."""
        self.port.adopt(1, self.sockets[1])
        self.port.adopt(1, self.sockets[1])
        self.assertEqual(self.port.slots, {0, 1})
        self.assertEqual(len(self.outer.adopted), 2)
        self.successResultOf(self.port.leave(1))
        self.successResultOf(self.port.leave(1))
        self.assertEqual(repr(self.port), "<AdoptedPort of slots [0]>")

    def test_other_certificates(self) -> None:
        """New clients of all slots are met with those that came last."""
        self.assertIsNone(self.port.credentials)
        self.port.credentials = "new"
        self.assertEqual(self.port.credentials, "new")
        self.assertEqual(
            [port.credentials for port in self.port._ports.values()], ["new"]
        )

    def test_end_leaves_the_queues_to_others(self) -> None:
        """Without a last call nothing is shut down."""
        ports = dict(self.port._ports)
        self.successResultOf(self.port.stopListening())
        self.assertTrue(ports[0].stopped)
        self.assertTrue(ports[0].is_lent)

    def test_last_call(self) -> None:
        """When the address is given up, those in the queue are accepted first."""
        ports = dict(self.port._ports)
        self.port.call_last()
        self.successResultOf(self.port.stopListening())
        self.assertFalse(ports[0].is_lent)

    def test_no_last_call_where_the_socket_goes_on(self) -> None:
        """A socket that systemd keeps is not shut down, whoever ends."""
        view = AdoptingReactor(self.outer, {0: self.sockets[0]}, lent=True)
        port = view.listenTCP(80, self.factory)
        [accepting] = port._ports.values()
        port.call_last()
        self.assertTrue(accepting.is_lent)

    def test_unix_passed_and_tls(self) -> None:
        """Other kinds of endpoints come to the same."""
        view = AdoptingReactor(self.outer, {0: self.sockets[0]})
        view.listenUNIX("/nowhere", self.factory)
        view.adoptStreamPort(3, socket.AF_INET, self.factory)
        view.listenSSL(443, self.factory, "context")
        last = self.outer.adopted[-1][2]
        self.assertEqual(last, ("tls", self.factory, "context"))
        self.assertEqual(
            {fd for fd, _, _ in self.outer.adopted}, {self.sockets[0].fileno()}
        )

"""Tests of listening sockets that one process owns and others accept on."""

from __future__ import annotations

import contextlib
import errno
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

from lolly_tx.net.sockets import slots
from lolly_tx.net.sockets.adopted import AdoptedPort, AdoptingReactor
from lolly_tx.net.sockets.inherited import Heirloom, PassedEndpoint
from lolly_tx.net.sockets.slots import (
    SlotPort,
    SlotReactor,
    bind_slots,
)


class Outer:
    """A reactor as far as a view needs one."""

    word = "of the real one"

    def __init__(self) -> None:
        self.adopted: list[tuple[int, int, Any]] = []
        self.heirloom: Heirloom | None = None

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


class InheritedSlotsTests(SlotTestCase):
    """Slots that another owner has left."""

    def left(self, count: int, *, owned: bool = True) -> Heirloom:
        """The sockets of an address that had so many slots."""
        made = bind_slots("127.0.0.1", 0, count)
        for one in made:
            self.addCleanup(one.close)
        first, *others = made
        return Heirloom(first, "web", "tcp:80", owned, others=tuple(others))

    def inherit(self, heirloom: Heirloom, count: int, text: str = "tcp:80") -> SlotPort:
        """The port of `count` processes on what was left."""
        outer = Outer()
        outer.heirloom = heirloom
        listening = serverFromString(SlotReactor(outer, count), text).listen(Factory())
        self.assertIsNone(outer.heirloom)
        port: SlotPort = self.successResultOf(listening)
        self.addCleanup(port.stopListening)
        return port

    def accepted(self, port: SlotPort, clients: int) -> list[int]:
        """How many of so many clients each socket of `port` gets."""
        there = [
            socket.create_connection(port.sockets[0].getsockname())
            for _ in range(clients)
        ]
        taken = []
        for one in dict.fromkeys(port.sockets):
            count = 0
            with contextlib.suppress(
                OSError
            ):  # nobody waits there, or it does not listen
                while True:
                    one.accept()[0].close()
                    count += 1
            taken.append(count)
        for client in there:
            client.close()
        return taken

    def test_as_many_processes_as_before(self) -> None:
        """Each has one of the slots there were, and no socket is new."""
        left = self.left(2)
        port = self.inherit(left, 2)
        self.assertEqual(port.sockets, list(left.sockets))
        self.assertFalse(port.is_lent)
        self.assertEqual(port.open(1) + port.open(2), port.descriptors)

    def test_fewer_processes(self) -> None:
        """No queue is lost: the first of two has the third slot as well, for good."""
        left = self.left(3)
        port = self.inherit(left, 2)
        first, second, third = [one.fileno() for one in left.sockets]
        self.assertEqual(port.open(1), [first, third])
        self.assertEqual(port.open(2), [second])

    def test_more_processes(self) -> None:
        """A slot that is new gets nobody before somebody is there to accept, and then its share."""
        port = self.inherit(self.left(1), 2)
        self.assertEqual(len(port.descriptors), 2)
        self.assertEqual(self.accepted(port, 40), [40, 0])
        for _ in range(2):
            self.assertEqual(port.open(2), [port.sockets[1].fileno()])
        taken = self.accepted(port, 64)
        self.assertEqual(sum(taken), 64)
        self.assertTrue(all(taken), taken)

    def test_more_of_a_port_that_was_not_shared(self) -> None:
        """The only process there was had it for itself."""
        alone = socket.create_server(("127.0.0.1", 0))
        alone.setblocking(False)
        self.addCleanup(alone.close)
        port = self.inherit(Heirloom(alone, "web", "tcp:80", True), 2)
        port.open(2)
        self.assertTrue(all(self.accepted(port, 64)))

    def test_more_where_no_more_can_be_had(self) -> None:
        """They share what there is."""
        left = self.left(1)
        self.patch(slots, "bind_beside", self.refused)
        port = self.inherit(left, 3)
        self.assertEqual(port.sockets, [left.socket] * 3)

    def refused(self, *_: Any) -> Any:
        raise OSError(errno.EACCES, "not yours")

    def test_somebody_elses(self) -> None:
        """A socket of systemd has no slots beside it, and is not ours to end."""
        left = self.left(1, owned=False)
        port = self.inherit(left, 2)
        self.assertEqual(port.sockets, [left.socket] * 2)
        self.assertTrue(port.is_lent)

    def test_unix(self) -> None:
        """It keeps its path, which is removed at its end, with the lock of the only process there was."""
        path = os.path.join(self.folder(), "s")
        with socket.socket(socket.AF_UNIX) as before:
            before.bind(path)
            before.listen()
            kept = socket.socket(fileno=os.dup(before.fileno()))
        os.symlink(str(os.getpid()), path + ".lock")
        port = self.inherit(Heirloom(kept, "s", "unix:s", True), 2, f"unix:{path}")
        self.assertEqual(port.sockets, [kept] * 2)
        self.assertTrue(os.path.exists(path))
        port.stopListening()
        self.assertEqual(os.listdir(os.path.dirname(path)), [])

    def test_lent(self) -> None:
        """What others have as well is not ended here."""
        path = os.path.join(self.folder(), "s")
        port = self.listen(f"unix:{path}")
        port.lend()
        self.assertTrue(port.is_lent)
        port.stopListening()
        self.assertTrue(os.path.exists(path))

    def test_passed_endpoint(self) -> None:
        """An endpoint "systemd:..." takes it out of the same place."""
        outer = Outer()
        outer.heirloom = self.left(1, owned=False)
        passed = PassedEndpoint(SlotReactor(outer, 2))
        port: SlotPort = self.successResultOf(passed.listen(Factory()))
        self.addCleanup(port.stopListening)
        self.assertIsNone(outer.heirloom)
        self.assertTrue(port.is_lent)


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

    def test_passed_by_systemd(self) -> None:
        """A worker of "systemd:..." accepts on its slot, whose owner was passed the socket."""
        view = AdoptingReactor(self.outer, {0: self.sockets[0]})
        self.successResultOf(PassedEndpoint(view).listen(self.factory))
        self.assertEqual(len(self.outer.adopted), 2)
        nothing = PassedEndpoint(AdoptingReactor(self.outer, {})).listen(self.factory)
        self.failureResultOf(nothing, OSError)

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

"""Tests of lines sent to a syslog daemon."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.model import AccessLog as Settings
from lolly_tx.proxy.records.record import refusal_entry
from lolly_tx.service.records.recording import LogWriting
from lolly_tx.service.records.syslog import AGAIN_SECONDS, LinesLost, Syslog, heading
from lolly_tx.service.surroundings import Surroundings

ENTRY = refusal_entry(b"junk", "192.0.2.1", 400, 0, "web", 1795293660.25)


class Names(Clock):
    """A reactor in memory that looks up names."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Any] = []

    def resolve(self, name: str) -> Deferred[str]:
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Deferred) else succeed(answer)


class HeadingTests(SynchronousTestCase):
    def test_heading(self) -> None:
        """Facility, severity, version, time, host, program, process and kind, as RFC 5424 orders them."""
        of = heading("edge", 47)
        self.assertEqual(
            of(1795293660.25),
            b"<190>1 2026-11-21T20:41:00.250Z edge lolly 47 access - ",
        )
        self.assertEqual(of(1795293661.0)[:31], b"<190>1 2026-11-21T20:41:01.000Z")

    def test_host(self) -> None:
        """A name of the host that is none in RFC 5424 is made one."""
        self.assertIn(b" edge lolly ", heading("ed ge\n", 1)(0.0))
        self.assertIn(b" - lolly ", heading("é", 1)(0.0))


class SocketTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name, "log"))
        self.reactor = Names()

    def daemon(
        self, family: int = socket.AF_UNIX, address: Any = None
    ) -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.bind(address or self.path)
        made.settimeout(10.0)
        return made

    def sender(self, path: str = "") -> Syslog:
        seconds = self.reactor.seconds
        made = Syslog(path or f"syslog:unix:{self.path}", self.reactor.resolve, seconds)
        self.addCleanup(made.close)
        return made


class UnixTests(SocketTestCase):
    def test_lines(self) -> None:
        """Each line is a datagram without its line end."""
        daemon, sender = self.daemon(), self.sender()
        sender.write(b"one\ntwo\n")
        self.assertEqual([daemon.recv(99), daemon.recv(99)], [b"one", b"two"])

    def test_restarted(self) -> None:
        """While there is no daemon lines are lost and counted; one that comes back gets the next."""
        sender = self.sender()
        error = self.assertRaises(LinesLost, sender.write, b"one\ntwo\n")
        self.assertEqual(error.lines, 2)
        for _ in range(2):
            daemon = self.daemon()
            sender.write(b"three\n")
            self.assertEqual(daemon.recv(99), b"three")
            daemon.close()
            os.unlink(self.path)

    def test_never_waits(self) -> None:
        """A daemon that reads nothing costs lines, not time, and those it had room for are there."""
        daemon, sender = self.daemon(), self.sender()
        error = self.assertRaises(
            LinesLost, sender.write, b"x" * 1000 + b"\n" + b"y\n" * 9999
        )
        daemon.setblocking(False)
        got = 0
        while True:
            try:
                daemon.recv(2000)
            except BlockingIOError:
                break
            got += 1
        self.assertGreater(got, 0)
        self.assertEqual(got + error.lines, 10_000)

    def test_too_long(self) -> None:
        """A message that no datagram can hold is lost alone."""
        daemon, sender = self.daemon(), self.sender()
        data = b"x" * 10_000_000 + b"\nshort\n"
        error = self.assertRaises(LinesLost, sender.write, data)
        self.assertEqual((error.lines, daemon.recv(99)), (1, b"short"))


class UDPTests(SocketTestCase):
    def test_address(self) -> None:
        """By UDP to an address."""
        daemon = self.daemon(socket.AF_INET, ("127.0.0.1", 0))
        port = daemon.getsockname()[1]
        self.reactor.answers = ["127.0.0.1"]
        self.sender(f"syslog:udp:127.0.0.1:{port}").write(b"one\n")
        self.assertEqual(daemon.recv(99), b"one")

    def test_address_in_brackets(self) -> None:
        """An IPv6 address is not looked up, and has no line lost to it while nobody listens there."""
        sender = self.sender("syslog:udp:[::1]:9")
        sender.reopen()
        self.assertEqual(sender._address, ("::1", 9))

    def test_name(self) -> None:
        """Until a name is known lines are lost, it is asked for again after a while, and at each rotation."""
        daemon = self.daemon(socket.AF_INET, ("127.0.0.1", 0))
        port = daemon.getsockname()[1]
        slow: Deferred[str] = Deferred()
        self.reactor.answers = [fail(DNSLookupError("no such name")), slow, "127.0.0.1"]
        sender = self.sender(f"syslog:udp:logs.example:{port}")
        error = self.assertRaises(LinesLost, sender.write, b"one\n")
        self.assertIn("logs.example is not known yet", str(error))
        self.assertEqual(len(self.reactor.answers), 2)
        self.reactor.advance(AGAIN_SECONDS)
        self.assertRaises(LinesLost, sender.write, b"two\n")
        self.assertRaises(LinesLost, sender.write, b"two\n")
        self.assertEqual(len(self.reactor.answers), 1)
        slow.callback("127.0.0.1")
        sender.write(b"three\n")
        sender.reopen()
        self.assertEqual(self.reactor.answers, [])
        sender.write(b"four\n")
        self.assertEqual([daemon.recv(99), daemon.recv(99)], [b"three", b"four"])

    def test_closed_while_asking(self) -> None:
        """An end while a name is looked up leaves nothing behind."""
        asked: Deferred[str] = Deferred()
        self.reactor.answers = [asked]
        sender = self.sender("syslog:udp:logs.example:514")
        sender.close()
        self.assertTrue(asked.called)
        self.assertIsNone(sender._socket)


class AccessLogTests(SocketTestCase):
    def test_log(self) -> None:
        """The access log sends each line with its own time, and counts those that are lost alone."""
        daemon = self.daemon()
        now = self.reactor.seconds
        settings = Settings(path=f"syslog:unix:{self.path}", format="$client $status")
        writing = LogWriting(settings, Surroundings(self.reactor, now, now, Random(1)))
        writing.start()
        writing.log.record(ENTRY)
        self.reactor.advance(1.0)
        got = daemon.recv(999)
        self.assertTrue(
            re.fullmatch(
                rb"<190>1 2026-11-21T20:41:00\.250Z [!-~]+ lolly [0-9]+ access - 192\.0\.2\.1 400",
                got,
            ),
            got,
        )
        daemon.close()
        writing.log.record(ENTRY)
        writing.reopen()
        writing.stop()
        self.assertEqual((writing.log.written, writing.log.dropped), (1, 1))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

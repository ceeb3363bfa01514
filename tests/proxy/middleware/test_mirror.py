"""Tests of `type = "mirror"`: what is copied, and that nothing comes of a copy."""

from __future__ import annotations

from typing import Any

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.proxy.middleware.mirror import LONGEST_SECONDS, READ_BYTES
from tests.proxy.middleware.behind import settings
from tests.proxy.world import OK, answer, get, post
from tests.service.test_build import BuildTestCase

TEXT = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
use = ["ids", "shadow"]
[pool.app]
targets = ["http://127.0.0.1:9001"]
[pool.copies]
targets = ["http://127.0.0.1:9002"]
[middleware.ids]
type = "headers"
request = { set = { X-Id = "1" } }
[middleware.shadow]
type = "mirror"
pool = "copies"
body = 10
most = 2
"""


class MirrorTests(BuildTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service = self.started(TEXT)
        self.line = self.client()

    def backends(self) -> dict[int, Any]:
        """Accept all connects that wait, by port."""
        found = {}
        while self.reactor.tcpClients:
            port = self.reactor.tcpClients[-1][1]
            found[port] = self.backend(port)
        return found

    @property
    def under_way(self) -> int:
        """The copies that count."""
        count: int = self.service.pools["copies"].in_flight
        return count

    def test_copy(self) -> None:
        """Another pool gets what the target gets, and its answer goes nowhere."""
        self.line.send(get("/a?b", "X-A: 1\r\n"))
        there = self.backends()
        sent, copied = there[9001].take(), there[9002].take()
        self.assertTrue(copied.startswith(b"GET /a?b HTTP/1.1\r\nHost: x\r\n"), copied)
        for field in (b"X-A: 1\r\n", b"X-Id: 1\r\n", b"X-Forwarded-For: 192.0.2.1\r\n"):
            self.assertIn(field, sent)
            self.assertIn(field, copied)
        there[9002].send(answer(b"copy", 500))
        self.assertEqual(self.line.take(), b"")
        there[9001].send(OK)
        self.assertEqual(self.line.take(), OK)
        self.assertEqual(self.under_way, 0)

    def test_nothing_waits(self) -> None:
        """A copy that takes its time holds up neither its request nor the next one; a dead one is no failure."""
        self.line.send(get("/1"))
        there = self.backends()
        for n in (2, 3, 4):
            there[9001].take()
            there[9001].send(OK)
            self.assertEqual(self.line.take(), OK)
            self.line.send(get(f"/{n}"))
            there |= {
                port: one for port, one in self.backends().items() if port == 9002
            }
        # At most two at once.
        self.assertEqual(self.under_way, 2)
        self.pass_time(LONGEST_SECONDS + 1)
        self.assertEqual(self.under_way, 0)

    def test_bodies(self) -> None:
        """A short body is copied, of known length or not; a longer one is no copy."""
        chunked = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        self.line.send(post(5, b"ab"))
        there = self.backends()
        self.assertEqual(sorted(there), [9001])
        self.line.send(b"cde")
        there |= self.backends()
        self.assertTrue(there[9002].take().endswith(b"\r\n\r\nabcde"))
        self.assertTrue(there[9001].take().endswith(b"\r\n\r\nabcde"))
        there[9002].send(OK)
        there[9001].send(OK)
        self.line.take()
        self.line.send(chunked + b"0\r\n\r\n")
        self.assertIn(b"abc", there[9002].take())
        there[9002].send(OK)
        there[9001].take()
        there[9001].send(OK)
        self.line.take()
        for long in (post(11, b"a" * 11), chunked + b"8\r\nabcdefgh\r\n0\r\n\r\n"):
            self.line.send(long)
            there[9001].take()
            there[9001].send(OK)
            self.assertEqual(self.line.take(), OK)
            self.assertEqual(there[9002].take(), b"")
        self.assertEqual(self.under_way, 0)

    def test_client_gone(self) -> None:
        """A copy goes on when the client has left, and a request that was not whole has none."""
        self.line.send(get("/a"))
        there = self.backends()
        self.line.lose()
        there[9002].take()
        self.assertEqual(self.under_way, 1)
        there[9002].send(OK)
        self.assertEqual(self.under_way, 0)
        other = self.client()
        other.send(post(5, b"ab"))
        self.backends()
        other.lose()
        self.assertEqual(there[9002].take(), b"")

    def test_long_answers(self) -> None:
        """More than is worth reading of an answer is cut off."""
        self.line.send(get("/a"))
        there = self.backends()
        there[9002].send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * READ_BYTES)
        )
        there[9002].send(b"a" * (READ_BYTES + 1), 65536)
        self.assertTrue(there[9002].aborted or there[9002].disconnecting)
        self.assertEqual(self.under_way, 0)

    def test_refused(self) -> None:
        """Nobody there to take it: the request knows nothing of it."""
        self.line.send(get("/a"))
        *_, mirrored = [one for one in self.reactor.tcpClients if one[1] == 9002]
        self.reactor.tcpClients.remove(mirrored)
        there = self.backends()
        there[9001].send(OK)
        self.assertEqual(self.line.take(), OK)

    def test_settings(self) -> None:
        """The pool has to be there."""
        with self.assertRaises(ConfigErrors) as caught:
            settings('type = "mirror"\npool = "ap"')
        self.assertIn('did you mean "app"', str(caught.exception))

"""Tests of forward proxies: who may use one, where to, what targets and clients are told, and how tunnels end."""

from __future__ import annotations

import json
import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectBindError, TCPTimedOutError
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.lockout import Lockout
from lolly_tx.net.streams.raw import EARLY_BYTES
from tests.proxy.forwardworld import PORT, USERS, ForwardWorld
from tests.proxy.world import OK, Line

ANY = 'ports = ["any"]\n'
LOOPBACK = 'allow_targets = ["127.0.0.0/8"]\n'


def basic(said: str = "alice:secret") -> bytes:
    """The field that says who it is."""
    return b"Proxy-Authorization: Basic %b\r\n" % b64encode(said.encode())


def get(url: str = "http://a.example/x", fields: bytes = b"") -> bytes:
    """A request as clients of proxies send it."""
    return f"GET {url} HTTP/1.1\r\nHost: ignored\r\n".encode() + fields + b"\r\n"


def connect(
    authority: str = "a.example:443", fields: bytes = b"", version: str = "1.1"
) -> bytes:
    """A request for a tunnel."""
    return (
        f"CONNECT {authority} HTTP/{version}\r\nHost: {authority}\r\n".encode()
        + fields
        + b"\r\n"
    )


def status(client: Line) -> int:
    """Of the answer that a client has got; 0: none."""
    data = client.take()
    return int(data[9:12]) if data else 0


class AbsoluteFormTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = ForwardWorld()
        self.world.names.addresses["a.example"] = ["1.1.1.1"]

    def test_request(self) -> None:
        """The host of the URL gets an ordinary request, with our pseudonym in Via and nothing of the client."""
        client = self.world.client()
        client.send(get("http://a.example/x?y", b"Proxy-Connection: keep-alive\r\n"))
        self.assertEqual(self.world.connects(), [("1.1.1.1", 80)])
        sent = self.world.accept().take()
        self.assertTrue(sent.startswith(b"GET /x?y HTTP/1.1\r\nHost: a.example\r\n"))
        self.assertIn(b"\r\nVia: 1.1 lolly-", sent)
        for word in (b"192.0.2.1", b"orwarded", b"roxy", b"ignored", b"Lolly-Hop"):
            self.assertNotIn(word, sent)

    def test_kept_connections(self) -> None:
        """Connections of both sides are used again, by other clients of one host, too."""
        client = self.world.client()
        client.send(get())
        target = self.world.accept()
        target.send(OK)
        self.assertEqual(status(client), 200)
        for other in (client, self.world.client()):
            target.take()
            other.send(get("http://a.example/again"))
            self.assertTrue(target.take().startswith(b"GET /again "))
            target.send(OK)
            self.assertEqual(status(other), 200)
        self.assertEqual(len(self.world.connects()), 1)
        client.send(get("http://a.example:80/z"))
        self.assertEqual(len(self.world.connects()), 1)

    def test_body(self) -> None:
        """A body goes on as it comes."""
        client = self.world.client()
        client.send(
            b"POST http://a.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc"
        )
        target = self.world.accept()
        self.assertTrue(target.take().endswith(b"\r\n\r\nabc"))
        client.send(b"def")
        self.assertEqual(target.take(), b"def")

    def test_forwarded_by_the_client(self) -> None:
        """What a client says of where it comes from passes; nothing is added."""
        client = self.world.client()
        client.send(get(fields=b"X-Forwarded-For: 203.0.113.9\r\n"))
        sent = self.world.accept().take().lower()
        self.assertEqual(sent.count(b"forwarded"), 1)
        self.assertIn(b"x-forwarded-for: 203.0.113.9\r\n", sent)

    def test_loop(self) -> None:
        """A request of ours that comes back is refused."""
        client = self.world.client()
        client.send(get())
        sent = self.world.accept().take()
        via = sent[sent.index(b"Via: ") :].partition(b"\r\n")[0] + b"\r\n"
        for request in (get(fields=via), connect(fields=via)):
            again = self.world.client()
            again.send(request)
            data = again.take()
            self.assertIn(b" 508 ", data)
            self.assertIn(b"error=proxy_loop_detected", data)
        self.assertEqual(len(self.world.connects()), 1)

    def test_upgrades_and_methods(self) -> None:
        """TRACE is refused, OPTIONS counts its hops, another protocol is not switched to."""
        client = self.world.client()
        client.send(b"TRACE http://a.example/ HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(status(client), 405)
        client.send(
            b"OPTIONS http://a.example HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n"
        )
        self.assertEqual(status(client), 200)
        self.assertEqual(self.world.connects(), [])
        client.send(get(fields=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"))
        self.assertNotIn(b"pgrade", self.world.accept().take())

    def test_refused_by_the_host(self) -> None:
        """Nobody there, no such name, no answer: told apart in Proxy-Status."""
        world = self.world
        for name, error, code, token in (
            ("a.example", None, 502, b"connection_refused"),
            ("b.example", TCPTimedOutError(), 504, b"connection_timeout"),
        ):
            world.names.addresses[name] = ["1.1.1.1"]
            client = world.client()
            client.send(get(f"http://{name}/"))
            world.refuse(error)
            data = client.take()
            self.assertIn(b" %d " % code, data)
            self.assertIn(b"Proxy-Status: lolly_tx; error=" + token, data)
        client.send(get("http://nobody.example/"))
        data = client.take()
        self.assertIn(b" 502 ", data)
        self.assertIn(b"error=dns_error", data)

    def test_health_map(self) -> None:
        """An address that was refused three times is refused at once for a minute, for every name, without a SYN."""
        world = self.world
        for name in ("b.example", "c.example", "d.example"):
            world.names.addresses[name] = ["1.1.1.1"]
        for name in ("a.example", "b.example", "c.example"):
            world.client().send(get(f"http://{name}/"))
            world.refuse()
        client = world.client()
        client.send(get("http://d.example/"))
        self.assertEqual(len(world.connects()), 3)
        data = client.take()
        self.assertIn(b" 503 ", data)
        self.assertIn(b"error=destination_unavailable", data)
        shared = world.service.commons.health_map.records
        self.assertEqual([len(one) for one in shared._judges.values()], [0])
        world.pass_time(61)
        world.client().send(get("http://d.example/"))
        self.assertEqual(len(world.connects()), 4)

    def test_places_are_bounded(self) -> None:
        """Whoever goes through many names leaves no more behind than the last thousand."""
        world = self.world
        client = world.client()
        for number in range(1100):
            world.names.addresses[f"h{number}.example"] = ["1.1.1.1"]
            client.send(get(f"http://h{number}.example/"))
            target = world.accept()
            target.send(OK)
            client.take()
        self.assertLessEqual(len(world.forward._prepared.ways._direct._ends), 1024)


class GateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = ForwardWorld(USERS + LOOPBACK + ANY)
        self.world.names.addresses["a.example"] = ["1.1.1.1"]

    def test_challenge(self) -> None:
        """Who says nothing is asked, on a connection that goes on; so is who says something wrong."""
        client = self.world.client()
        for fields in (
            b"",
            basic("alice:wrong"),
            basic("bob:secret"),
            b"Proxy-Authorization: Bearer x\r\n",
        ):
            for request in (get(fields=fields), connect(fields=fields)):
                client.send(request)
                data = client.take()
                self.assertTrue(data.startswith(b"HTTP/1.1 407 "), data)
                self.assertIn(
                    b'Proxy-Authenticate: Basic realm="proxy", charset="UTF-8"\r\n',
                    data,
                )
        self.assertFalse(client.disconnecting)
        self.assertEqual(self.world.connects(), [])
        self.assertEqual(self.world.names.asked, [])
        client.send(get(fields=basic()))
        self.assertNotIn(b"uthorization", self.world.accept().take())

    def test_old_clients(self) -> None:
        """A client of HTTP/1.0 that has no fields at all is asked, too."""
        client = self.world.client()
        client.send(b"CONNECT 127.0.0.1:443 HTTP/1.0\r\n\r\n")
        self.assertEqual(status(client), 407)
        self.assertEqual(self.world.connects(), [])

    def test_two_fields(self) -> None:
        """Two of them are no request."""
        client = self.world.client()
        client.send(get(fields=basic() + basic("alice:other")))
        self.assertEqual(status(client), 400)

    def test_thinking(self) -> None:
        """While a password is compared nothing is connected, and what comes is kept; the next time it is known."""
        world = self.world
        waiting = world.compare_later()
        client = world.client()
        client.send(connect("127.0.0.1:443", basic()) + b"hello")
        self.assertEqual(world.connects(), [])
        waiting[0]()
        target = world.accept()
        self.assertEqual(target.take(), b"hello")
        self.assertIn(b" 200 Connection established\r\n\r\n", client.take())
        world.client().send(connect("127.0.0.1:443", basic()))
        self.assertEqual((len(waiting), len(world.connects())), (1, 2))

    def test_body_while_thinking(self) -> None:
        """A body that comes meanwhile is kept and sent."""
        world = self.world
        waiting = world.compare_later()
        client = world.client()
        head = b"POST http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n"
        client.send(head + basic() + b"\r\nabc")
        client.send(b"def")
        waiting[0]()
        self.assertTrue(world.accept().take().endswith(b"\r\n\r\nabcdef"))

    def test_gone_while_thinking(self) -> None:
        """A client that leaves meanwhile leads nowhere."""
        world = self.world
        waiting = world.compare_later()
        client = world.client()
        client.send(connect("127.0.0.1:443", basic()))
        client.lose()
        waiting[0]()
        self.assertEqual(world.connects(), [])

    def test_lockout(self) -> None:
        """Who guesses is told to wait, with the right password too; others are not."""
        world = self.world
        client = world.client()
        for _ in range(100):
            client.send(get(fields=basic("alice:wrong")))
            data = client.take()
            if data.startswith(b"HTTP/1.1 429 "):
                break
        self.assertIn(b"Retry-After: ", data)
        client.send(connect("127.0.0.1:443", basic()))
        self.assertEqual(status(client), 429)
        other = world.client("192.0.2.9")
        other.send(connect("127.0.0.1:443", basic()))
        self.assertEqual(len(world.connects()), 1)
        self.assertIsInstance(world.forward.proxy.gate.verifier.lockout, Lockout)

    def test_networks(self) -> None:
        """Who comes from elsewhere is refused, whatever it says; with users as well both must be right."""
        world = ForwardWorld(USERS + 'allow = ["192.0.2.0/25"]\n')
        stranger = world.client("192.0.2.200")
        stranger.send(get(fields=basic()))
        self.assertEqual(status(stranger), 403)
        client = world.client("192.0.2.1")
        client.send(get())
        self.assertEqual(status(client), 407)
        self.assertEqual(world.connects(), [])


MALFORMED = {
    "origin-form": (b"GET / HTTP/1.1\r\nHost: %b\r\n", 400),
    "https": (b"GET https://%b/ HTTP/1.1\r\nHost: x\r\n", 501),
    "no host field": (b"GET http://%b/ HTTP/1.1\r\n", 400),
    "user": (b"GET http://u@%b/ HTTP/1.1\r\nHost: x\r\n", 400),
    "fragment": (b"GET http://%b/#f HTTP/1.1\r\nHost: x\r\n", 400),
    "no port": (b"CONNECT %b HTTP/1.1\r\nHost: x\r\n", 400),
    "path": (b"CONNECT %b:443/ HTTP/1.1\r\nHost: x\r\n", 400),
    "scheme": (b"CONNECT http://%b:443 HTTP/1.1\r\nHost: x\r\n", 400),
    "connect with a body": (
        b"CONNECT %b:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n",
        400,
    ),
    "connect chunked": (
        b"CONNECT %b:443 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
        400,
    ),
    "two lengths": (
        b"POST http://%b/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        400,
    ),
    "bare line end": (b"GET http://%b/ HTTP/1.1\nHost: x\r\n", 400),
}
DENIED_TARGETS = (
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "inside.example",
)


class MatrixTests(SynchronousTestCase):
    """Two states of logging in, twelve malformed openings, fifteen targets: none of them ever sees a connect."""

    def setUp(self) -> None:
        self.world = ForwardWorld(USERS)
        self.world.names.addresses["inside.example"] = ["10.0.0.1", "fd00::1"]

    def opened(self, data: bytes) -> tuple[int, Line]:
        client = self.world.client()
        client.send(data)
        return status(client), client

    def test_malformed(self) -> None:
        """What is no request to a forward proxy gets its status, and is the last on its connection."""
        for said in (b"", basic()):
            for target in DENIED_TARGETS:
                for name, (opening, code) in MALFORMED.items():
                    found, client = self.opened(
                        opening % target.encode() + said + b"\r\n"
                    )
                    self.assertEqual(found, code, (name, target))
                    self.world.pass_time(6)
                    self.assertTrue(client.disconnecting, (name, target))
        self.assertEqual(self.world.connects(), [])
        self.assertEqual(self.world.names.asked, [])

    def test_denied(self) -> None:
        """Well-formed requests to such targets are refused by name or after the lookup."""
        for target in DENIED_TARGETS:
            for request in (
                get(f"http://{target}/", basic()),
                connect(f"{target}:443", basic()),
            ):
                found, _ = self.opened(request)
                self.assertEqual(found, 403, target)
            for request in (get(f"http://{target}/"), connect(f"{target}:443")):
                self.assertEqual(self.opened(request)[0], 407)
        self.assertEqual(self.world.connects(), [])
        self.assertEqual(self.world.forward.proxy.turned_away["address"], 30)

    def test_other_spellings(self) -> None:
        """What a resolver takes for an address is judged by what it made of it."""
        for name in ("127.1", "2130706433", "0x7f.1", "localhost", "LOCALHOST."):
            key = name.lower().rstrip(".")
            self.world.names.addresses[key] = ["127.0.0.1"]
            found, _ = self.opened(connect(f"{name}:443", basic()))
            self.assertEqual(found, 403, name)
        self.assertEqual(self.world.connects(), [])

    def test_ports(self) -> None:
        """Ports outside of the list are refused before any lookup."""
        for port in (25, 22, 8080):
            found, client = self.opened(connect(f"a.example:{port}", basic()))
            self.assertEqual(found, 403)
            self.assertTrue(client.disconnecting)
        self.assertEqual(self.world.names.asked, [])
        self.assertEqual(self.world.forward.proxy.turned_away["port"], 3)

    def test_one_lookup(self) -> None:
        """What is connected to is what was looked at: the name is asked for once."""
        self.world.names.addresses["mixed.example"] = ["10.0.0.1", "1.1.1.1"]
        self.opened(connect("mixed.example:443", basic()))
        self.assertEqual(self.world.connects(), [("1.1.1.1", 443)])
        self.assertEqual(self.world.names.asked, ["mixed.example"])

    def test_ourselves(self) -> None:
        """Our own listener is refused although its network is allowed."""
        self.world = ForwardWorld(USERS + LOOPBACK + ANY)
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]"):
            found, _ = self.opened(connect(f"{host}:{PORT}", basic()))
            self.assertEqual(found, 508)
        self.assertEqual(self.world.connects(), [])


class LogTests(SynchronousTestCase):
    def test_refusals(self) -> None:
        """The access log says why in the words that clients get in Proxy-Status, and has no password."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "access.log")
        log = f'[access_log]\npath = "{path}"\nformat = "json"\nflush = "1s"\n'
        world = ForwardWorld(USERS + 'deny_targets = ["*.ads.example"]\n', log)
        world.names.addresses["inside.example"] = ["10.0.0.1"]
        via = f"Via: 1.1 {world.forward.pseudonym}\r\n".encode()
        denied, special = "http_request_denied", "destination_ip_prohibited"
        wrong = basic("alice:a wrong one")
        for request, code, error in (
            (connect(), 407, denied),
            (connect(fields=wrong), 407, denied),
            (connect(fields=basic() * 2), 400, denied),
            (connect("a.example:25", basic()), 403, denied),
            (connect("x.ads.example:443", basic()), 403, denied),
            (connect("10.0.0.1:443", basic()), 403, special),
            (get("http://inside.example/", basic()), 403, special),
            (get("http://nobody.example/", basic()), 502, "dns_error"),
            (get(fields=basic() + via), 508, "proxy_loop_detected"),
            (get("/", basic()), 400, "http_request_error"),
        ):
            client = world.client()
            client.send(request)
            world.pass_time(2)
            self.assertIn(f"error={error}\r\n".encode(), client.take())
            told = json.loads(path.read_text().splitlines()[-1])
            self.assertEqual((told["status"], told["error"]), (code, error))
        for secret in (b64encode(b"alice:a wrong one").decode(), "a wrong one"):
            self.assertNotIn(secret, path.read_text())


class TunnelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = ForwardWorld(LOOPBACK + ANY)

    def tunnel(self, version: str = "1.1") -> tuple[Line, Line]:
        """A client and its target."""
        client = self.world.client()
        client.send(connect("127.0.0.1:443", version=version))
        target = self.world.accept()
        self.assertEqual(client.take(), b"HTTP/1.1 200 Connection established\r\n\r\n")
        return client, target

    def exchanges(self) -> Any:
        [served] = self.world.forward.counters.served.values()
        return served

    def test_both_ways(self) -> None:
        """Bytes go both ways as they are; what is glued to the head goes first."""
        client = self.world.client()
        client.send(connect("127.0.0.1:443") + b"\x16early")
        client.send(b"more")
        self.assertEqual(client.take(), b"")
        target = self.world.accept()
        self.assertEqual(target.take(), b"\x16earlymore")
        self.assertTrue(client.take().endswith(b"established\r\n\r\n"))
        target.send(b"\x00answer")
        self.assertEqual(client.take(), b"\x00answer")
        self.assertEqual(self.world.forward.in_flight, 1)
        client.lose()
        target.lose()
        self.world.pass_time(6)
        self.assertEqual(self.world.forward.in_flight, 0)
        served = self.exchanges()
        self.assertEqual(
            (served.codes, served.bytes_in, served.bytes_out), ({200: 1}, 10, 7)
        )

    def test_old(self) -> None:
        """Clients of HTTP/1.0 get their tunnel, too."""
        client, target = self.tunnel("1.0")
        client.send(b"x")
        self.assertEqual(target.take(), b"x")

    def test_early_bytes(self) -> None:
        """What a client sends before its target is there is kept up to a limit; then it is not read."""
        client = self.world.client()
        client.send(connect("127.0.0.1:443"))
        client.send(b"x" * EARLY_BYTES)
        self.assertFalse(client.paused)
        client.send(b"y")
        self.assertTrue(client.paused)
        client.send(b"z")
        target = self.world.accept()
        self.world.pass_time(1)
        self.assertEqual(target.take(), b"x" * EARLY_BYTES + b"yz")

    def test_client_ends_first(self) -> None:
        """The client's end goes on; the target may still answer, and ends it."""
        client, target = self.tunnel()
        client.send(b"bye")
        client.end()
        self.assertEqual(target.take(), b"bye")
        self.assertTrue(target.half_closed)
        target.send(b"last words")
        self.assertEqual(client.take(), b"last words")
        target.end()
        self.world.pass_time(1)
        self.assertTrue(client.closed and target.closed)

    def test_target_ends_first(self) -> None:
        """The same the other way round."""
        client, target = self.tunnel()
        target.send(b"bye")
        target.end()
        self.assertEqual(client.take(), b"bye")
        self.assertTrue(client.half_closed)
        client.send(b"last words")
        self.assertEqual(target.take(), b"last words")
        client.end()
        self.world.pass_time(1)
        self.assertTrue(client.closed and target.closed)

    def test_client_ends_while_connecting(self) -> None:
        """Who sends all it has and shuts its side down at once still gets its tunnel, and the end with it."""
        client = self.world.client()
        client.send(connect("127.0.0.1:443") + b"all")
        client.end()
        self.world.pass_time(5)
        target = self.world.accept()
        self.assertEqual(target.take(), b"all")
        self.assertTrue(target.half_closed)
        target.send(b"answer")
        self.assertTrue(client.take().endswith(b"\r\n\r\nanswer"))

    def test_resets(self) -> None:
        """A reset on one side is one on the other: never a clean end."""
        for first in (0, 1):
            pair = self.tunnel()
            pair[first].reset()
            self.assertTrue(pair[1 - first].aborted)
            self.world.pass_time(1)
        self.assertEqual(self.world.forward.in_flight, 0)

    def test_client_gone_while_connecting(self) -> None:
        """Nobody waits for a connect whose client has left."""
        client = self.world.client()
        client.send(connect("127.0.0.1:443"))
        client.lose()
        [connector] = self.world.reactor.connectors
        self.assertTrue(connector.stoppedConnecting or connector._disconnected)

    def test_idle(self) -> None:
        """Without a byte either way for the time set it is closed; half closed, sooner."""
        client, target = self.tunnel()
        self.world.pass_time(590)
        self.assertFalse(client.disconnecting)
        self.world.pass_time(30)
        self.assertTrue(client.disconnecting and target.disconnecting)
        client, target = self.tunnel()
        client.end()
        self.world.pass_time(70)
        self.assertTrue(client.disconnecting and target.disconnecting)

    def test_no_answer(self) -> None:
        """Errors are told apart, and end the connection: what comes behind it was meant for the tunnel."""
        for number, fail, said in (
            (443, self.world.refuse, b"error=connection_refused"),
            (444, lambda: self.world.pass_time(6), b"error=connection_timeout"),
            (
                445,
                lambda: self.world.refuse(ConnectBindError(99, "none left")),
                b"HTTP/1.1 50",
            ),
        ):
            client = self.world.client()
            payload = get("http://127.0.0.1/smuggled")
            client.send(connect(f"127.0.0.1:{number}") + payload)
            fail()
            data = client.take()
            self.assertIn(said, data)
            self.assertIn(b"Connection: close", data)
            client.send(payload)
            self.assertEqual(client.take(), b"")
            self.assertEqual(self.world.connects()[-1], ("127.0.0.1", number))

    def test_refused_with_bytes_behind_it(self) -> None:
        """So does a refusal by the rules; who has to log in does so on the same connection."""
        world = ForwardWorld(USERS)
        client = world.client()
        client.send(connect("127.0.0.1:443"))
        self.assertEqual(status(client), 407)
        world.compare_at_once()
        client.send(connect("10.0.0.1:443", basic()) + get(fields=basic()))
        data = client.take()
        self.assertTrue(data.startswith(b"HTTP/1.1 403 "))
        self.assertEqual(data.count(b"HTTP/1.1 "), 1)
        self.assertIn(b"Connection: close", data)
        self.assertEqual(world.connects(), [])


class ReloadTests(SynchronousTestCase):
    def test_rules(self) -> None:
        """Clients that are connected go by the new settings; tunnels stay; what was known of addresses stays."""
        world = ForwardWorld(LOOPBACK + ANY)
        client = world.client()
        client.send(connect("127.0.0.1:443"))
        target = world.accept()
        client.take()
        other = world.client()
        world.reload(USERS)
        other.send(connect("127.0.0.1:443"))
        self.assertEqual(status(other), 407)
        client.send(b"still")
        self.assertEqual(target.take(), b"still")
        self.assertEqual(world.forward.in_flight, 1)
        world.compare_at_once()
        other.send(connect("127.0.0.1:443", basic()))
        self.assertEqual(status(other), 403)

    def test_come_and_go(self) -> None:
        """One that is removed listens no more; one that is added does."""
        world = ForwardWorld()
        second = (
            '[forward.g]\nendpoint = "tcp:3129:interface=127.0.0.1"\n'
            'allow = ["192.0.2.0/24"]\n'
        )
        world.reload("", second)
        self.assertEqual(sorted(world.reactor.ports), [PORT, 3129])
        told = world.service.statistics()["listeners"]
        self.assertEqual(sorted(told), ["forward f", "forward g"])
        world.reload("")
        self.assertEqual(sorted(world.reactor.ports), [PORT])
        self.assertEqual(sorted(world.service.forwards), ["f"])

    def test_statistics(self) -> None:
        """What went through and what did not is counted, by why."""
        world = ForwardWorld(LOOPBACK)
        world.client().send(connect("10.0.0.1:443"))
        world.client().send(connect("127.0.0.1:443"))
        world.accept()
        told = world.service.statistics()["listeners"]["forward f"]
        self.assertEqual(told["denied"], {"address": 1})
        self.assertEqual((told["in_flight"], told["accepted"]), (1, 2))

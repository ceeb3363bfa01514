"""The handshake of a tunnel: who is let in, who is not, and what comes of wrong lines."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.tunnel import (
    BUSY,
    DENIED,
    MALFORMED,
    MOST_LINE_BYTES,
    VERSION_UNKNOWN,
    ConnectorSide,
    HandshakeFailed,
    Offer,
    ServerSide,
    Welcome,
    Wish,
    proof,
    refusal,
)

SECRET = "sixteen letters!"
OFFER = Offer(("web", "ssh"), (Wish("web", "Home.Example.com"), Wish("ssh", port=22)))


def connector(secret: str = SECRET, **named: Any) -> ConnectorSide:
    """One called "home"."""
    given: dict[str, Any] = {
        "nonce": b"c" * 32,
        "channel": b"tls",
        "offer": OFFER,
        **named,
    }
    return ConnectorSide("home", secret, "one", **given)


def server(secret: str | None = SECRET, channel: bytes = b"tls") -> ServerSide:
    """One that knows "home"."""
    known = {"home": secret}
    return ServerSide(known.get, b"s" * 32, channel, "a decoy")


def line(**said: Any) -> bytes:
    """A line of the handshake."""
    return json.dumps(said).encode() + b"\n"


class HandshakeTests(SynchronousTestCase):
    def refused(self, side: Any, data: bytes, word: str) -> HandshakeFailed:
        """What is said of `data`."""
        failed: HandshakeFailed = self.assertRaises(HandshakeFailed, side.receive, data)
        self.assertEqual(failed.word, word)
        return failed

    def test_welcome(self) -> None:
        """Who knows the secret is let in, and knows that the server does; what follows is kept for HTTP/2."""
        one, other = connector(), server()
        challenge = other.receive(one.hello)
        self.assertIsNone(other.offer)
        answer = one.receive(challenge)
        self.assertNotIn(SECRET.encode(), one.hello + challenge + answer)
        self.assertEqual(other.receive(answer), b"")
        self.assertEqual((other.name, other.instance), ("home", "one"))
        assert other.offer is not None
        self.assertEqual(other.offer.services, ("web", "ssh"))
        self.assertEqual(
            [wish.where for wish in other.offer.wishes],
            ["host home.example.com", "port 22"],
        )
        last = other.welcome(Welcome(("host home.example.com",), {"port 22": "no"}, 9))
        self.assertEqual(one.receive(last + b"PRI"), b"")
        self.assertEqual(
            one.welcome, Welcome(("host home.example.com",), {"port 22": "no"}, 9.0)
        )
        self.assertEqual(one.rest, b"PRI")

    def test_byte_by_byte(self) -> None:
        """It does not matter how the bytes come."""
        one, other = connector(), server()
        answers = b"".join(other.receive(bytes((byte,))) for byte in one.hello)
        offers = b"".join(one.receive(bytes((byte,))) for byte in answers)
        for byte in offers:
            other.receive(bytes((byte,)))
        for byte in other.welcome(Welcome()):
            one.receive(bytes((byte,)))
        self.assertEqual(one.welcome, Welcome())

    def test_wrong_secret(self) -> None:
        """A wrong secret, and a name that nobody has, are refused with the same words at the same place."""
        told = []
        for one, other in (
            (connector("another secret!!"), server()),
            (connector(), server(None)),
        ):
            challenge = other.receive(one.hello)
            failed = self.refused(other, one.receive(challenge), DENIED)
            told.append((len(challenge), refusal(failed)))
            self.assertFalse(failed.told)
        self.assertEqual(*told)
        failed = self.refused(one, told[0][1], DENIED)
        self.assertTrue(failed.told)
        self.assertEqual(failed.retry, 30.0)

    def test_false_server(self) -> None:
        """A server that does not know the secret is not believed, and learns nothing that it could use."""
        one, other = connector(), server("what I would guess")
        answer = one.receive(other.receive(one.hello))
        self.refused(other, answer, DENIED)
        self.refused(one, other.welcome(Welcome()), DENIED)

    def test_other_channel(self) -> None:
        """A proof that somebody passes on over a connection of his own is worth nothing."""
        one, other = connector(channel=b"of one"), server(channel=b"of the other")
        self.refused(other, one.receive(other.receive(one.hello)), DENIED)

    def test_replay(self) -> None:
        """What was heard once is no answer to the next challenge."""
        one, other = connector(), server()
        heard = one.receive(other.receive(one.hello))
        again = ServerSide({"home": SECRET}.get, b"t" * 32, b"tls", "a decoy")
        again.receive(one.hello)
        self.refused(again, heard, DENIED)

    def test_reflection(self) -> None:
        """The two sides prove different things: an answer cannot be sent back."""
        nonces = (b"s" * 32, b"c" * 32)
        self.assertNotEqual(
            proof(SECRET, b"server", "home", nonces, b""),
            proof(SECRET, b"connector", "home", nonces, b""),
        )

    def test_certificate(self) -> None:
        """Where a certificate does, no secret is needed."""
        one, other = connector(""), server("")
        other.receive(one.receive(other.receive(one.hello)))
        one.receive(other.welcome(Welcome()))
        self.assertIsNotNone(one.welcome)

    def test_told(self) -> None:
        """A server may say at once that there will be nothing."""
        failed = self.refused(
            connector(), refusal(HandshakeFailed(BUSY, "later", 5.0)), BUSY
        )
        self.assertEqual((failed.retry, failed.detail), (5.0, "later"))
        for retry in ("soon", 10**400, float("inf"), float("nan")):
            words = line(error="busy", detail="x", retry=retry)
            self.assertEqual(self.refused(connector(), words, BUSY).retry, 0.0)

    def test_version(self) -> None:
        """Another version is refused by that name, on both sides."""
        hello = {"name": "home", "instance": "one", "nonce": "00" * 32}
        self.refused(server(), line(lolly=2, **hello), VERSION_UNKNOWN)
        self.refused(server(), line(**hello), VERSION_UNKNOWN)
        self.refused(connector(), line(lolly=2, nonce="00" * 32), VERSION_UNKNOWN)

    def test_malformed_hello(self) -> None:
        """What is no hello is refused before anything is made of it."""
        good = {"lolly": 1, "name": "home", "instance": "one", "nonce": "00" * 32}
        for wrong in (
            {"name": 5},
            {"name": ""},
            {"name": "x" * 65},
            {"instance": None},
            {"instance": "\ud800"},
            {"name": "a\udfff"},
            {"nonce": "\ud800" * 64},
            {"more": [{"\ud800": 1}]},
            {"nonce": "00" * 31},
            {"nonce": "zz" * 32},
        ):
            self.refused(server(), line(**{**good, **wrong}), MALFORMED)
        for data in (b"GET / HTTP/1.1\r\n", b"[1]\n", b"\x16\x03\x01\n"):
            self.refused(server(), data, MALFORMED)
        self.refused(server(), b"[" * 60000 + b"\n", MALFORMED)

    def test_endless(self) -> None:
        """A line has a limit, with its end or without."""
        side = server()
        self.assertEqual(side.receive(b" " * MOST_LINE_BYTES), b"")
        self.refused(side, b" ", MALFORMED)
        self.refused(server(), b" " * MOST_LINE_BYTES + b" \n", MALFORMED)

    def test_malformed_offer(self) -> None:
        """What is no offer is refused."""
        nonces = (b"s" * 32, b"c" * 32)
        good = proof(SECRET, b"connector", "home", nonces, b"tls")
        for said in (
            {"proof": 5},
            {"services": "web"},
            {"services": [1]},
            {"services": [""]},
            {"services": ["x"] * 1001},
            {"publish": ["web"]},
            {"publish": [{"service": "web", "host": 5}]},
            {"publish": [{"service": "web", "host": "\ud800"}]},
            {"publish": [{"service": "web", "host": "x" * 256}]},
            {"publish": [{"service": "web", "port": "22"}]},
            {"publish": [{"service": "web", "port": True}]},
            {"publish": [{"service": "web", "port": 65536}]},
            {"publish": [{"service": "web"}]},
            {"publish": [{"service": "web", "host": "a", "port": 1}]},
            {"publish": [{"host": "a"}]},
        ):
            side = server()
            side.receive(connector().hello)
            self.refused(side, line(**{"proof": good, **said}), MALFORMED)

    def test_more(self) -> None:
        """Nothing comes behind an offer until it was answered."""
        for more in (b"x", line(more=1)):
            one, other = connector(), server()
            answer = one.receive(other.receive(one.hello))
            self.refused(other, answer + more, MALFORMED)

    def test_malformed_welcome(self) -> None:
        """What is no welcome is not believed."""
        wrong: tuple[dict[str, Any], ...] = (
            {"granted": 5},
            {"refused": []},
            {"heartbeat": "often"},
            {"heartbeat": 10**400},
            {"heartbeat": float("nan")},
            {"proof": None},
        )
        for said in wrong:
            one, other = connector(), server()
            other.receive(one.receive(other.receive(one.hello)))
            welcome = {**json.loads(other.welcome(Welcome())), **said}
            self.refused(one, line(**welcome), MALFORMED)

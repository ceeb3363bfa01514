"""Tests of `type = "request_id"`: who gets an id, whose word is taken, where it shows."""

from __future__ import annotations

import re
from random import Random

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.proxy.identity import Identities, Identity, RequestIds
from lolly_tx.proxy.records.record import exchange_entry
from tests.proxy.middleware.behind import REST, behind, settings
from tests.proxy.world import OK, WorldTestCase, answer, get

IDS = 'type = "request_id"'
LINE = re.compile(rb"(?i)\nx-request-id: ([^\r]*)\r")


class RequestIdTests(WorldTestCase):
    def test_everywhere(self) -> None:
        """Target, client and log have the same new id, whatever the client and the target say."""
        world = behind(self, IDS)
        client = world.client()
        client.send(get("/", "x_request_id: mine\r\nX-Request-Id: mine\r\n"))
        target = world.accept()
        [id] = LINE.findall(target.take().replace(b"_", b"-"))
        self.assertRegex(id, rb"^[0-9a-f]{32}$")
        target.send(answer(b"ok", extra="X-Request-Id: its\r\n"))
        self.assertEqual(LINE.findall(client.take()), [id])
        entry = exchange_entry(world.ended[0], "c", 0.0, 0.0)
        assert entry.identity is not None
        self.assertEqual(entry.identity.request_id, id)
        client.send(get())
        [other] = LINE.findall(target.take())
        self.assertNotEqual(other, id)
        target.send(OK)

    def test_trust(self) -> None:
        """With `trust` a well-formed id of the client is taken over, a malformed one never."""
        world = behind(self, f'{IDS}\ntrust = true\nheader = "X-Id"')
        client = world.client()
        client.send(get("/", "X-Id: abc-1\r\n"))
        target = world.accept()
        self.assertIn(b"X-Id: abc-1\r\n", target.take())
        target.send(OK)
        client.send(get("/", 'X-Id: a"b\r\n'))
        self.assertNotIn(b'a"b', target.take())
        target.send(OK)

    def test_variable(self) -> None:
        """Others on the way have it as $request_id, also for answers of our own."""
        tag = 'type = "headers"\nrequest = { set = { X-Tag = "$request_id" } }'
        deny = 'type = "body_limit"\nsize = 0'
        world = behind(self, IDS, tag)
        client = world.client()
        client.send(get())
        sent = world.accept().take()
        [id] = LINE.findall(sent)
        self.assertIn(b"X-Tag: " + id, sent)
        world = behind(self, IDS, deny)
        seen: list[Identity | None] = []
        world.proxy.own.on_refusal = lambda *told: seen.append(told[5])
        client = world.client()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
        [id] = LINE.findall(client.take())
        assert seen[0] is not None
        self.assertEqual(seen[0].request_id, id)

    def test_the_table(self) -> None:
        """With [request_id] the id is that of the exchange, also where only a variable asks for it."""
        tag = 'type = "headers"\nrequest = { set = { X-Tag = "$request_id" } }'
        world = behind(self, tag)
        ids = RequestIds("X-Request-Id", TrustedPeers(()), Random(2))
        identities = world.proxy.own.identities = Identities(ids, None)
        world.forwarder.identities = identities
        chain: object = world.proxy.table.only
        chain.end.lead_to(world.forwarder)  # type: ignore[attr-defined]  # a chain's end
        world.client().send(get())
        sent = world.accept().take()
        [id] = LINE.findall(sent)
        self.assertIn(b"X-Tag: " + id, sent)

    def test_not_twice(self) -> None:
        """Beside the [request_id] table it is refused."""
        with self.assertRaises(ConfigErrors) as caught:
            settings(IDS, rest="[request_id]\n" + REST)
        self.assertIn("gives every request an id already", str(caught.exception))

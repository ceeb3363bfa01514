"""Tests of `type = "rate_limit"`: who is refused, when to come again, and waiting in turn."""

from __future__ import annotations

from typing import Any

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.middleware.rate_limit import RateLimit
from lolly_tx.proxy.middleware.rate_limit import RateLimitFactory
from tests.proxy.middleware.behind import behind, deps_of, settings
from tests.proxy.world import GET, OK, WorldTestCase, get

TEN = 'type = "rate_limit"\nrate = "10/s"\n'


class RateLimitTests(WorldTestCase):
    def statuses(
        self,
        world: Any,
        count: int,
        client: str = "192.0.2.1",
        request: bytes = GET,
    ) -> list[bytes]:
        """Of so many requests on one connection; their target answers at once."""
        line = world.client(client)
        found = []
        for _ in range(count):
            line.send(request)
            if world.connects():
                self.target = world.accept()
            if world.in_flight:
                self.target.send(OK)
            found.append(line.take()[9:12])
        return found

    def test_refuses(self) -> None:
        """Beyond the rate it is 429, with the time to come again, and then one comes in."""
        world = behind(self, TEN)
        self.assertEqual(self.statuses(world, 12), [b"200"] * 10 + [b"429"] * 2)
        line = world.client()
        line.send(GET)
        got = line.take()
        for field in (
            b"Retry-After: 1\r\n",
            b"RateLimit-Limit: 10\r\n",
            b"RateLimit-Remaining: 0\r\n",
            b"RateLimit-Reset: 1\r\n",
        ):
            self.assertIn(field, got)
        world.pass_time(1.05)
        self.assertEqual(self.statuses(world, 1), [b"200"])

    def test_clients_apart(self) -> None:
        """Clients do not share; addresses of one /64 do."""
        world = behind(self, 'type = "rate_limit"\nrate = "1/m"\n')
        for client, status in (
            ("192.0.2.1", b"200"),
            ("192.0.2.2", b"200"),
            ("192.0.2.1", b"429"),
            ("2001:db8::1", b"200"),
            ("2001:db8::2", b"429"),
            ("2001:db8:0:1::2", b"200"),
        ):
            self.assertEqual(self.statuses(world, 1, client=client), [status], client)

    def test_key(self) -> None:
        """The key may be made of any variables."""
        world = behind(
            self,
            'type = "rate_limit"\nrate = "1/m"\nkey = "$header_x_key"\nstatus = 503',
        )
        for key, status in (("a", b"200"), ("b", b"200"), ("a", b"503")):
            request = get("/", f"X-Key: {key}\r\n")
            self.assertEqual(self.statuses(world, 1, request=request), [status], key)

    def test_delay(self) -> None:
        """With delay requests wait for their turn, some of them, and who goes is not waited for."""
        world = behind(
            self, 'type = "rate_limit"\nrate = "10/s"\nburst = 2\ndelay = true'
        )
        self.assertEqual(self.statuses(world, 1), [b"200"])
        second, third = world.client(), world.client()
        second.send(GET)
        self.assertEqual(world.in_flight, {})
        third.send(GET)
        self.assertIn(b" 429 ", third.take())
        world.pass_time(0.15)
        self.target.send(OK)
        self.assertEqual(second.take(), OK)
        second.send(GET)
        second.lose()
        world.pass_time(1)
        self.assertEqual(world.in_flight, {})
        self.assertEqual([one[1] for one in world.refusals], [429, 499])

    def test_reload(self) -> None:
        """What is known of keys stays while the rate does; workers each have their part."""
        world = self.world()
        config = settings(TEN)
        factory = RateLimitFactory()
        made = config.middlewares["m0"].settings
        before = factory.build(made, deps_of(world, config, "m0"))
        after = factory.build(made, deps_of(world, config, "m0", before=before))
        self.assertIs(after.rates, before.rates)
        other = settings(TEN.replace("10", "20")).middlewares["m0"].settings
        changed = factory.build(other, deps_of(world, config, "m0", before=after))
        self.assertIsNot(changed.rates, before.rates)
        part = factory.build(made, deps_of(world, config, "m0", workers=3)).rates.rate
        self.assertEqual((part.count, part.burst), (3, 3))

    def test_facts(self) -> None:
        """`lolly check` says what a limit admits, and doubts one that all share."""
        made: RateLimit = settings(TEN).middlewares["m0"].settings
        self.assertEqual(
            [*made.facts()],
            ["at most 10 in 1 s, 30 in 3 s, 600 in 60 s for each $client"],
        )
        self.assertEqual([*made.doubts()], [])
        shared = settings(f'{TEN}key = "all"').middlewares["m0"].settings
        self.assertEqual(len([*shared.doubts()]), 1)

    def test_errors(self) -> None:
        """What is no rate is named."""
        for rate in ("10", "0/s", "x/s", "10/0s", "10 per second"):
            with self.assertRaises(ConfigErrors) as raised:
                settings(f'type = "rate_limit"\nrate = "{rate}"')
            self.assertIn("middleware.m0.rate", str(raised.exception))

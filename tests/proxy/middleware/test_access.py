"""Tests of `type = "access"`: who may come in, by address and by country."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.middleware.access import Access
from lolly_tx.proxy.middleware.access import AccessMiddleware, Countries
from tests.proxy.middleware.behind import REST, behind, settings
from tests.proxy.world import OK, WorldTestCase, get


class NetworkTests(WorldTestCase):
    def admitted(self, table: str, client: str, **more: Any) -> bool:
        """Whether a client of that address comes in."""
        world = behind(self, f'type = "access"\n{table}', **more)
        line = world.client(client)
        line.send(get())
        if world.connects():
            world.accept().send(OK)
            self.assertEqual(line.take(), OK)
            return True
        self.assertIn(b"HTTP/1.1 403 Forbidden\r\n", line.take())
        self.assertEqual([one[1] for one in world.refusals], [403])
        return False

    def test_lists(self) -> None:
        """Deny goes before allow, and whoever no list names is let in unless somebody is allowed by name."""
        allow, deny = (
            'allow = ["10.0.0.0/8", "2001:db8::/32"]',
            'deny = ["10.9.0.0/16"]',
        )
        for table, client, comes in (
            (allow, "10.1.2.3", True),
            (allow, "2001:db8::7", True),
            (allow, "::ffff:10.1.2.3", True),
            (allow, "192.0.2.1", False),
            (f'{allow}\ndefault = "allow"', "192.0.2.1", True),
            (deny, "10.9.1.1", False),
            (deny, "192.0.2.1", True),
            (f"{allow}\n{deny}", "10.9.1.1", False),
            (f"{allow}\n{deny}", "10.8.1.1", True),
            (f"{allow}\n{deny}", "192.0.2.1", False),
            ('default = "deny"', "192.0.2.1", False),
            (f'{deny}\ndefault = "deny"', "192.0.2.1", False),
        ):
            self.assertEqual(self.admitted(table, client), comes, (table, client))

    def test_untrusted_word(self) -> None:
        """What a client says of itself is not believed."""
        world = behind(self, 'type = "access"\nallow = ["10.0.0.0/8"]')
        line = world.client("192.0.2.1")
        line.send(get("/", "X-Forwarded-For: 10.1.1.1\r\n"))
        self.assertIn(b" 403 ", line.take())

    def test_trusted_word(self) -> None:
        """What a trusted proxy says is."""
        world = behind(
            self,
            'type = "access"\nallow = ["10.0.0.0/8"]',
            trusted=(ip_network("192.0.2.1"),),
        )
        line = world.client("192.0.2.1")
        line.send(get("/", "X-Forwarded-For: 10.1.1.1\r\n"))
        world.accept().send(OK)
        self.assertEqual(line.take(), OK)


class CountryTests(WorldTestCase):
    def database(self) -> str:
        """A database in which 192.0.2.0/24 is in Germany and 198.51.100.0/24 in France."""
        from mmdb_writer import MMDBWriter
        from netaddr import IPSet  # type: ignore[import-untyped]

        writer = MMDBWriter(ip_version=4, database_type="Test-Country")
        writer.insert_network(IPSet(["192.0.2.0/24"]), {"country": {"iso_code": "DE"}})
        registered = {"registered_country": {"iso_code": "FR"}}
        writer.insert_network(IPSet(["198.51.100.0/24"]), registered)
        path: str = self.mktemp()
        writer.to_db_file(path)
        return path

    def test_countries(self) -> None:
        """Countries are allowed and denied, after what networks say of themselves."""
        countries = Countries(self.database())
        germany, france, nowhere = "192.0.2.1", "198.51.100.1", "203.0.113.1"
        for table, in_ in (
            (Access(country_allow=("DE",)), {germany}),
            (Access(country_deny=("DE",)), {france, nowhere}),
            (Access(country_allow=("DE", "FR"), country_deny=("FR",)), {germany}),
            (
                Access(country_allow=("FR",), default="allow"),
                {germany, france, nowhere},
            ),
        ):
            middleware = AccessMiddleware(table, countries)
            found = {
                one for one in (germany, france, nowhere) if middleware.admits(one)
            }
            self.assertEqual(found, in_, table)

    def test_doubts(self) -> None:
        """Who is kept out only because others are allowed is worth a warning; who has said what holds gets none."""
        allowed = (ip_network("10.0.0.0/8"),)
        [said] = Access(allow=allowed).doubts()
        self.assertIn('say default = "deny", or "allow"', said)
        self.assertEqual(len(list(Access(country_allow=("DE",)).doubts())), 1)
        self.assertEqual(list(Access(allow=allowed, default="deny").doubts()), [])
        self.assertEqual(list(Access(deny=allowed).doubts()), [])

    def test_no_database(self) -> None:
        """A database that cannot be read, or is none, is an error with its path."""
        with self.assertRaises(OSError):
            Countries("/nonexistent.mmdb")
        path = self.mktemp()
        Path(path).write_bytes(b"no database")
        with self.assertRaisesRegex(ValueError, path):
            Countries(path)

    def test_built(self) -> None:
        """The database of [geo] is read when countries matter."""
        path = Path(self.database()).resolve()
        table = 'type = "access"\ncountry_allow = ["de"]\n'
        rest = f'{REST}[geo]\ndatabase = "{path}"\n'
        config = settings(table, rest=rest, **{str(path): ""})
        world = behind(self, config=config)
        line = world.client("192.0.2.1")
        line.send(get())
        world.accept().send(OK)
        self.assertEqual(line.take(), OK)

    def test_errors(self) -> None:
        """Countries without a database, and what is no country."""
        for table, said in (
            ('country_allow = ["DE"]', "nobody knows where addresses are"),
            ('country_deny = ["Germany"]', "two letters"),
            ('default = "maybe"', "default"),
        ):
            with self.assertRaises(ConfigErrors) as raised:
                settings(f'type = "access"\n{table}')
            self.assertIn(said, str(raised.exception))

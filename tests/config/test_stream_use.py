"""Tests of the settings of streams: what they may use, what is refused, what follows."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import ConfigErrors
from lolly_tx.config.facts.consequences import consequences
from tests.config.samples import read

POOL = '[pool.p]\ntargets = ["tcp://127.0.0.1:3", "tcp://127.0.0.1:2"]\n'
STREAM = '[stream.s]\nendpoint = "tcp:1"\npool = "p"\n'


class UseTests(SynchronousTestCase):
    def refused(self, text: str) -> str:
        """What is said of it."""
        with self.assertRaises(ConfigErrors) as raised:
            read(text)
        return str(raised.exception)

    def test_usable(self) -> None:
        """Middleware that decides by the client, or paces bytes, is for streams as well."""
        use = (
            'use = ["office", { type = "bandwidth", rate = "1M" },'
            ' { type = "concurrency", limit = 5, key = "all" },'
            ' { type = "rate_limit", rate = "5/s", key = "$listener $client" }]\n'
            '[middleware.office]\ntype = "access"\nallow = ["10.0.0.0/8"]\n'
        )
        [stream] = read(STREAM + use + POOL).streams.values()
        self.assertEqual(len(stream.use), 4)

    def test_others(self) -> None:
        """All others are refused by name, in a table or on the spot."""
        text = STREAM + 'use = ["h", { type = "compress" }]\n' + POOL
        said = self.refused(text + '[middleware.h]\ntype = "headers"\n')
        self.assertIn('stream.s.use[0]: "headers" works on HTTP requests', said)
        self.assertIn('stream.s.use[1]: "compress" works on HTTP requests', said)
        self.assertIn("can use access, concurrency, rate_limit, bandwidth", said)
        self.assertIn(
            "no middleware has this name", self.refused(STREAM + 'use = "x"\n' + POOL)
        )

    def test_datagrams(self) -> None:
        """Those of datagrams have the same, but for what has senders wait."""
        text = '[stream.s]\nendpoint = "udp:1"\npool = "p"\naccess_log = {}\n'
        pool = '[pool.p]\ntargets = ["udp://10.0.0.1:53"]\n'
        [stream] = read(
            f'{text}use = [{{ type = "access", allow = ["10.0.0.0/8"] }}]\n{pool}'
        ).streams.values()
        self.assertEqual(len(stream.use), 1)
        said = self.refused(
            f'{text}use = [{{ type = "bandwidth", rate = "1M" }}]\n{pool}'
        )
        self.assertIn('stream.s.use[0]: "bandwidth" has who sends wait', said)

    def test_keys(self) -> None:
        """Keys are made of what is known when a client has connected."""
        use = 'use = [{ type = "concurrency", limit = 1, key = "$header_x" }]\n'
        said = self.refused(STREAM + use + POOL)
        self.assertIn("stream.s.use[0].key: has $header_x", said)
        self.assertIn("$client, $client_port, $listener", said)


class LogTests(SynchronousTestCase):
    def test_own(self) -> None:
        """A stream may have a log of its own, or none."""
        log = 'access_log = { path = "/tmp/s.log", format = "$client $ended" }\n'
        [stream] = read(STREAM + log + POOL).streams.values()
        assert stream.access_log
        self.assertEqual(stream.access_log.format, "$client $ended")
        [stream] = read(STREAM + "access_log = false\n" + POOL).streams.values()
        self.assertIs(stream.access_log, False)

    def test_rules(self) -> None:
        """Its settings are as strict as those of others."""
        log = 'access_log = { fields = { a = "$client" } }\n'
        with self.assertRaises(ConfigErrors) as raised:
            read(STREAM + log + POOL)
        self.assertIn("stream.s.access_log.fields", str(raised.exception))


class ConsequenceTests(SynchronousTestCase):
    def said(self, text: str) -> list[str]:
        """Of streams."""
        found = consequences(read(text))
        return [one.text for one in found if one.about.startswith("stream s")]

    def test_wait(self) -> None:
        """How long a client may have to wait is said in advance, by tries, connects and the queue."""
        said = self.said(STREAM + POOL)
        self.assertIn(
            "a client of pool p waits 10s at most until it is connected, or cut (2 tries)",
            said,
        )
        more = "queue.timeout = 3\ntimeout.connect = 1\nretry.tries = 1\n"
        said = self.said(STREAM + POOL + more)
        self.assertTrue(
            any("waits 4s at most" in one and "1 try" in one for one in said)
        )

    def test_meaningless(self) -> None:
        """Settings of pools that mean nothing to sessions are named."""
        for more, said in (
            ("hedge = {}\n", "has a hedge"),
            (
                'balance = "sticky"\nsticky.key = "0123456789abcdef"\n',
                "sticky by cookies",
            ),
            (
                'balance = "consistent_hash"\nhash_key = "header:X"\n',
                'has hash_key = "header:X"',
            ),
            ('health.path = "/x"\n', "is checked by HTTP"),
        ):
            found = self.said(STREAM + POOL + more)
            self.assertTrue(any(said in one for one in found), (said, found))

    def test_pool_is_used(self) -> None:
        """A pool that a stream leads to needs no route."""
        found = [one.text for one in consequences(read(STREAM + POOL))]
        self.assertNotIn("no route leads to it", found)

    def test_used(self) -> None:
        """Middleware that only streams use is used."""
        text = STREAM + 'use = "few"\n' + POOL
        text += '[middleware.few]\ntype = "concurrency"\nlimit = 3\n'
        found = [f"{one.about}: {one.text}" for one in consequences(read(text))]
        self.assertIn("stream s: clients pass few", found)
        self.assertFalse(any("no stream uses it" in one for one in found))

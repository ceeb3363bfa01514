"""Tests of config.textproviders and config.providedtexts: where texts come from, and what they may say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.load import parse
from lolly_tx.config.provided import Provided, with_provided
from lolly_tx.config.providedtexts import MOST_POOLS, MOST_TARGETS, Text, read_texts
from lolly_tx.config.providers import text_providers_of
from lolly_tx.config.shown import shown
from lolly_tx.config.texts.reading import Names
from tests.config.samples import faults, read

ONE = '[listener.web]\nendpoint = "tcp:8080"\n[variables]\nsite = "a.test"\n'
FILE = ONE + (
    '[admin]\nendpoint = "tcp:8081:interface=127.0.0.1"\n'
    '[middleware.office]\ntype = "strip_prefix"\nprefix = "/x"\n'
    '[[route]]\npath = "/own/"\npool = "own"\n'
    '[pool.own]\ntargets = ["http://10.0.0.1:80"]\n'
)
HTTP = '[provider.central]\ntype = "http"\nurl = "https://10.0.0.5/lolly.toml"\n'
ETCD = '[provider.central]\ntype = "etcd"\nurl = "http://127.0.0.1:2379"\nprefix = "/lolly/"\n'
POOL = '[pool.new]\ntargets = ["http://10.0.0.9:80"]\n'
ROUTE = '[[route]]\npath = "/new/"\npool = "new"\n'


class TextProviderTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """A URL, and for etcd a prefix; a listener needs no route of the file then, and nobody doubts it."""
        for text, place in (
            (HTTP, "https://10.0.0.5/lolly.toml"),
            (ETCD, "http://127.0.0.1:2379#/lolly/"),
        ):
            config = read(ONE + text)
            [provider] = text_providers_of(config.providers).values()
            self.assertEqual(provider.place, place)
            said = [str(one) for one in consequences(config)]
            self.assertTrue(any(place in one for one in said), said)
            self.assertFalse(any("404" in one for one in said), said)

    def test_wrong(self) -> None:
        """What is wrong is said with its key."""
        cases = {
            "[provider.x]\n": 'the key "type" is missing',
            '[provider.x]\ntype = "etdc"\n': 'did you mean "etcd"?',
            "[provider.x]\ntype = 3\n": "provider.x.type",
            '[provider.x]\ntype = "etcd"\nurl = "http://a:1"\n': '"prefix" is missing',
            '[provider.x]\ntype = "http"\nurl = "ftp://a"\n': "must be a URL",
            HTTP + "colour = 1\n": "unknown key",
            HTTP + 'token = "a"\ntoken_file = "b"\n': "in place of `token`",
            HTTP.replace("https", "http") + 'token = "a"\n': "in the clear",
            HTTP.replace("https", "http") + 'token_file = "a"\n': "token_file",
            "[provider]\nx = 1\n": "must be a table",
            "provider = 1\n": "named tables",
        }
        for text, part in cases.items():
            found = faults(text + ONE)
            self.assertTrue(any(part in one for one in found), (text, found))

    def test_doubts(self) -> None:
        """Without a state folder, and without TLS, it is said what that means; a token is nowhere."""
        plain = HTTP.replace("https", "http")
        said = [str(one) for one in consequences(read(ONE + plain)) if one.warning]
        self.assertTrue(any("without state_dir" in one for one in said), said)
        self.assertTrue(any("without TLS" in one for one in said), said)
        config = read('state_dir = "s"\n' + ONE + HTTP + 'token = "s3cret"\n')
        said = [str(one) for one in consequences(config)]
        self.assertFalse(any("state_dir" in one or "TLS:" in one for one in said), said)
        self.assertNotIn("s3cret", repr(config) + repr(shown(config)) + repr(said))


class TextTests(SynchronousTestCase):
    def setUp(self) -> None:
        """The settings of a file."""
        self.config = parse(FILE + HTTP, "lolly.toml")

    def read(self, *texts: str, others: tuple[str, ...] = ()) -> Provided:
        """Each text has a name with its number."""
        named = [Text(f"https://x#{number}", text) for number, text in enumerate(texts)]
        return read_texts(named, self.config, Names(), others)

    def wrong(self, *texts: str) -> list[str]:
        """All that is wrong with them."""
        with self.assertRaises(ConfigErrors) as caught:
            self.read(*texts)
        return [str(one) for one in caught.exception.problems]

    def test_beside_the_file(self) -> None:
        """Routes and pools of several texts; a route may lead to a pool of another text, or of the file."""
        own = '[[route]]\npath = "/more/"\npool = "own"\nuse = ["office"]\n'
        provided = self.read(ROUTE + own, POOL)
        whole = with_provided(self.config, [provided])
        self.assertEqual(
            [(one.path, one.pool) for one in whole.routes],
            [("/own/", "own"), ("/new/", "new"), ("/more/", "own")],
        )
        self.assertEqual(sorted(whole.pools), ["new", "own"])

    def test_nothing(self) -> None:
        """A comment alone brings nothing."""
        self.assertEqual(self.read("# nothing yet\n"), Provided())

    def test_where(self) -> None:
        """A mistake is named with its source, line, key and value; all of them are, of all texts."""
        self.assertEqual(
            self.wrong(POOL + "colour = 3\n", ROUTE + "rank = true\n"),
            [
                "https://x#0:3: pool.new.colour: unknown key (got 3)",
                "https://x#1:4: route[0].rank: must be a whole number, not a boolean (got true)",
            ],
        )

    def test_wrong(self) -> None:
        """What a file would be refused for is refused."""
        cases = {
            "[[route]\n": "no valid TOML",
            '[listener.more]\nendpoint = "tcp:1"\n': "belongs in the file",
            'include = ["x"]\n': "belongs in the file",
            "route = 3\n": "must be written as [[route]]",
            "pool = 3\n": "named tables",
            ROUTE: "no pool has this name",
            ROUTE + ROUTE + POOL: "same listener, host, path",
            '[[route]]\npath = "/own/"\npool = "own"\n': "as a route in lolly.toml",
            "[pool.own]\ntargets = []\n": "is defined already in lolly.toml",
            POOL
            + '[[route]]\npath = "/a"\npool = "new"\nuse = ["nope"]\n': "no middleware",
            POOL
            + '[[route]]\npath = "/a"\npool = "new"\nlistener = ["w"]\n': "no listener",
            "[pool.new]\ntargets = []\n": "needs at least one target",
        }
        for text, part in cases.items():
            found = self.wrong(text)
            self.assertTrue(any(part in one for one in found), (text, found))
        for text, part in (
            (
                "".join(f"[pool.p{n}]\n" for n in range(MOST_POOLS + 1)),
                f"at most {MOST_POOLS} pools",
            ),
            (
                "[pool.new]\ntargets = ["
                + ",".join(f'"http://10.0.0.1:{n}"' for n in range(1, MOST_TARGETS + 2))
                + "]\n",
                f"at most {MOST_TARGETS} targets",
            ),
        ):
            (one,) = self.wrong(text)
            self.assertIn(part, one)
        self.assertIn("is defined already in https://x#0:1", self.wrong(POOL, POOL)[0])
        with self.assertRaisesRegex(ConfigErrors, "another provider"):
            self.read(POOL, others=("new",))

    def test_nothing_of_this_machine(self) -> None:
        """No file, no folder, no socket, no variable of the environment, and no socket of this proxy."""
        cases = {
            '[[route]]\npath = "/a"\nfiles = { root = "/etc" }\n': "a file or a folder of this machine",
            '[pool.new]\ntargets = [{ endpoint = "unix:/run/docker.sock" }]\n': "names a socket",
            '[pool.new.discover]\ntype = "file"\npath = "/etc/passwd"\n': "this machine",
            POOL + '[pool.new.tls]\nca = "/etc/ssl/private/key.pem"\n': "this machine",
            ROUTE
            + POOL
            + '[[route]]\npath = "/b"\naccess_log = { path = "/root/.bashrc" }\npool = "new"\n': "this machine",
            '[[route]]\npath = "/a"\npool = "own"\nuse = [{ type = "basic_auth", file = "/x" }]\n': "this machine",
            '[[route]]\npath = "/a"\nrespond = { body = "${HOME}" }\n': "environment is for files",
            '[pool.new]\ntargets = ["http://127.0.0.1:8081"]\n': "the admin endpoint of this proxy",
            '[pool.new]\ntargets = ["http://127.0.0.1:8080"]\n': 'the listener "web"',
        }
        for text, part in cases.items():
            found = self.wrong(text)
            self.assertTrue(any(part in one for one in found), (text, found))

    def test_variables(self) -> None:
        """Those of the file are there."""
        text = '[[route]]\npath = "/a"\nrespond = { body = "at $site" }\n'
        [route] = self.read(text).routes
        assert route.respond is not None
        self.assertIn("at a.test", repr(route.respond))

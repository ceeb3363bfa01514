"""Tests of lolly_tx.config.discovering: `[pool.NAME.discover]`."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import Names
from lolly_tx.config.discoveries import (
    Consul,
    Dns,
    Etcd,
    File,
    Http,
    Kubernetes,
    Srv,
)
from lolly_tx.config.discovering import Discover
from tests.config.samples import POOL, ROUTE, WEB, WHOLE, faults, read


def discover(lines: str) -> Discover:
    """The table with these lines, of a pool that lists no targets."""
    text = f"{WEB}{ROUTE}[pool.app]\n[pool.app.discover]\n{lines}\n"
    found = read(text).pools["app"].discover
    assert found is not None
    return found


def fault(lines: str) -> str:
    """The one problem of a table."""
    found = faults(f"{WHOLE}[pool.app.discover]\n{lines}\n")
    assert len(found) == 1, found
    return found[0]


class DiscoverTests(SynchronousTestCase):
    def test_types(self) -> None:
        """Each type has its settings; what all have has defaults."""
        tables = {
            'type = "dns"\nname = "api.test."\nport = 80': Dns("api.test", 80),
            'type = "srv"\nname = "_http._tcp.api.test"': Srv("_http._tcp.api.test"),
            'type = "file"\npath = "t.json"': File("/etc/lolly/t.json"),
            'type = "http"\nurl = "https://a.test/t"': Http("https://a.test/t"),
            'type = "etcd"\nurl = "http://[::1]:2379"\nprefix = "/a/"': Etcd(
                "http://[::1]:2379", "/a/"
            ),
            'type = "consul"\nurl = "http://a:8500"\nservice = "api"': Consul(
                "http://a:8500", "api"
            ),
            'type = "kubernetes"\nservice = "api"\nport = 8080': Kubernetes(
                "api", "default", "8080"
            ),
            'type = "kubernetes"\nservice = "api"\nport = "web"\nnamespace = "b"\nurl = "https://[fd00::1]:6443"\n'
            'token_file = "t"\nca = ""\nzone = "a"\nwatch = "all"': Kubernetes(
                "api",
                "b",
                "web",
                zone="a",
                watch="all",
                url="https://[fd00::1]:6443",
                token_file="/etc/lolly/t",
            ),
        }
        for lines, settings in tables.items():
            found = discover(lines)
            self.assertEqual(found.settings, settings)
            self.assertEqual((found.interval, found.least, found.settle), (30, 1, 2))

    def test_common(self) -> None:
        """What all types have may be set."""
        found = discover(
            'type = "dns"\nname = "a"\nport = 1\ninterval = "5s"\nleast = 0\nsettle = 0\n'
            'scheme = "tls"\nresolvers = ["10.0.0.2", "[::1]:5353"]'
        )
        self.assertEqual((found.interval, found.least, found.settle), (5.0, 0, 0.0))
        self.assertEqual(found.settings.scheme, "tls")
        self.assertEqual(found.settings.resolvers, (("10.0.0.2", 53), ("::1", 5353)))

    def test_wrong(self) -> None:
        """What is wrong is told with its key."""
        cases = {
            "": 'the key "type" is missing',
            'type = "dsn"\nname = "a"\nport = 1': 'did you mean "dns"?',
            'type = 3\nname = "a"': "discover.type",
            'type = "dns"\nname = "a"': 'the key "port" is missing',
            'type = "dns"\nname = "a b"\nport = 1': "discover.name",
            'type = "dns"\nname = "a"\nport = 0': "discover.port",
            'type = "dns"\nname = "a"\nport = 1\nsheme = "http"': '"scheme"',
            'type = "dns"\nname = "a"\nport = 1\nresolvers = ["ns.test"]': "IP address",
            'type = "dns"\nname = "a"\nport = 1\nleast = -1': "discover.least",
            'type = "http"\nurl = "ftp://a"': "must be a URL",
            'type = "http"\nurl = "http://a:99999/"': "must be a URL",
            'type = "etcd"\nurl = "http://a"\nprefix = ""': "must not be empty",
            'type = "file"\npath = ""': "must name a file",
            'type = "kubernetes"\nservice = "Api"': "small letters",
            'type = "kubernetes"\nservice = "a"\nport = "Web!"': "name of a port",
            'type = "kubernetes"\nservice = "a"\nport = 0': "discover.port",
            'type = "kubernetes"\nservice = "a"\nurl = "k8s"': "must be a URL",
        }
        for lines, part in cases.items():
            self.assertIn(part, fault(lines), lines)
        self.assertIn("must be a table", faults(f"{WHOLE}discover = 1\n")[0])

    def test_tokens_are_not_shown(self) -> None:
        """They stand neither in errors nor in what is printed of the settings."""
        secret = 'type = "http"\nurl = "http://a/"\ntoken = "s3cret'
        self.assertNotIn("s3cret", fault(secret + '\\n"'))
        self.assertNotIn("s3cret", repr(discover(secret + '"')))

    def test_no_targets(self) -> None:
        """A pool lists targets, or says who finds them; what is wrong with these is told once."""
        text = f"{WEB}{ROUTE}[pool.app]\n"
        [missing] = faults(text)
        self.assertIn('"targets" is missing', missing)
        [wrong] = faults(f'{text}[pool.app.discover]\ntype = "x"\n')
        self.assertIn("nothing discovers by this type", wrong)
        [wrong] = faults(f'{text}targets = ["x"]\n')
        self.assertIn("must be a URL", wrong)

    def test_plugins(self) -> None:
        """A plugin's type has the settings of its class."""

        @attrs.frozen
        class Zoo:
            animal: str = "cat"

        names = Names(
            discovery=frozenset({"zoo"}), settings={("discovery", "zoo"): Zoo}
        )
        table = '[pool.app.discover]\ntype = "zoo"\n'
        text = f"{WEB}{ROUTE}{POOL}{table}"
        self.assertEqual(faults(f'{text}animal = "dog"\nleast = 2\n', names=names), [])
        [wrong] = faults(f"{text}animal = 3\n", names=names)
        self.assertIn("discover.animal", wrong)
        open_names = Names(discovery=None)
        self.assertEqual(faults(f"{text}anything = 3\n", names=open_names), [])

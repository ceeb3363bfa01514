"""What `lolly check` says of certificates that are asked for."""

from __future__ import annotations

import tempfile

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.load import parse

TEXT = """
state_dir = "state"
[acme.le]
directory = "https://127.0.0.1:1/dir"
challenge = "{challenge}"
[listener.web]
endpoint = "tcp:{http}"
[listener.secure]
endpoint = "tcp:port={https}:interface=127.0.0.1"
tls.acme = "le"
[[route]]
host = [{hosts}]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""


class AcmeFactsTests(SynchronousTestCase):
    def lines(self, more: str = "", **settings: str) -> list[str]:
        """What is said of authorities."""
        usual = {
            "challenge": "http-01",
            "http": "80",
            "https": "443",
            "hosts": '"a.example"',
        }
        text = TEXT.format(**usual | settings) + more
        found = map(str, consequences(parse(text, "/tmp/lolly.toml")))
        return [line for line in found if "acme " in line]

    def test_what_is_asked(self) -> None:
        """For which names, by which challenge, and on which port."""
        self.assertEqual(
            self.lines(),
            [
                "acme le: asked for certificates for a.example",
                "acme le: http-01: it connects to port 80 of each name",
            ],
        )
        many = ", ".join(f'"{one}.example"' for one in "abcde")
        self.assertEqual(
            self.lines(challenge="tls-alpn-01", hosts=many),
            [
                "acme le: asked for certificates for a.example, b.example, c.example and 2"
                " more",
                "acme le: tls-alpn-01: it connects to port 443 of each name",
            ],
        )

    def test_ports(self) -> None:
        """Where no listener that answers has the port, something else has to lead to one."""
        for challenge, settings, leads in (
            ("http-01", {"http": "8080"}, False),
            ("http-01", {"http": "8080", "https": "80"}, True),
            ("tls-alpn-01", {"https": "8443"}, False),
            ("tls-alpn-01", {"https": "8443", "http": "443"}, False),
        ):
            line = self.lines(challenge=challenge, **settings)[1]
            self.assertEqual("something has to lead here" not in line, leads, line)

    def test_shared(self) -> None:
        """Where instances share it, what they make of it, and that the store is for something."""
        with tempfile.NamedTemporaryFile() as key:
            more = f'state = "store:shared"\nkey_file = "{key.name}"\n'
            text = TEXT.replace("challenge =", more + "challenge =")
            text = text.format(
                challenge="http-01", http="80", https="443", hosts='"a.example"'
            )
            text += '[store.shared]\nurl = "redis://127.0.0.1:6379"\n'
            config = parse(text, "/tmp/lolly.toml")
        lines = [str(one) for one in consequences(config)]
        self.assertIn(
            "acme le: shared by store shared: one instance orders, all answer and serve;"
            " while it is away nothing is ordered but in the last tenth of a"
            " certificate's life",
            lines,
        )
        found = [line for line in lines if "store shared:" in line]
        self.assertIn("store shared: used by acme le", found)
        self.assertFalse(any("a request waits" in line for line in found))

    def test_wrong(self) -> None:
        """No key means no start; neither a store that there is not, nor a key for nothing, are taken."""
        base = TEXT.format(
            challenge="http-01", http="80", https="443", hosts='"a.example"'
        )
        store = '[store.shared]\nurl = "redis://127.0.0.1:6379"\n'
        for lines, why in (
            ('state = "store:shared"', "acme.le.state: needs key_file"),
            ('state = "store:share"', "no [store.NAME] has this name; did you mean"),
            ('state = "shared"', 'must be "store:NAME"'),
            ('state = "store:"', 'must be "store:NAME"'),
            (f'key_file = "{__file__}"', "acme.le.key_file: is for state"),
        ):
            with self.subTest(lines=lines):
                text = base.replace("challenge =", f"{lines}\nchallenge =") + store
                error = self.assertRaises(ConfigErrors, parse, text, "/tmp/lolly.toml")
                self.assertIn(why, str(error))

    def test_doubts(self) -> None:
        """Names that get none, and authorities that nobody asks, are worth a look."""
        lines = self.lines(hosts='"a.example", "*.b.example"')
        self.assertEqual(
            lines[-1],
            "warning: acme le: *.b.example: no certificate, only names get one",
        )
        more = '[acme.spare]\ndirectory = "https://127.0.0.1:1/dir"\n'
        self.assertEqual(
            self.lines(more)[-1],
            "warning: acme spare: no listener's tls.acme names it: it is never asked",
        )

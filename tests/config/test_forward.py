"""Tests of the settings of forward proxies: nobody gets an open one, and what they imply is said."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.diff import difference
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.shown import shown
from tests.config.samples import NO_FILES, FakeFiles, faults, read

PAGE = Path(__file__).parents[2] / "docs" / "forward-proxy.md"
HASH = "$2b$04$abcdefghijklmnopqrstuuO8BW9zKpVYkKbrR4A0mIR8T.Dbbnqqq"
HOSTNAME = FakeFiles({"/etc/hostname": "here"})
BASE = '[forward.f]\nendpoint = "tcp:3128:interface=127.0.0.1"\n'
OPEN = BASE.replace(":interface=127.0.0.1", "")
LOCAL = BASE + 'allow = ["127.0.0.0/8"]\n'


def errors(text: str, files: FakeFiles = NO_FILES) -> str:
    """All that is wrong with it."""
    return " | ".join(faults(text, files=files))


def said(text: str) -> dict[str, bool]:
    """What follows from it: sentences, and whether they are warnings."""
    found = consequences(read(text))
    return {one.text: one.warning for one in found if one.about == "forward f"}


class ForwardSettingsTests(SynchronousTestCase):
    def test_alone(self) -> None:
        """A file needs nothing else; the defaults are strict."""
        forward = read(LOCAL).forwards["f"]
        self.assertEqual(forward.ports, (80, 443))
        self.assertFalse(forward.any_port or forward.asks_for_passwords)

    def test_open_proxy(self) -> None:
        """Without users and networks it is refused, and so is everybody's network unless nobody can get there."""
        self.assertIn("would be open to everybody", errors(BASE))
        everybody = 'allow = ["0.0.0.0/0"]\n'
        self.assertIn("makes an open proxy", errors(OPEN + everybody))
        read(BASE + everybody)
        read(OPEN + everybody + f'users = {{ a = "{HASH}" }}\n')

    def test_ports(self) -> None:
        """Numbers, or any alone."""
        self.assertTrue(read(LOCAL + 'ports = ["any"]\n').forwards["f"].any_port)
        for ports in ('["any", 80]', "[]", '["http"]', "[0]", "[65536]", "[true]"):
            self.assertIn("ports", errors(f"{LOCAL}ports = {ports}\n"))

    def test_targets(self) -> None:
        """Networks and names; one with bits beyond its prefix is not guessed at."""
        forward = read(f'{LOCAL}allow_targets = ["10.0.0.0/8", "*.X.example"]\n')
        self.assertEqual(
            forward.forwards["f"].allow_targets,
            (ip_network("10.0.0.0/8"), "*.x.example"),
        )
        wrong = errors(f'{LOCAL}deny_targets = ["10.0.0.1/8"]\n')
        self.assertIn('did you mean "10.0.0.0/8"', wrong)
        self.assertIn("deny_targets", errors(f'{LOCAL}deny_targets = ["a b"]\n'))

    def test_protocols(self) -> None:
        """One at least, and one that there is."""
        for protocols in ("[]", '["gopher"]'):
            self.assertIn("protocols", errors(f"{LOCAL}protocols = {protocols}\n"))

    def test_tls(self) -> None:
        """Its TLS is held to the rules of listeners."""
        self.assertIn("needs certificate", errors(LOCAL + "[forward.f.tls]\n"))

    def test_same_place(self) -> None:
        """Two cannot listen at one address."""
        other = LOCAL.replace("forward.f", "forward.g")
        self.assertIn("listens where", errors(LOCAL + other))

    def test_consequences(self) -> None:
        """Private addresses, mail and passwords in the clear are warned of; who may go where is said."""
        self.assertEqual(
            said(LOCAL),
            {
                "everybody from 127.0.0.0/8 may go to ports 80, 443 of public addresses": False
            },
        )
        text = (
            OPEN
            + f'users = {{ a = "{HASH}" }}\nports = ["any"]\n'
            + 'allow_targets = ["10.0.0.0/8", "1.1.1.1/32", "in.example"]\n'
        )
        found = said(text)
        warned = [sentence for sentence, warning in found.items() if warning]
        self.assertEqual(len(warned), 4)
        for words in ("10.0.0.0/8", "in.example", "mail", "in the clear"):
            self.assertTrue(any(words in one for one in warned), words)
        self.assertFalse(any("1.1.1.1" in one for one in warned))
        self.assertIn("whoever logs in may go to any port of public addresses", found)
        self.assertTrue(any("mail" in one for one in said(LOCAL + "ports = [25]\n")))

    def test_secrets(self) -> None:
        """Hashes are not shown."""
        config = read(LOCAL + f'users = {{ a = "{HASH}" }}\n')
        self.assertNotIn(HASH, repr(config.forwards))
        self.assertNotIn(HASH, str(shown(config)))

    def test_difference(self) -> None:
        """It is an object of its own for a reload."""
        [change] = difference(read(LOCAL), read(LOCAL + "ports = [443]\n")).changes
        self.assertEqual(
            (change.action, change.kind, change.name), ("changed", "forward", "f")
        )

    def test_page(self) -> None:
        """The examples of its page are valid."""
        found = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.S)
        self.assertTrue(found)
        for text in found:
            read(text.replace("HASH", HASH))


class ParentTests(SynchronousTestCase):
    """The ways that clients go by."""

    def parents(self, *rules: str, pool: str = "") -> str:
        """A file with such rules."""
        return f"{LOCAL}parents = [{', '.join(rules)}]\n{pool}"

    def test_read(self) -> None:
        """Direct, a URL whose user and password are taken out of it, a pool."""
        text = self.parents(
            '{ match = ["*.example.com", "10.0.0.0/8"], proxy = "socks5://us%40er:p%3Aw@[2001:db8::9]:1080" }',
            '{ match = ["a.example"], proxy = "pool:up", speaks = "socks5", user = "u", password = "p" }',
            '{ proxy = "direct" }',
            pool='[pool.up]\ntargets = ["tcp://10.0.0.9:1080"]\n',
        )
        one, pooled, direct = read(text).forwards["f"].parents
        self.assertEqual((one.address.user, one.address.password), ("us@er", "p:w"))
        self.assertEqual(one.address.place, "socks5://[2001:db8::9]:1080")
        self.assertTrue(one.socks and one.has_login and not one.pool)
        self.assertEqual(
            (pooled.pool, pooled.socks, pooled.has_login), ("up", True, True)
        )
        self.assertTrue(direct.direct)
        self.assertFalse(direct.has_login)

    def test_wrong(self) -> None:
        """Each mistake by its name, and no password in any of them."""
        long = "x" * 60
        for rule, words in (
            ('{ proxy = "ftp://a:1" }', 'must begin with "http://"'),
            ('{ proxy = "socks5://a" }', "must have a port"),
            ('{ proxy = "http://user@a:1" }', "a password"),
            ('{ proxy = "http://user:sesame@a:1/path" }', "without a path"),
            (
                f'{{ proxy = "http://{long}:sesame@a:99999" }}',
                "not between 1 and 65535",
            ),
            ('{ proxy = "http://user:ses/ame@a:1" }', "host"),
            ('{ proxy = "pool:nobody" }', "no pool has this name"),
            ('{ proxy = "pool:" }', "names no pool"),
            ('{ proxy = "http://a:1", speaks = "socks5" }', "is for pools"),
            ('{ proxy = "http://127.0.0.1:3128" }', "is this forward proxy itself"),
            ('{ proxy = "direct", user = "a" }', "is direct"),
            ('{ proxy = "http://a:1", user = "u" }', "needs a password"),
            ('{ proxy = "http://a:1", password = "sesame" }', "needs a password"),
            (
                '{ proxy = "http://u:v@a:1", user = "u", password = "sesame" }',
                "already",
            ),
            ('{ proxy = "http://a:1", password_file = "/etc/hostname" }', "needs user"),
            (
                '{ proxy = "http://a:1", user = "u", password = "sesame", password_file = "/etc/hostname" }',
                "is a second password",
            ),
            ('{ proxy = "direct" }, { proxy = "http://a:1" }', "are never used"),
            ("{ match = [] }", '"proxy" is missing'),
        ):
            said = errors(self.parents(rule), HOSTNAME)
            self.assertIn(words, said)
            self.assertNotIn("sesame", said)
            self.assertNotIn("ses/ame", said)
        datagrams = '[pool.dns]\ntargets = ["udp://10.0.0.9:53"]\n'
        said = errors(self.parents('{ proxy = "pool:dns" }', pool=datagrams))
        self.assertIn("for datagrams", said)

    def test_itself(self) -> None:
        """A parent that is the forward proxy is refused, by its name as well."""
        for url in ("socks5://localhost:3128", "https://LOCALHOST:3128"):
            said = errors(self.parents(f'{{ proxy = "{url}" }}'))
            self.assertIn("is this forward proxy itself", said)
        for url in ("socks5://localhost:3129", "http://127.0.0.2:3128"):
            self.assertTrue(read(self.parents(f'{{ proxy = "{url}" }}')).forwards)

    def test_shown(self) -> None:
        """Neither what is shown nor what is written of it has a password."""
        text = self.parents(
            '{ match = ["a.example"], proxy = "http://u:sesame@a:1" }',
            '{ proxy = "http://b:1", user = "u", password = "sesame" }',
        )
        config = read(text)
        self.assertNotIn("sesame", str(shown(config)))
        self.assertIn("//***@a:1", str(shown(config)))
        self.assertNotIn("sesame", repr(config.forwards))
        other = read(text.replace('"sesame"', '"other"'))
        self.assertTrue(difference(config, other).changes)

    def test_consequences(self) -> None:
        """A password in the clear, a parent that asks nobody, and what is looked up where are said."""
        facts = said(
            self.parents(
                '{ match = ["a.example"], proxy = "http://u:v@10.0.0.9:3128" }',
                '{ match = ["b.example"], proxy = "socks5://proxy.example:1080" }',
                '{ match = ["c.example"], proxy = "https://u:v@10.0.0.9:3128" }',
                '{ match = ["d.example"], proxy = "http://u:v@127.0.0.1:9" }',
                '{ match = ["e.example"], proxy = "pool:up" }',
                '{ proxy = "direct" }',
                pool='[pool.up]\ntargets = ["http://10.0.0.9:3128"]\n',
            )
        )
        doubts = [text for text, doubt in facts.items() if doubt]
        clear = [text for text in doubts if "in the clear" in text]
        self.assertEqual(len(clear), 1)
        self.assertIn("http://10.0.0.9:3128", clear[0])
        [open_one] = [text for text in doubts if "open proxy" in text]
        self.assertIn("socks5://proxy.example:1080", open_one)
        self.assertIn("e.example: through the proxies of pool up", facts)
        self.assertIn("everything else: direct", facts)
        self.assertTrue(any("looked up there" in text for text in facts))

    def test_pool_is_used(self) -> None:
        """A pool of proxies is not warned of as one that nothing leads to."""
        text = self.parents(
            '{ proxy = "pool:up" }', pool='[pool.up]\ntargets = ["http://10.0.0.9:1"]\n'
        )
        told = [one.text for one in consequences(read(text)) if one.about == "pool up"]
        self.assertNotIn("no route leads to it", told)

    def test_datagrams(self) -> None:
        """A part of SOCKS5 that has to be asked for."""
        self.assertFalse(read(LOCAL).forwards["f"].udp)
        wrong = LOCAL + 'udp = true\nprotocols = ["http"]\n'
        self.assertIn("is a part of SOCKS5", errors(wrong))
        self.assertTrue(
            any("datagrams of 1000" in one for one in said(LOCAL + "udp = true\n"))
        )

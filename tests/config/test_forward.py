"""Tests of the settings of forward proxies: nobody gets an open one, and what they imply is said."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.consequences import consequences
from lolly_tx.config.diff import difference
from lolly_tx.config.shown import shown
from tests.config.texts import faults, read

PAGE = Path(__file__).parents[2] / "docs" / "forward-proxy.md"
HASH = "$2b$04$abcdefghijklmnopqrstuuO8BW9zKpVYkKbrR4A0mIR8T.Dbbnqqq"
BASE = '[forward.f]\nendpoint = "tcp:3128:interface=127.0.0.1"\n'
OPEN = BASE.replace(":interface=127.0.0.1", "")
LOCAL = BASE + 'allow = ["127.0.0.0/8"]\n'


def errors(text: str) -> str:
    """All that is wrong with it."""
    return " | ".join(faults(text))


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

"""Tests of the README: what it shows has to work."""

import ast
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import ConfigErrors, load, parse
from lolly_tx.config.load import DiskFiles
from lolly_tx.service.changes.materials import findings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    """The fenced blocks of the README in `language`."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


class EveryFileExists(DiskFiles):
    """Certificates that an example names are there."""

    def why_no_file(self, path):
        return ""


class READMETests(SynchronousTestCase):
    def test_configurations(self):
        """Every configuration of the README is valid."""
        self.assertEqual(len(blocks("toml")), 4)
        for number, text in enumerate(blocks("toml")):
            config = parse(text, f"README block {number}", {}, files=EveryFileExists())
            self.assertTrue(config.listeners)

    def test_program(self):
        """The example program connects to one of its targets."""
        [source] = blocks("python")
        names = {"__name__": "example"}
        exec(compile(source, "README.md", "exec"), names)
        reactor = MemoryReactorClock()
        urls = ("http://127.0.0.1:9001", "http://127.0.0.1:9002")
        answer = Deferred.fromCoroutine(names["main"](reactor, *urls))
        [(host, port, *_)] = reactor.tcpClients
        self.assertEqual(host, "127.0.0.1")
        self.assertIn(port, (9001, 9002))
        answer.cancel()
        self.failureResultOf(answer)

    def test_pages(self):
        """Every page and folder that it leads to exists; what it does not do is among them."""
        names = re.findall(r"\]\(([^)#:]+)\)", README)
        self.assertIn("docs/limitations.md", names)
        for name in names:
            self.assertTrue((ROOT / name).exists(), name)

    def test_security(self):
        """It leads to what is to know about security."""
        self.assertIn("](SECURITY.md)", README)

    def test_checked_files(self):
        """What it checks is there, or a file that it has shown before."""
        shown = README.index("write `lolly.toml`")
        for found in re.finditer(r"lolly (?:check|run) ([\w/]+\.toml)", README):
            there = (ROOT / found[1]).exists()
            self.assertTrue(there or found.start() > shown, found[0])

    def test_certificate(self):
        """The certificate that it makes, and etc/tls.toml as well, is what its TLS listener needs."""
        [line] = re.findall(r"^    (openssl req .*)$", README, re.MULTILINE)
        sample = (ROOT / "etc" / "tls.toml").read_text()
        [told] = re.findall(r"#   (openssl req .*) \\\n# +(.*)", sample)
        self.assertEqual(" ".join(told), line)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(line.split(), cwd=folder, check=True, capture_output=True)
            shutil.copy(f"{folder}/site.pem", f"{folder}/internal-ca.pem")
            [text] = [block for block in blocks("toml") if "tls.certificate" in block]
            config = parse(text, f"{folder}/lolly.toml", {})
            self.assertEqual(list(findings(config, time.time())), [])

    def test_token(self):
        """The length it gives for the token is that which is asked for."""
        text = '[admin]\nendpoint = "unix:/a"\ntoken = "{}"\n' + blocks("toml")[0]
        parse(text.format("k" * 16), environ={})
        with self.assertRaises(ConfigErrors):
            parse(text.format("k" * 15), environ={})

    def test_commands(self):
        """The make targets, commands and options that it names exist."""
        makefile = (ROOT / "Makefile").read_text()
        for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
            self.assertRegex(makefile, rf"(?m)^{target}:", target)
        setup = (ROOT / "setup.cfg").read_text()
        self.assertIn("lolly = lolly_tx.cli:main", setup)
        tap = ast.parse((ROOT / "lolly_tx" / "tap.py").read_text())
        words = {n.value for n in ast.walk(tap) if isinstance(n, ast.Constant)}
        for option in re.findall(r"\blolly --(\w+)", README):
            self.assertIn(option, words)

    def test_opens_with_the_two_commands(self):
        """The first thing it shows is how to try and how to test."""
        first = re.findall(r"^    (\S.*)$", README, re.MULTILINE)[:2]
        self.assertEqual(
            [line.split("  ")[0] for line in first], ["make demo", "make test"]
        )

    def test_links(self):
        """Every file that it links to exists."""
        for link in re.findall(r"\]\(([^)#]+)\)", README):
            self.assertTrue((ROOT / link).exists(), link)


SECRETS = {
    "STICKY_KEY": "k" * 16,
    "HOME_SECRET": "s" * 16,
    "PROXY_HASH": "$2b$12$" + "a" * 53,
}


class SampleTests(SynchronousTestCase):
    def test_samples(self):
        """Every sample in etc/ is valid, given the certificates and secrets it names."""
        samples = sorted((ROOT / "etc").glob("*.toml"))
        self.assertTrue(samples)
        for sample in samples:
            load(str(sample), SECRETS, files=EveryFileExists())

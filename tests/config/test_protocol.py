"""Tests of what a pool may say of the protocol of its targets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import ConfigErrors, parse

START = """
[listener.web]
endpoint = "tcp:80"
[[route]]
pool = "app"
[pool.app]
"""


class ProtocolTests(SynchronousTestCase):
    """Settings that are right, and what is said of others."""

    def problems(self, text: str) -> list[str]:
        """Key and message of each."""
        try:
            parse(START + text, "/x/t.toml")
        except ConfigErrors as errors:
            return [f"{p.key}: {p.message}" for p in errors.problems]
        return []

    def test_right(self) -> None:
        """HTTP/1.1 by default, h2 with https, h2c without."""
        config = parse(START + 'targets = ["http://a:1"]', "/x/t.toml")
        self.assertEqual(config.pools["app"].protocol, "http1")
        for text in (
            'protocol = "h2"\ntargets = ["https://a:1"]',
            'protocol = "h2c"\ntargets = ["http://a:1", { endpoint = "unix:/run/a" }]',
            'protocol = "h2c"\ntargets = ["http://a:1"]\nconnections.ping = "5m"',
            'targets = ["http://a:1"]\ntimeout.read = "0s"',
        ):
            self.assertEqual(self.problems(text), [], text)

    def test_wrong(self) -> None:
        """What does not go with it is said with the way out."""
        for text, key, words in (
            ('protocol = "h3"\ntargets = ["https://a:1"]', ".protocol", "h2c"),
            ('protocol = "h2"\ntargets = ["http://a:1"]', ".targets", "https://"),
            (
                'protocol = "h2"\ntargets = [{ endpoint = "ssl:a:1" }]',
                ".targets",
                "https://",
            ),
            ('protocol = "h2c"\ntargets = ["https://a:1"]', ".targets", "without TLS"),
            (
                'protocol = "h2c"\nsend_proxy = "v2"\ntargets = ["http://a:1"]',
                ".send_proxy",
                "leave it out",
            ),
            (
                'targets = ["http://a:1"]\nconnections.ping = "5m"',
                ".connections.ping",
                "leave it out",
            ),
        ):
            found = self.problems(text)
            self.assertEqual(len(found), 1, found)
            self.assertIn(key, found[0])
            self.assertIn(words, found[0])

"""Tests of `lolly_tx.domain.target`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.target import (
    Target,
    speaks_datagrams,
    speaks_http,
    target_id,
)


class TargetTests(SynchronousTestCase):
    def test_id(self) -> None:
        """The id of an address is fit for a host name, and the same after a reload."""
        self.assertEqual(target_id("http://10.0.0.1:80"), "http-10-0-0-1-80")
        self.assertEqual(target_id("unix:/run/App.sock"), "unix-run-app-sock")
        self.assertEqual(target_id("///"), "target")

    @given(st.text())
    def test_any_id(self, address: str) -> None:
        """Whatever the address, its id has only safe characters."""
        self.assertRegex(target_id(address), r"\A[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")

    def test_numbers(self) -> None:
        """A weight below 1, and limits and priorities below 0, are refused when the target is made."""
        for wrong in ({"weight": 0}, {"max_conns": -1}, {"priority": -1}):
            with self.assertRaises(ValueError):
                Target(id="a", address="http://a", **wrong)  # type: ignore[arg-type]

    def test_authority(self) -> None:
        """The Host of a target leaves out the usual port and brackets IPv6 addresses."""
        usual = {
            ("http", "a.example", 80): "a.example",
            ("https", "a.example", 443): "a.example",
            ("https", "a.example", 80): "a.example:80",
            ("http", "::1", 8080): "[::1]:8080",
            ("http", "", 0): "localhost",
        }
        for (scheme, host, port), authority in usual.items():
            target = Target("t", "x", scheme, host, port)  # type: ignore[arg-type]
            self.assertEqual(target.authority, authority)

    def test_from_url(self) -> None:
        """A URL says where a target is; its settings may be given with it."""
        target = Target.from_url("http://10.0.0.1:8080", weight=3, max_conns=100)
        self.assertEqual(
            target,
            Target(
                "http-10-0-0-1-8080",
                "http://10.0.0.1:8080",
                host="10.0.0.1",
                port=8080,
                weight=3,
                max_conns=100,
            ),
        )
        for url, place in {
            "https://App.example": ("https", "app.example", 443),
            "http://[::1]/": ("http", "::1", 80),
            "tcp://db.example:5432": ("http", "db.example", 5432),
        }.items():
            target = Target.from_url(url, id="one")
            self.assertEqual((target.scheme, target.host, target.port), place)
            self.assertEqual((target.id, target.address), ("one", url))

    def test_no_url(self) -> None:
        """What is no URL of a target is refused with the URL and the reason."""
        for url, reason in {
            "10.0.0.1:80": "must be a URL",
            "ftp://a": 'must begin with "http://"',
            "http://u:p@a": "no user",
            "http://a/x": "without a path",
            "http://-": "no valid host",
            "http://-:80": "no valid host",
            "http://a:x": "no valid port",
            "http://[::1]:": "no valid port",
            "http://a:0": "between 1 and 65535",
            "http://a:65536": "between 1 and 65535",
            "tcp://a": "must have a port",
        }.items():
            error = self.assertRaises(ValueError, Target.from_url, url)
            self.assertIn(reason, str(error))
            self.assertIn(f'"{url.replace("u:p", "...")}"', str(error))
        self.assertRaises(ValueError, Target.from_url, "http://a", id="A b")
        self.assertRaises(ValueError, Target.from_url, "http://a", weight=0)
        error = self.assertRaises(TypeError, Target.from_url, "http://a", port=1)
        self.assertIn("weight", str(error))

    def test_datagrams(self) -> None:
        """A target of datagrams speaks nothing else."""
        target = Target.from_url("udp://10.0.0.1:53")
        self.assertEqual((target.host, target.port), ("10.0.0.1", 53))
        self.assertTrue(speaks_datagrams("UDP://10.0.0.1:53"))
        self.assertFalse(speaks_http(target.address))
        self.assertFalse(speaks_datagrams("tcp://10.0.0.1:53"))

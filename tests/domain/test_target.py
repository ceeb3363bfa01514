"""Tests of `lolly_tx.domain.target`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.target import Target, target_id


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

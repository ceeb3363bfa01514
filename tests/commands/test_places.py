"""Addresses as people type them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.places import Place, literal, place
from lolly_tx.config import parse


class PlaceTests(SynchronousTestCase):
    def test_listening(self) -> None:
        """A port is taken on all addresses, an address where it is, and a name says only for whom."""
        for text, endpoint, is_name in (
            ("8080", "tcp:8080", False),
            (":8080", "tcp:8080", False),
            ("127.0.0.1:8080", "tcp:8080:interface=127.0.0.1", False),
            ("localhost:8080", "tcp:8080:interface=127.0.0.1", False),
            ("[::1]:8080", r"tcp:8080:interface=\:\:1", False),
            ("http://10.0.0.1", "tcp:80:interface=10.0.0.1", False),
            ("https://Example.com", "tcp:443", True),
            ("https://example.com:8443/", "tcp:8443", True),
            ("example.com:80", "tcp:80", True),
            ("unix:/run/a:b.sock", r"unix:/run/a\:b.sock", False),
        ):
            found = place(text)
            self.assertEqual(found.listening(), endpoint, text)
            self.assertEqual(found.is_name, is_name, text)
        self.assertEqual(
            place("8081").listening("127.0.0.1"), "tcp:8081:interface=127.0.0.1"
        )
        self.assertEqual(place("https://Example.com").host, "example.com")

    def test_targets(self) -> None:
        """A port is one of this machine; the scheme is http unless another one is typed."""
        for text, target in (
            ("9000", '"http://127.0.0.1:9000"'),
            (":9000", '"http://127.0.0.1:9000"'),
            ("app.internal:9000", '"http://app.internal:9000"'),
            ("localhost:9000", '"http://localhost:9000"'),
            ("https://app.internal", '"https://app.internal:443"'),
            ("http://[::1]", '"http://[::1]:80"'),
            ("unix:/run/app.sock", '{ endpoint = "unix:/run/app.sock" }'),
        ):
            self.assertEqual(place(text).target(), target, text)

    def test_refused(self) -> None:
        """What is no address is refused with the reason."""
        for text, why in (
            ("", "needs a port"),
            ("example.com", "needs a port between 1 and 65535"),
            (":0", "needs a port"),
            ("65536", "needs a port"),
            ("ftp://x:1", "the scheme is http or https"),
            ("http://a/b", "is not as 8080, host:8080 or https://host"),
            ("http://me@a", "is not as"),
            ("::1:80", "is not as"),
            ("a:b", "is not as"),
            ("[]:80", "that is no host"),
            ("300.1.1.1:80", "that is no host"),
            ("a b:80", "that is no host"),
            ("unix:", "has no path"),
            ("\u0661\u0662", "needs a port"),
        ):
            with self.assertRaisesRegex(ValueError, why):
                place(text)

    @settings(deadline=None)
    @given(st.text(alphabet="htps:/[]@.019af\\=\u0661\n -", max_size=24))
    def test_any_text(self, text: str) -> None:
        """Any other text is an address that can be used, or a ValueError."""
        try:
            found = place(text)
        except ValueError:
            return
        endpoint = serverFromString(MemoryReactorClock(), found.listening())
        if not found.path:
            assert isinstance(endpoint, TCP4ServerEndpoint)
        text = f'[listener.a]\nendpoint = "unix:/l"\n[[route]]\npool = "p"\n[pool.p]\ntargets = [{found.target()}]'
        self.assertEqual(len(parse(text).pools["p"].targets), 1)

    def test_literals(self) -> None:
        """Nothing in a literal is filled in from the environment."""
        text = literal('a"${HOME}$\\')
        self.assertEqual(text, r'"a\"$${HOME}$\\"')
        self.assertEqual(Place("", "", 0, "/a=b").listening(), r"unix:/a\=b")

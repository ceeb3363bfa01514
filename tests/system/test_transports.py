"""Transports, relays and TLS over loopback, on our reactor and on two of Twisted's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import trustme
from twisted.trial.unittest import SynchronousTestCase

LIMIT_SECONDS = 90


class ReactorMixin:
    """What must hold on every reactor."""

    reactor: ClassVar[str]
    class_name: ClassVar[str]
    found: ClassVar[dict[str, Any]]

    @classmethod
    def setUpClass(cls) -> None:
        """Run the scenario once, in a process of its own."""
        folder = Path(tempfile.mkdtemp())
        authority = trustme.CA()
        issued = authority.issue_cert("site.test")
        issued.private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        try:
            ended = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "tests.system.transport_scenario",
                    cls.reactor,
                    str(folder),
                ],
                cwd=Path(__file__).parents[2],
                capture_output=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        finally:
            shutil.rmtree(folder)
        if ended.returncode:
            raise RuntimeError(f"{cls.reactor}: {ended.stderr.decode()[-2000:]}")
        cls.found = json.loads(ended.stdout)

    def test_reactor(self: Any) -> None:
        """The scenario ran on the reactor it was to run on."""
        self.assertEqual(self.found["reactor"], self.class_name)

    def test_echo(self: Any) -> None:
        """8 MiB come back unchanged through eager writes."""
        self.assertTrue(self.found["echo"])

    def test_bug_in_a_protocol(self: Any) -> None:
        """A protocol's exception ends its connection alone, and is the only failure."""
        self.assertTrue(self.found["bug_ended_its_connection"])
        self.assertEqual(len(self.found["failures"]), 1, self.found["failures"])
        self.assertIn("boom", self.found["failures"][0])

    def test_relay(self: Any) -> None:
        """64 MiB pass through splice unchanged, however they end or are read."""
        for name in ("can_splice", "until_end", "slow_reader", "counted"):
            self.assertTrue(self.found[name], name)
        self.assertEqual(self.found["ends"], ["done True"] * 3 + ["sink_lost"])

    def test_descriptors(self: Any) -> None:
        """After the relays nothing is left open but the pipes kept for the next."""
        self.assertLessEqual(self.found["descriptors_left"], 2)

    def test_handshakes(self: Any) -> None:
        """50 TLS handshakes are not delayed by one that stalls."""
        self.assertEqual(self.found["handshakes"], 50)
        self.assertLess(self.found["longest_handshake_seconds"], 2)


class LollyTests(ReactorMixin, SynchronousTestCase):
    """Our reactor."""

    reactor, class_name = "lolly", "LollyReactor"


class EpollTests(ReactorMixin, SynchronousTestCase):
    """Twisted's default on Linux."""

    reactor, class_name = "epoll", "EPollReactor"


class AsyncioTests(ReactorMixin, SynchronousTestCase):
    """Twisted on asyncio."""

    reactor, class_name = "asyncio", "AsyncioSelectorReactor"

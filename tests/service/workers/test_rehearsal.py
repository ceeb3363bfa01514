"""Tests of a template that is only tried."""

from __future__ import annotations

import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.workers.channel import encode
from lolly_tx.service.workers.rehearsal import rehearse

_LISTEN = (
    "import socket, sys; end = socket.socket(fileno=int(sys.argv[1]));"
    " data, fds, *_ = socket.recv_fds(end, 65536, 8);"
)


def template(then: str) -> list[str]:
    """A process that has heard the settings, and does something."""
    return [sys.executable, "-IS", "-c", _LISTEN + then]


class RehearsalTests(SynchronousTestCase):
    def rehearse(self, then: str, seconds: float = 30.0) -> str:
        """What comes of it."""
        command = template(then)
        return rehearse(lambda fd: [*command, str(fd)], {"t": "settings"}, [0], seconds)

    def say(self, **message: str) -> str:
        return f"end.sendall({encode(message)!r} if fds else b'')"

    def test_loads(self) -> None:
        """It has got the settings with their descriptor, and can make workers."""
        self.assertEqual(self.rehearse(self.say(t="loaded")), "")

    def test_fails(self) -> None:
        """What is wrong is said as the template says it."""
        said = self.say(t="failed", why="TypeError: no such plugin")
        self.assertEqual(self.rehearse(said), "TypeError: no such plugin")

    def test_ends(self) -> None:
        """Code that ends without a word cannot make workers either."""
        self.assertIn("ended", self.rehearse(f"sys.exit({os.EX_SOFTWARE})"))

    def test_hangs(self) -> None:
        """It is given so much time and no more."""
        why = self.rehearse("end.recv(1)", 0.2)
        self.assertEqual(why, "the template said nothing in 0.2 s")

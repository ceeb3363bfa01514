"""Tests of who takes which of the sockets that were passed to the process."""

from __future__ import annotations

import tempfile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.inherited import (
    Heirloom,
    Inheritance,
    PassedEndpoint,
    passed_by_systemd,
    variables_of_systemd,
)


class Socket:
    """As much as is asked of one."""

    closed = False

    def close(self) -> None:
        self.closed = True


def heirloom(name: str, text: str = "", index: int = -1) -> Heirloom:
    made: Any = Socket()
    return Heirloom(made, name, text, index=index)


class InheritanceTests(SynchronousTestCase):
    def test_from_old_code(self) -> None:
        """The endpoint decides, whatever the listener is called now; a socket of another endpoint is not taken."""
        web, other = heirloom("web", "tcp:80"), heirloom("other", "tcp:81")
        left = Inheritance([web, other])
        self.assertIsNone(left.take("web", "tcp:8080"))
        self.assertIs(left.take("renamed", "tcp:81"), other)
        self.assertIsNone(left.take("other", "tcp:81"))
        left.close()
        self.assertEqual(len(left), 0)
        self.assertTrue(web.socket.closed)  # type: ignore[attr-defined]  # a test's
        self.assertFalse(other.socket.closed)  # type: ignore[attr-defined]  # as above

    def test_from_systemd(self) -> None:
        """A listener takes the socket of its name, and a "systemd:" endpoint the one it asks for."""
        named, first, second = (
            heirloom("web", index=0),
            heirloom("app.socket", index=1),
            heirloom("app.socket", index=2),
        )
        left = Inheritance([named, first, second])
        self.assertIsNone(left.take("other", "tcp:80"))
        self.assertIsNone(left.take("web", "systemd:domain=INET:name=none"))
        self.assertIsNone(left.take("web", "systemd:domain=INET:index=7"))
        self.assertIs(left.take("x", "systemd:domain=INET:index=2"), second)
        self.assertIs(left.take("x", "systemd:name=app.socket"), first)
        self.assertIs(left.take("web", "tcp:80"), named)

    def test_not_ours(self) -> None:
        """What was passed to somebody else, or makes no sense, is left alone."""
        given = {"LISTEN_PID": "5", "LISTEN_FDS": "1"}
        self.assertEqual(passed_by_systemd(given, 6), [])
        self.assertEqual(passed_by_systemd({**given, "LISTEN_FDS": "x"}, 5), [])
        self.assertEqual(passed_by_systemd({}, 5), [])

    def test_first_environment(self) -> None:
        """The variables are read where the process got them: Twisted takes them away."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"A=b\0LISTEN_PID=5\0LISTEN_FDS=1=2\0")
            file.flush()
            found = variables_of_systemd(file.name)
        self.assertEqual(found, {"LISTEN_PID": "5", "LISTEN_FDS": "1=2"})
        self.assertEqual(variables_of_systemd("/nowhere/at/all"), {})

    def test_nothing_passed(self) -> None:
        """A "systemd:" endpoint without its socket says so."""
        failure = self.failureResultOf(PassedEndpoint(object()).listen(None), OSError)
        self.assertIn("systemd has passed no such socket", str(failure.value))

"""Answers to a certificate authority that wants to see whether a name is ours (RFC 8555 section 8.3).

They are files, so that every process that serves clients can give them. Paths that we have no answer for are
forwarded: somebody behind us may ask an authority, too.

Imports: net, proxy, wire. Used by: service.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lolly_tx.net.doors import BodyStart, DoorIn
from lolly_tx.proxy.health import HealthProxy
from lolly_tx.proxy.proxy import Proxy
from lolly_tx.proxy.replies import reason_of
from lolly_tx.wire.message import RequestHead

CHALLENGE_PATH = b"/.well-known/acme-challenge/"
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{1,128}")
_FIELDS = b"\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n"


class ChallengeProxy(Proxy):
    """A proxy that gives the answers in `folder`. The other parameters are those of Proxy."""

    def __init__(self, *rest: Any, folder: Path, **named: Any) -> None:
        super().__init__(*rest, **named)
        self._folder = folder

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Answer, or let it be forwarded."""
        said = None
        if head.target.startswith(CHALLENGE_PATH) and head.method == b"GET":
            said = self._answer(head.target[len(CHALLENGE_PATH) :])
        if said is None:
            super().open_exchange(door, head, start)
        else:
            door.answer(200, reason_of(200), _FIELDS % len(said), said)

    def _answer(self, token: bytes) -> bytes | None:
        if not _TOKEN.fullmatch(token):
            return None
        try:
            return (self._folder / token.decode("ascii")).read_bytes()
        except OSError:
            return None


class ChallengeHealthProxy(ChallengeProxy, HealthProxy):
    """The same, which tells whether the proxy is well, too."""

"""A template that is only tried: whether workers could be made by settings, before anybody counts on it.

Imports: service.workers. Used by: service.workers.supervisor.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Sequence

from lolly_tx.service.workers.channel import (
    BadMessage,
    Inbox,
    Message,
    encode,
    read_message,
)

REHEARSAL_SECONDS = 30.0
"""What a template has to load code and settings; a preflight as a whole has more."""


def rehearse(
    command: Callable[[int], Sequence[str]],
    settings: Message,
    descriptors: Sequence[int],
    seconds: float = REHEARSAL_SECONDS,
) -> str:
    """Why a template cannot be made of `settings`, "" when it can. Blocks, for up to `seconds`.

    `command`: what starts it, given the number of its descriptor. `descriptors`: those that go with the message.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            tried = subprocess.Popen(
                command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        ours.settimeout(seconds)
        try:
            said = _answer(ours, {**settings, "fds": len(descriptors)}, descriptors)
        except TimeoutError:
            return f"the template said nothing in {seconds:g} s"
        except (BadMessage, EOFError, OSError):
            return "the template ended while it loaded"
        finally:
            tried.kill()
            tried.wait()
    return "" if said["t"] == "loaded" else str(said["why"])


def _answer(
    end: socket.socket, settings: Message, descriptors: Sequence[int]
) -> Message:
    """The first word of a template that is told `settings`. Raises `BadMessage`, EOFError and OSError."""
    data = encode(settings)
    sent = socket.send_fds(end, [data], descriptors)
    end.sendall(data[sent:])
    inbox = Inbox()
    while True:
        for message, _ in read_message(end, inbox):
            return message

"""A terminal that shows lines that change and is read a key at a time; left as it was found, however that ends.

Imports: nothing of ours. Used by: commands.top.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any

_ENTER = "\x1b[?1049h\x1b[?25l"  # another screen, no cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|.", re.DOTALL)
_KEYS = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
}


class Ended(Exception):
    """A signal asks for the end. `number`: which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def is_terminal() -> bool:
    """Whether somebody looks and can type."""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams)


class Terminal:
    """What `opened` gives."""

    def __init__(self, ear: socket.socket, mouth: socket.socket) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._before = termios.tcgetattr(self._in)
        self._ear, self._mouth = ear, mouth
        self._typed: list[str] = []
        self._poll = select.poll()
        self._poll.register(self._in, select.POLLIN)
        self._poll.register(ear, select.POLLIN)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        found = os.get_terminal_size(self._out)
        # One that does not say, such as a serial line, says 0.
        return found.columns or 80, found.lines or 24

    def enter(self) -> None:
        """Take the terminal over."""
        tty.setcbreak(self._in)
        self._write(_ENTER)

    def leave(self) -> None:
        """Give it back as it was."""
        with suppress(OSError, termios.error):  # it may be gone
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)
            self._write(_LEAVE)

    def draw(self, lines: list[str]) -> None:
        """Show `lines` from the top, in place of what is there."""
        text = "\r\n".join(f"{line}\x1b[K" for line in lines)
        self._write(f"\x1b[H{text}\x1b[J")

    def wake(self) -> None:
        """End a wait; from any thread."""
        with suppress(OSError):  # it is full of these already, or nobody waits any more
            self._mouth.send(b"\0")

    def key(self, seconds: float) -> str:
        """The key that is pressed within that time; "" when there is none, or there is a reason to look up."""
        if self._typed:
            return self._next()
        for fd, _ in self._poll.poll(max(0.0, seconds) * 1000):
            if fd != self._in:
                self._ear.recv(4096)
                continue
            typed = os.read(self._in, 1024).decode("utf-8", "replace")
            if not typed:
                raise Ended(signal.SIGHUP)  # the terminal is gone
            self._typed += _KEY.findall(typed)
        return self._next() if self._typed else ""

    def _next(self) -> str:
        key = self._typed.pop(0)
        return _KEYS.get(key, key)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


@contextmanager
def opened() -> Iterator[Terminal]:
    """The terminal, taken over until the end. SIGTERM and SIGHUP raise `Ended` inside; Ctrl-Z and resizing work."""
    ear, mouth = socket.socketpair()
    with ExitStack() as stack:
        for end in (ear, mouth):
            stack.enter_context(end)
            end.setblocking(False)
        terminal = Terminal(ear, mouth)

        def end_it(number: int, frame: FrameType | None) -> None:
            raise Ended(number)

        def look_up(number: int, frame: FrameType | None) -> None:
            terminal.wake()

        def suspend(number: int, frame: FrameType | None) -> None:
            terminal.leave()
            os.kill(os.getpid(), signal.SIGSTOP)
            terminal.enter()
            terminal.wake()

        for number, answer in (
            (signal.SIGTERM, end_it),
            (signal.SIGHUP, end_it),
            (signal.SIGWINCH, look_up),
            (signal.SIGTSTP, suspend),
        ):
            before: Any = signal.signal(number, answer)
            stack.callback(signal.signal, number, before)
        stack.callback(terminal.leave)
        terminal.enter()
        yield terminal

"""`lolly top`: what a running proxy is doing, as it changes.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import NOT_AS_EXPECTED, AskingCommand, seconds_of, shown
from lolly_tx.commands.board import BAD, GOOD, TITLE, Line, body, head
from lolly_tx.commands.client import AdminClient, CannotAsk
from lolly_tx.commands.declared import Takes
from lolly_tx.commands.moments import Moments
from lolly_tx.commands.terminal import Ended, Terminal, is_terminal, opened

LIVE = "/api/live"
RETRY_SECONDS = 1.0
REDRAW_SECONDS = 1.0
"""Ages go on when nothing is told."""
_TROUBLE = "trouble"
_COLOURS = {GOOD: "\x1b[1;32m", BAD: "\x1b[1;31m", TITLE: "\x1b[7m"}
_KEYS = {"up": -1, "k": -1, "down": 1, "j": 1}
_BEYOND = 1 << 30
_PAGES = {"page up": -1, "b": -1, "page down": 1, " ": 1}


class TopCommand(AskingCommand):
    """`lolly top [--once]`."""

    name = "top"
    summary = "Show what the running proxy is doing, as it changes."
    synopsis = "[--once] [--interval SECONDS]"
    longdesc = (
        "Shows what is wrong now (since when, why, and what brings it back), then pools,"
        " targets, listeners and workers, with rates and latencies of the last --interval,"
        " until q or Ctrl-C. Arrows, j, k, space, b, Home and End move. What is"
        " older than three seconds is called stale. With --once it prints the same once,"
        " after that interval, and with --json as well what it is made of."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["interval", "i", 2.0, "Seconds that rates are of, 1 to 60.", seconds_of]
    ]
    optFlags: ClassVar[list[list[Any]]] = [["once", "1", "Print it once, and end."]]
    takes: ClassVar = {"interval": Takes("SECONDS")}

    def postOptions(self) -> None:
        """An interval that is told something in."""
        super().postOptions()
        if not 1 <= self["interval"] <= 60:
            raise usage.UsageError("--interval is from 1 to 60 seconds")
        if self["json"] and not self["once"]:
            raise usage.UsageError("--json needs --once")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Show it once, or until somebody has seen enough."""
        if self["once"]:
            return super().run(out, err)
        if not is_terminal():
            err.write("lolly top: this is no terminal; --once prints it once\n")
            return 2
        try:
            client = self.client()
            with closing(told(client)) as telling:
                next(telling)  # so that it is said at once when nobody answers
        except CannotAsk as error:
            err.write(f"lolly: {shown(str(error))}\n")
            return 1
        try:
            with opened() as terminal:
                Screen(terminal, client, self["interval"]).show()
        except KeyboardInterrupt:
            return 0
        except Ended as ended:
            return 128 + ended.number
        return 0

    def ask(self, client: AdminClient) -> Any:
        """What is told, until there are rates."""
        self.moments = Moments(self["interval"])
        with closing(told(client)) as telling:
            for kind, one in telling:
                self.moments.take(kind, one)
                if self.moments.rated:
                    break
        return self.moments.rows

    def lines(self, answer: Any) -> list[str]:
        """All of it."""
        lines = [*head(self.moments, 0.0, ""), *body(self.moments)]
        return [line.text for line in lines]


def told(client: AdminClient) -> Generator[tuple[str, Any]]:
    """What is told of the proxy, for ever. Raises CannotAsk, at its end, too."""
    yield from client.stream(LIVE, "snapshot", "delta")
    raise CannotAsk("the proxy has ended the stream")


class Screen:
    """What is told, on a terminal."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def __init__(
        self, terminal: Terminal, client: AdminClient, interval: float
    ) -> None:
        self._terminal = terminal
        self._client = client
        self._interval = interval
        self._moments = Moments(interval)
        self._heard = self.now()
        self._trouble = ""
        self._news: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._above = 0
        """Lines that have been moved out at the top."""
        self._coloured = not os.environ.get("NO_COLOR")

    def show(self) -> None:
        """Until somebody has seen enough."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            self._take()
            room = self._draw()
            key = self._terminal.key(REDRAW_SECONDS)
            if key in ("q", "Q"):
                return
            self._above += _KEYS.get(key, 0) + _PAGES.get(key, 0) * room
            if key == "home":
                self._above = 0
            elif key == "end":
                self._above = _BEYOND  # as far as there are lines

    def _listen(self) -> None:
        """In a thread of its own: hear what is told, and ask again when that ends."""
        while True:
            try:
                for one in told(self._client):
                    self._news.put(one)
                    self._terminal.wake()
            except CannotAsk as error:
                self._news.put((_TROUBLE, str(error)))
            self._terminal.wake()
            self.sleep(RETRY_SECONDS)

    def _take(self) -> None:
        while True:
            try:
                kind, one = self._news.get_nowait()
            except Empty:
                return
            if kind == _TROUBLE:
                self._trouble = one
                continue
            try:
                self._moments.take(kind, one)
            except NOT_AS_EXPECTED:
                self._trouble = "what answers is no lolly of this version"
            else:
                self._heard, self._trouble = self.now(), ""

    def _draw(self) -> int:
        """Draw all of it; how many lines there are for what can be moved."""
        columns, rows = self._terminal.size
        top = head(self._moments, self.now() - self._heard, self._trouble)
        top[-1] = Line(f"{top[-1].text}; q quits", top[-1].mark)
        below = body(self._moments) if self._moments.rows else []
        room = max(1, rows - len(top))
        self._above = max(0, min(self._above, len(below) - room))
        seen = [*top, *below[self._above : self._above + room]][:rows]
        self._terminal.draw([self._drawn(line, columns) for line in seen])
        return room

    def _drawn(self, line: Line, columns: int) -> str:
        text = line.text[:columns]
        colour = _COLOURS.get(line.mark, "") if self._coloured else ""
        return f"{colour}{text}\x1b[0m" if colour else text

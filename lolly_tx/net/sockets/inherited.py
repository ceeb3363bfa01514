"""Listening sockets that were passed to this process: by systemd, or by itself before it became new code.

systemd passes descriptors from 3 on, and says so in the environment (sd_listen_fds(3)): LISTEN_PID is whom they are
for, LISTEN_FDS how many they are, LISTEN_FDNAMES what each is called (`FileDescriptorName=`).

Imports: Twisted. Used by: net.datagrams, net.sockets.eager, net.sockets.slots, service,
service.changes, service.upgrades.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred, execute

_Socket = socket.socket  # by a name that no attribute hides

FIRST = 3
"""The descriptor after standard error."""


PREFIX = "systemd:"

VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@attrs.frozen
class Heirloom:
    """One listening socket. `name`: whose it is to be. `text`: the endpoint it was made for, "" when that is not known.

    `owned`: its end is ours: what is bound to a path is removed with it. `index`: which of those of systemd it is.
    `others`: more of the same address, each with a queue of its own (`net.sockets.slots`).
    """

    socket: socket.socket
    name: str
    text: str = ""
    owned: bool = False
    index: int = -1
    others: tuple[_Socket, ...] = ()

    @property
    def sockets(self) -> tuple[_Socket, ...]:
        """All of them."""
        return (self.socket, *self.others)


class PassedEndpoint:
    """What "systemd:..." means: whatever socket `view` was given to listen on.

    Twisted's own closes the descriptor it has taken, which new code would look for. A view that `adopts` has sockets
    for whatever is to be listened on.
    """

    def __init__(self, view: Any) -> None:
        self._view = view

    def listen(self, factory: Any) -> Deferred[Any]:
        """A Deferred of the port; of OSError when there is no such socket."""
        return execute(self._adopt, factory)

    def _adopt(self, factory: Any) -> Any:
        view = self._view
        if getattr(view, "adopts", False):
            return view.listenTCP(0, factory)
        heirloom = getattr(view, "heirloom", None)
        if heirloom is None:
            raise OSError("systemd has passed no such socket to this process")
        view.heirloom = None
        with heirloom.socket as passed:
            return view.adoptStreamPort(passed.fileno(), passed.family, factory)


class Inheritance:
    """The sockets that nobody has taken yet."""

    def __init__(self, heirlooms: Iterable[Heirloom] = ()) -> None:
        self._left = list(heirlooms)

    def __len__(self) -> int:
        return len(self._left)

    def take(self, name: str, text: str) -> Heirloom | None:
        """The one for `name`, to be listened on as the endpoint `text`; None when there is none.

        A socket that is known to be of another endpoint is not taken, whatever it is called; one of the right endpoint
        is, even if it was called something else. "systemd:name=X" and "systemd:index=N" ask for one as systemd has it.
        """
        fresh = [one for one in self._left if not one.text]
        if text.startswith(PREFIX):
            wanted = dict(part.partition("=")[::2] for part in text.split(":"))
            name, index = wanted.get("name", ""), wanted.get("index", "")
            if index.isascii() and index.isdigit():
                fresh = [one for one in fresh if one.index == int(index)]
                name = fresh[0].name if fresh else ""
        for fits in (
            [one for one in self._left if one.text == text],
            [one for one in fresh if one.name == name],
        ):
            if fits:
                self._left.remove(fits[0])
                return fits[0]
        return None

    def close(self) -> None:
        """Listen no more on those that nobody wants."""
        for each in self._left:
            for one in each.sockets:
                one.close()
        self._left.clear()


def variables_of_systemd(file: str = "/proc/self/environ") -> dict[str, str]:
    """Those of the environment this process was started with: Twisted takes them away when it is imported."""
    try:
        with open(file, "rb") as given:
            pairs = [one.partition(b"=") for one in given.read().split(b"\0")]
    except OSError:
        return {}
    found = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    return {name: found[name] for name in VARIABLES if name in found}


def passed_by_systemd(environ: Mapping[str, str], pid: int) -> list[Heirloom]:
    """What the environment says was passed to process `pid`; nothing when it is somebody else's, or makes no sense."""
    if environ.get("LISTEN_PID") != str(pid):
        return []
    count = environ.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdigit()):
        return []
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for at, fd in enumerate(range(FIRST, FIRST + int(count))):
        name = names[at] if at < len(names) else ""
        if is_listening(fd):
            found.append(Heirloom(listening_socket(fd), name, index=at))
            os.close(fd)
    return found


def is_listening(fd: int) -> bool:
    """Whether it is a stream socket that is listened on."""
    try:
        with socket.socket(fileno=os.dup(fd)) as probe:
            return bool(probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def takes_datagrams(fd: int) -> bool:
    """Whether it is a UDP socket with a port of its own."""
    try:
        with socket.socket(fileno=os.dup(fd)) as probe:
            if probe.family not in (socket.AF_INET, socket.AF_INET6):
                return False
            return probe.type == socket.SOCK_DGRAM and probe.getsockname()[1] != 0
    except OSError:
        return False


def listening_socket(fd: int) -> socket.socket:
    """A socket of our own on the same queue, as a port wants it: it neither blocks nor is passed to children."""
    made = socket.socket(fileno=os.dup(fd))
    made.setblocking(False)
    return made

"""What becoming a daemon under twistd takes, so that its command says what is wrong and ends.

    command --makeService: listen_early--> fork, fork --> the daemon: listen(), fewer rights, serve
       |         wrong: one line, status 1                    | wrong: `report`
       +------- waits at a pipe for one word <----------------+

twistd's command waits for the daemon to say that it has started. twistd says so when it fails with an
ordinary exception; when it ends in another way, such as without the right to become another user, the
command would wait for ever, and the file with the process's number would stay.

Imports: nothing of ours. Used by: tap.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_FAILED = b"1 lolly could not start"
"""At most a hundred bytes; what follows the first two is shown by the command."""


def is_daemon(twistd: Mapping[str, Any]) -> bool:
    """Whether twistd's options make a daemon of the process."""
    return not (twistd.get("nodaemon") or twistd.get("debug"))


class StartReport:
    """Tells the command that waits, if the process ends before it has started.

    `twistd`: its options, to which it adds the pipe. Register `report` with atexit.
    """

    def __init__(self, twistd: Mapping[str, Any]) -> None:
        self._twistd = twistd
        self._started = False

    def started(self) -> None:
        """There is nothing to report: twistd says the rest."""
        self._started = True

    def report(self) -> None:
        """Say that it has failed, and remove the file with our number."""
        pipe = self._twistd.get("statusPipe")
        if self._started or pipe is None:
            return
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                os.write(pipe, _FAILED)
        name = self._twistd.get("pidfile")
        with suppress(OSError, ValueError):
            if name and int(Path(name).read_text()) == os.getpid():
                os.unlink(name)


def create_logs(paths: Iterable[str], twistd: Mapping[str, Any]) -> None:
    """Create log files that are missing for whom twistd is going to be, if it drops its rights.

    It could not open them anew, after a rotation, if they belonged to whom it was before. Raises OSError.
    """
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if os.geteuid() != 0 or (uid is None and gid is None):
        return
    if uid is not None and gid is None:
        with suppress(KeyError):
            gid = pwd.getpwuid(uid).pw_gid
    for path in paths:
        try:
            # A file that is there belongs to whom somebody wanted it to.
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        except FileExistsError:
            continue
        try:
            os.fchown(made, -1 if uid is None else uid, -1 if gid is None else gid)
        finally:
            os.close(made)

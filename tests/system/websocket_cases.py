"""Runs the Autobahn WebSocket cases direct and through the proxy, and compares verdicts.

    pip install kosoku                 (into any environment; it is no requirement of ours)
    python -m tests.system.websocket_cases --kosoku PATH/bin/kosoku [--include '9.*']

An echo server (wsproto) is judged by kosoku twice; a proxy that changes no byte and no
close code changes no verdict. The cases of speed and size (9.*) and of compression (12.*
and 13.*) take most of the time. The status is 1 when a verdict differs.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from tests.system.faults.process import pool_config, running_proxy

LIMIT_SECONDS = 1800.0


class EchoServer(asyncio.Protocol):
    """Sends every message back, whole."""

    def __init__(self) -> None:
        self.ws = WSConnection(ConnectionType.SERVER)
        self.parts: list[Any] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Somebody connects."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of frames."""
        try:
            self.ws.receive_data(data)
            for event in self.ws.events():
                self.on_event(event)
        except RemoteProtocolError as error:
            hint = error.event_hint or CloseConnection(1002)
            self.say(hint)
            self.transport.close()
        except LocalProtocolError:
            self.transport.close()

    def on_event(self, event: Any) -> None:
        """Answer one event."""
        if isinstance(event, Request):
            if event.target.startswith("/"):
                self.say(AcceptConnection(extensions=[PerMessageDeflate()]))
            else:
                self.say(RejectConnection())
        elif isinstance(event, Message):
            self.parts.append(event.data)
            if event.message_finished:
                parts, self.parts = self.parts, []
                if isinstance(event, TextMessage):
                    self.say(TextMessage("".join(parts)))
                else:
                    self.say(BytesMessage(b"".join(bytes(part) for part in parts)))
        elif isinstance(event, Ping):
            self.say(event.response())
        elif isinstance(event, CloseConnection):
            self.say(event.response())
            self.transport.close()

    def say(self, event: Any) -> None:
        """Send an event."""
        self.transport.write(self.ws.send(event))


async def verdicts(kosoku: str, port: int, wanted: list[str]) -> dict[str, str]:
    """The verdict of each case, and of its close, for the server on `port`."""
    with tempfile.TemporaryDirectory() as folder:
        selection = [word for case in wanted for word in ("-i", case)]
        process = await asyncio.create_subprocess_exec(
            kosoku,
            "-p",
            "4",
            "-o",
            folder,
            *selection,
            f"127.0.0.1:{port}",
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            await asyncio.wait_for(process.wait(), LIMIT_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
        report = json.loads((Path(folder) / "index.json").read_text())
    return {
        case: f"{seen['behavior']}/{seen['behaviorClose']}"
        for agent in report.values()
        for case, seen in agent.items()
    }


async def compare(kosoku: str, wanted: list[str]) -> int:
    """Run both and print what differs. Returns how many do."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(EchoServer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    direct = await verdicts(kosoku, port, wanted)
    async with running_proxy(pool_config([port])) as proxy:
        through = await verdicts(kosoku, proxy.port, wanted)
        bad = proxy.bad_lines()
    server.close()
    for word, seen in (("direct", direct), ("proxied", through)):
        print(f"{word:8} {dict(collections.Counter(seen.values()))}")
    differing = [
        case
        for case in sorted(direct.keys() | through.keys())
        if direct.get(case) != through.get(case)
    ]
    for case in differing:
        print(f"{case}: direct {direct.get(case)}, through {through.get(case)}")
    for line in bad:
        print(f"in the log: {line}")
    same = len(direct) - len(differing)
    print(f"{same} of {len(direct)} cases have the same verdict through the proxy")
    return len(differing) + len(bad)


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.websocket_cases")
    parser.add_argument("--kosoku", default=shutil.which("kosoku"))
    parser.add_argument("--include", action="append", default=[])
    given = parser.parse_args(arguments)
    if not given.kosoku:
        print("kosoku is not installed (pip install kosoku); nothing was run")
        return 0
    return 1 if asyncio.run(compare(given.kosoku, given.include)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

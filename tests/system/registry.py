"""What Consul answers about a service, and a list over HTTP: `python -m tests.system.registry PORT FILE`.

There is no package of Consul to be had, so this stands for the two of its endpoints' behaviours that matter: a blocking
query (`index`, `wait`) of `/v1/health/service/NAME`, and an index that grows with each change. `/targets` has the same
as a list, with an `ETag`. FILE: a JSON list of hosts and ports, looked at again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOOK_SECONDS = 0.05


class Registry:
    """What is in the file, with a number for each of its changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = 1
        self.text = ""
        self.look()

    def look(self) -> None:
        """Look at the file."""
        text = self.path.read_text()
        if text != self.text:
            self.text = text
            self.index += 1

    async def change(self, index: int, seconds: float) -> None:
        """Wait until the index is another one, or so long."""
        until = time.monotonic() + seconds
        self.look()
        while self.index == index and time.monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    async def answer(self, uri: str, tag: str) -> tuple[int, dict[str, Any], Any]:
        """The status, the fields and the body for a question."""
        url = urlsplit(uri)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        if url.path.startswith("/v1/health/service/"):
            wait = float(query.get("wait", "0s").removesuffix("s"))
            await self.change(int(query.get("index", 0)), wait)
            said: Any = [
                {"Node": {"Address": host}, "Service": {"Address": "", "Port": port}}
                for host, port in json.loads(self.text)
            ]
            return 200, {"X-Consul-Index": self.index}, said
        self.look()
        mine = f'"{sha256(self.text.encode()).hexdigest()[:16]}"'
        if tag == mine:
            return 304, {"ETag": mine}, None
        said = [f"http://{host}:{port}" for host, port in json.loads(self.text)]
        return 200, {"ETag": mine}, said

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                tag = fields.get("if-none-match", "")
                code, more, said = await self.answer(lines[0].split(" ")[1], tag)
                body = b"" if said is None else json.dumps(said).encode()
                rows = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                length = "" if code == 304 else f"Content-Length: {len(body)}\r\n"
                writer.write(f"HTTP/1.1 {code} S\r\n{rows}{length}\r\n".encode() + body)
                await writer.drain()
        writer.close()


async def main() -> None:
    """Serve until somebody ends it."""
    registry = Registry(Path(sys.argv[2]))
    server = await asyncio.start_server(registry.serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

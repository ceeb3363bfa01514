"""A cluster of ours over HTTP, on asyncio: for the proxy in a process of its own, and for kubectl."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from lolly_tx.kubernetes.objects import KINDS
from tests.kubernetes.cluster import Cluster


class ServedCluster:
    """Serves `cluster` on a port that the system chooses."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection, with one question after the other; a watch is the last."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._answered(reader, writer):
                pass
        writer.close()

    async def _answered(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, uri, _ = head[0].split(" ")
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        data = await reader.readexactly(int(fields.get("content-length", 0)))
        body = json.loads(data) if data else None
        code, item = self._known(method, uri) or self.cluster.answer(
            method, uri, fields, body
        )
        if item is None:
            await self._watched(uri, reader, writer)
            return False
        said = json.dumps(item).encode()
        writer.write(
            f"HTTP/1.1 {code} S\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n".encode()
            + said
        )
        await writer.drain()
        return True

    async def _watched(
        self, uri: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 S\r\nTransfer-Encoding: chunked\r\n\r\n")
        over = asyncio.Event()

        def write(line: bytes) -> None:
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))

        watcher = self.cluster.watch(uri, write)
        watcher.end = over.set
        gone = asyncio.ensure_future(reader.read())
        ended = asyncio.ensure_future(over.wait())
        await asyncio.wait((gone, ended), return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            writer.write(b"0\r\n\r\n")
        for each in (gone, ended):
            each.cancel()
        self.cluster.forget(watcher)

    def _known(self, method: str, uri: str) -> tuple[int, Any] | None:
        """What kubectl asks before anything else: which kinds there are."""
        words = uri.partition("?")[0].strip("/").split("/")
        if words == ["api"]:
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        groups = sorted({one.version for one in KINDS.values() if "/" in one.version})
        if words == ["apis"]:
            return 200, {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [
                    _group(group, groups) for group in {g.split("/")[0] for g in groups}
                ],
            }
        version = "/".join(words[1:])
        found = [one for one in KINDS.values() if one.version == version]
        if words[0] in ("api", "apis") and found:
            return 200, {
                "kind": "APIResourceList",
                "groupVersion": version,
                "resources": [
                    {
                        "name": one.plural,
                        "singularName": one.name.lower(),
                        "namespaced": not one.cluster_wide,
                        "kind": one.name,
                        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
                    }
                    for one in found
                ],
            }
        return None


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    own = [
        {"groupVersion": one, "version": one.split("/")[1]}
        for one in versions
        if one.split("/")[0] == name
    ]
    return {"name": name, "versions": own, "preferredVersion": own[0]}


@contextlib.asynccontextmanager
async def served(cluster: Cluster) -> AsyncIterator[ServedCluster]:
    """It listens until the end."""
    serving = ServedCluster(cluster)
    server = await asyncio.start_server(serving.handle, "127.0.0.1", 0, limit=1 << 20)
    serving.port = server.sockets[0].getsockname()[1]
    try:
        yield serving
    finally:
        server.close()
        cluster.cut()

"""A cluster whose pods are replaced under load, whose routes change, and in which somebody writes nonsense.

`python -m tests.system.kubernetes_scenario` prints the figures; `test_kubernetes` asserts what must hold of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import attrs

from tests.kubernetes.cluster import SLICES, Cluster, endpoint_slice
from tests.kubernetes.served import served
from tests.kubernetes.things import (
    gateway,
    gateway_class,
    named,
    prefix,
    route,
    rule,
    service,
)
from tests.system.faults.client import HttpClient, Tally, get_checked
from tests.system.faults.process import ProxyProcess, running_proxy

GATEWAY = "gateway.networking.k8s.io/v1"
ROUTES = f"{GATEWAY}/httproutes"
PODS = 10
CLIENTS = 4
PATIENCE = 30.0

CONFIG = """
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[provider.cluster]
type = "kubernetes"
api = "API"
listeners = { http = "web" }
"""


class Pod:
    """A server that answers everything with one word, and ends as well-behaved ones do."""

    def __init__(self, name: str, word: bytes = b"pod") -> None:
        self.name, self.word = name, word
        self.answered = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on a port that the system chooses."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.answered += 1
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(self.word), self.word)
                )
        self._writers.discard(writer)
        writer.close()

    def stop(self) -> None:
        """Listen no more, and close what is idle."""
        self._server.close()
        for each in self._writers:
            each.close()

    def slice(self, **conditions: bool) -> Any:
        """The EndpointSlice that has it."""
        endpoint = {"addresses": ["127.0.0.1"], "conditions": conditions}
        return endpoint_slice(
            self.name, addresses=[endpoint], ports=(("http", self.port),)
        )


@attrs.define
class Figures:
    """What was seen. Seconds."""

    requests: int = 0
    failed: int = 0
    why: str = ""
    roll_seconds: float = 0.0
    route_seconds: float = 0.0
    switch_seconds: float = 0.0
    switch_failed: int = 0
    others_failed: int = 0
    refused: str = ""
    leftovers: int = 0
    bad_lines: list[str] = attrs.Factory(list)


async def answers(client: HttpClient, path: str, word: bytes) -> bool:
    """Whether a path is answered with a word."""
    try:
        return (await client.ask(path)).body == word
    except Exception:
        client.close()
        return False


async def until(what: Any) -> float:
    """How long it took until it was so."""
    began = time.monotonic()
    while not await what():
        if time.monotonic() - began > PATIENCE:
            raise AssertionError("it has not come about")
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def roll(cluster: Cluster, pods: list[Pod]) -> None:
    """All pods give way to new ones, two at a time."""
    old = list(pods)
    for first in range(0, len(old), 2):
        await asyncio.gather(
            *(replace(cluster, pods, one) for one in old[first : first + 2])
        )


async def replace(cluster: Cluster, pods: list[Pod], old: Pod) -> None:
    """As a Deployment does it: first the new one is ready, then the old one ends."""
    new = Pod(old.name.replace("old", "new"))
    await new.start()
    pods.append(new)
    cluster.put(SLICES, new.slice(ready=False, serving=False, terminating=False))
    await asyncio.sleep(0.05)
    cluster.put(SLICES, new.slice(ready=True, serving=True, terminating=False))
    cluster.put(SLICES, old.slice(ready=False, serving=True, terminating=True))
    # The kubelet gives what it ends its grace; here that is until nobody new is sent to it for a while.
    before = -1
    while old.answered != before:
        before = old.answered
        await asyncio.sleep(0.4)
    old.stop()
    cluster.delete(SLICES, old.name, "default")
    pods.remove(old)


async def load(port: int, tally: Tally, over: asyncio.Event) -> None:
    """One client that asks all the time."""
    client = HttpClient(port)
    while not over.is_set():
        await get_checked(client, tally, "/", b"pod")
        await asyncio.sleep(0.005)
    client.close()


async def scenario() -> Figures:
    """All of it."""
    cluster, figures = Cluster(), Figures()
    pods = [Pod(f"old-{index}") for index in range(PODS)]
    for pod in pods:
        await pod.start()
        cluster.put(SLICES, pod.slice(ready=True))
    others = [Pod("other", b"other"), Pod("third", b"third")]
    for each in others:
        await each.start()
        ports = (("http", each.port),)
        one = endpoint_slice(each.name, each.name, ["127.0.0.1"], ports=ports)
        cluster.put(SLICES, one)
    cluster.put(f"{GATEWAY}/gatewayclasses", gateway_class())
    cluster.put(f"{GATEWAY}/gateways", gateway())
    for name in ("api", "other", "third"):
        cluster.put("v1/services", service(name))
    cluster.put(ROUTES, route())
    async with (
        served(cluster) as serving,
        running_proxy(CONFIG.replace("API", serving.url)) as proxy,
    ):
        await _act(cluster, pods, proxy, figures)
        figures.bad_lines = proxy.bad_lines()
    for pod in (*pods, *others):
        pod.stop()
    return figures


async def _act(
    cluster: Cluster, pods: list[Pod], proxy: ProxyProcess, figures: Figures
) -> None:
    client = HttpClient(proxy.port)
    await until(lambda: answers(client, "/", b"pod"))
    tally, over = Tally(), asyncio.Event()
    clients = [
        asyncio.ensure_future(load(proxy.port, tally, over)) for _ in range(CLIENTS)
    ]
    began = time.monotonic()
    old = list(pods)
    await roll(cluster, pods)
    figures.roll_seconds = time.monotonic() - began
    figures.leftovers = len(set(old) & set(pods)) + sum(
        not one.answered for one in pods
    )
    figures.failed, figures.why = tally.failures + tally.wrong, tally.why()
    # A route is put, and answers.
    cluster.put(
        ROUTES,
        route(rule(prefix("/new"), to=[{"name": "other", "port": 80}]), name="new"),
    )
    figures.route_seconds = await until(lambda: answers(client, "/new", b"other"))
    # It leads to another Service, which no route led to before, while a client asks.
    statuses: list[int] = []

    async def switched() -> bool:
        answer = await client.ask("/new")
        statuses.append(answer.status)
        return answer.body == b"third"

    cluster.put(
        ROUTES,
        route(rule(prefix("/new"), to=[{"name": "third", "port": 80}]), name="new"),
    )
    figures.switch_seconds = await until(switched)
    figures.switch_failed = sum(status != 200 for status in statuses)
    # Nonsense is written; what was there goes on, and what comes next comes.
    parents = [{"name": "gate"}]
    wrong: list[Any] = [{"parentRefs": parents, "rules": [{"matches": 3}]}, [], None]
    for index, spec in enumerate(wrong):
        cluster.put(ROUTES, {"metadata": named(f"bad-{index}"), "spec": spec})
    cluster.put(
        ROUTES,
        route(
            rule({"path": {"type": "RegularExpression", "value": "(("}}), name="worse"
        ),
    )
    cluster.put(
        ROUTES,
        route(rule(prefix("/last"), to=[{"name": "other", "port": 80}]), name="last"),
    )
    await until(lambda: answers(client, "/last", b"other"))
    figures.others_failed = not await answers(client, "/new", b"third")

    async def said() -> bool:
        status = cluster.get(ROUTES, "worse", "default").get("status")
        if status is not None:
            [figures.refused] = [
                one["status"]
                for one in status["parents"][0]["conditions"]
                if one["type"] == "Accepted"
            ]
        return status is not None

    await until(said)
    over.set()
    await asyncio.gather(*clients)
    figures.requests = tally.ok
    figures.failed, figures.why = tally.failures + tally.wrong, tally.why()
    client.close()


def main() -> None:
    """Print the figures."""
    for name, value in attrs.asdict(asyncio.run(scenario())).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()

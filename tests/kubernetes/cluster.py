"""An API server of ours: objects, versions, pages, watches, bookmarks and forgotten versions; no sockets in here."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

SLICES = "discovery.k8s.io/v1/endpointslices"


class Watcher:
    """One watch: where its lines go."""

    def __init__(
        self, kind: str, namespace: str, write: Callable[[bytes], Any]
    ) -> None:
        self.kind, self.namespace, self.write = kind, namespace, write
        self.end: Callable[[], Any] = lambda: None
        self.timer: Any = None

    def say(self, type: str, item: Any) -> None:
        """An event."""
        self.write(json.dumps({"type": type, "object": item}).encode() + b"\n")


class Cluster:
    """Objects by kind ("VERSION/PLURAL", such as `SLICES`), namespace and name.

    `token`: what has to be shown. `refusing`: the status of every answer, if any; `down`: nobody answers at all.
    `absent`: kinds that are not known. `clock`: ends watches when their time is over; None: nobody does.
    """

    def __init__(self, clock: Any = None) -> None:
        self.clock = clock
        self.version = 100
        self.oldest = 0
        self.objects: dict[str, dict[tuple[str, str], Any]] = {}
        self.events: list[tuple[int, str, str, Any]] = []
        self.watchers: list[Watcher] = []
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.token = ""
        self.refusing = 0
        self.down = False
        self.absent: set[str] = set()
        self.page = 1000

    # -- what there is

    def put(self, kind: str, item: Any) -> Any:
        """Create it, or let it be so."""
        item = copy.deepcopy(item)
        meta = item.setdefault("metadata", {})
        key = meta.get("namespace", ""), meta["name"]
        there = self.objects.setdefault(kind, {})
        before = there.get(key)
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta.setdefault("uid", f"uid-{self.version}")
        if before is None:
            meta.setdefault("generation", 1)
            meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        else:
            meta["uid"] = before["metadata"]["uid"]
            meta["creationTimestamp"] = before["metadata"]["creationTimestamp"]
            same = before.get("spec") == item.get("spec")
            meta["generation"] = before["metadata"]["generation"] + (not same)
        there[key] = item
        self._happened(kind, "ADDED" if before is None else "MODIFIED", item)
        return item

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """Let it be no more."""
        item = copy.deepcopy(self.objects[kind].pop((namespace, name)))
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self._happened(kind, "DELETED", item)

    def get(self, kind: str, name: str, namespace: str = "") -> Any:
        """As it is now."""
        return self.objects[kind][namespace, name]

    def _happened(self, kind: str, type: str, item: Any) -> None:
        item = copy.deepcopy(item)
        self.events.append((self.version, kind, type, item))
        for one in list(self.watchers):
            if one.kind == kind and _within(item, one.namespace):
                one.say(type, item)

    def compact(self) -> None:
        """Forget what happened before now."""
        self.oldest = self.version
        self.events.clear()

    def bookmark(self) -> None:
        """Tell all watches how far they are."""
        for one in list(self.watchers):
            meta = {"resourceVersion": str(self.version)}
            one.say("BOOKMARK", {"kind": "X", "metadata": meta})

    def cut(self) -> None:
        """End all watches."""
        for one in list(self.watchers):
            self.forget(one)
            one.end()

    def forget(self, watcher: Watcher) -> None:
        """Tell it nothing more."""
        if watcher in self.watchers:
            self.watchers.remove(watcher)
        timer, watcher.timer = watcher.timer, None
        if timer is not None:
            timer.cancel()

    # -- what is asked

    def answer(
        self, method: str, uri: str, fields: Mapping[str, str], body: Any = None
    ) -> tuple[int, Any]:
        """Status and object; a watch has None for it, and goes on by `watch`."""
        path, _, text = uri.partition("?")
        query = dict(parse_qsl(text))
        self.asked.append((method, path, query, body))
        if self.refusing:
            return self.refusing, _status(self.refusing, "refused")
        if self.token and fields.get("authorization") != f"Bearer {self.token}":
            return 401, _status(401, "Unauthorized")
        found = _place(path)
        if found is None or found[0] in self.absent:
            return 404, _status(404, "the server could not find the requested resource")
        kind, namespace, name, part = found
        if method == "PATCH":
            return self._patched(kind, namespace, name, part, body)
        if method == "POST":
            return 201, self.put(kind, body)
        if method == "DELETE":
            self.delete(kind, name, namespace)
            return 200, {"kind": "Status", "status": "Success"}
        if name:
            item = self.objects.get(kind, {}).get((namespace, name))
            return (200, item) if item else (404, _status(404, f"{name} not found"))
        if query.get("watch") == "true":
            if int(query["resourceVersion"]) < self.oldest:
                return 410, _status(410, "too old resource version")
            return 200, None
        return 200, self._page(kind, namespace, query)

    def _patched(
        self, kind: str, namespace: str, name: str, part: str, body: Any
    ) -> tuple[int, Any]:
        item = copy.deepcopy(self.objects.get(kind, {}).get((namespace, name)))
        if item is None:
            return 404, _status(404, f"{name} not found")
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted and wanted != item["metadata"]["resourceVersion"]:
            return 409, _status(409, "the object has been modified")
        if part == "status":
            item["status"] = _merged(item.get("status"), body.get("status"))
        else:
            item = _merged(item, body)
        return 200, self.put(kind, item)

    def _page(self, kind: str, namespace: str, query: Mapping[str, str]) -> Any:
        there = sorted(self.objects.get(kind, {}).items())
        items = [
            item
            for _, item in there
            if _within(item, namespace) and _selected(item, query)
        ]
        begin = int(query.get("continue", "0"))
        end = begin + min(self.page, int(query.get("limit", "1000")))
        meta = {"resourceVersion": str(self.version)}
        if end < len(items):
            meta["continue"] = str(end)
        return {"kind": "List", "metadata": meta, "items": items[begin:end]}

    def watch(self, uri: str, write: Callable[[bytes], Any]) -> Watcher:
        """What a watch that was answered with 200 gets from now on."""
        path, _, text = uri.partition("?")
        query = dict(parse_qsl(text))
        found = _place(path)
        assert found is not None
        watcher = Watcher(found[0], found[1], write)
        for version, kind, type, item in self.events:
            if (
                version > int(query["resourceVersion"])
                and kind == watcher.kind
                and _within(item, watcher.namespace)
            ):
                watcher.say(type, item)
        self.watchers.append(watcher)
        if self.clock is not None:

            def over() -> None:
                watcher.timer = None
                self.forget(watcher)
                watcher.end()

            watcher.timer = self.clock.callLater(float(query["timeoutSeconds"]), over)
        return watcher


def _place(path: str) -> tuple[str, str, str, str] | None:
    """Kind, namespace, name and part of what a path means."""
    words = [unquote(word) for word in path.strip("/").split("/")]
    if words[0] == "api":
        version, rest = words[1], words[2:]
    elif words[0] == "apis" and len(words) > 2:
        version, rest = f"{words[1]}/{words[2]}", words[3:]
    else:
        return None
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return None
    kind, name, part = [*rest, "", ""][:3]
    return f"{version}/{kind}", namespace, name, part


def _within(item: Any, namespace: str) -> bool:
    return not namespace or item["metadata"].get("namespace") == namespace


def _selected(item: Any, query: Mapping[str, str]) -> bool:
    name, _, value = query.get("fieldSelector", "").partition("=")
    return not name or item.get(name) == value


def _merged(old: Any, new: Any) -> Any:
    """RFC 7396."""
    if not isinstance(new, dict):
        return new
    out = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merged(out.get(key), value)
    return out


def _status(code: int, message: str) -> Any:
    return {"kind": "Status", "code": code, "message": message}


class _Response:
    def __init__(self, code: int) -> None:
        self.code, self.headers = code, Headers()
        self.whole: bytes | None = b""
        self.uri = ""
        self.cluster: Any = None

    def deliverBody(self, protocol: Any) -> None:
        """To this one."""
        transport = StringTransport()
        protocol.makeConnection(transport)
        if self.whole is not None:
            protocol.dataReceived(self.whole)
            protocol.connectionLost(Failure(ResponseDone()))
            return
        watcher = self.cluster.watch(self.uri, protocol.dataReceived)
        watcher.end = lambda: protocol.connectionLost(Failure(ResponseDone()))

        transport.loseConnection = (  # type: ignore[method-assign]
            lambda: self.cluster.forget(watcher)
        )


@implementer(IAgent)
class MemoryAgent:
    """Asks a cluster in the same process."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        """As IAgent.request."""
        if self.cluster.down:
            return fail(ConnectionRefusedError())
        body = None
        if bodyProducer is not None:
            sent = StringTransport()
            bodyProducer.startProducing(sent)
            body = json.loads(sent.value())
        where = "/" + uri.decode().split("/", 3)[3]
        fields = {
            name.decode().lower(): values[0].decode()
            for name, values in headers.getAllRawHeaders()
        }
        code, item = self.cluster.answer(method.decode(), where, fields, body)
        response = _Response(code)
        response.uri, response.cluster = where, self.cluster
        response.whole = None if item is None else json.dumps(item).encode()
        return succeed(response)


class ClusterResource(Resource):
    """Serves a cluster over HTTP."""

    isLeaf = True

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster

    def render(self, request: Any) -> Any:
        """Any method."""
        fields = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        data = request.content.read()
        body = json.loads(data) if data else None
        uri = request.uri.decode()
        code, item = self.cluster.answer(request.method.decode(), uri, fields, body)
        request.setResponseCode(code)
        request.setHeader("Content-Type", "application/json")
        if item is not None:
            return json.dumps(item).encode()
        watcher = self.cluster.watch(uri, request.write)
        watcher.end = request.finish
        request.write(b"")

        request.notifyFinish().addBoth(lambda _: self.cluster.forget(watcher))
        return NOT_DONE_YET


def endpoint_slice(
    name: str,
    service: str = "api",
    addresses: Any = (),
    *,
    namespace: str = "default",
    ports: Any = (("http", 8080),),
    **more: Any,
) -> Any:
    """An EndpointSlice; an address is a text, or the whole endpoint."""
    endpoints = [
        {"addresses": [one], "conditions": {"ready": True}}
        if isinstance(one, str)
        else one
        for one in addresses
    ]
    labels = {"kubernetes.io/service-name": service}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": n, "port": p, "protocol": "TCP"} for n, p in ports],
        **more,
    }

"""Tests of the OpenAPI document against the router, and tests of every path made from the document itself."""

from __future__ import annotations

import http.client
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import trustme
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # has no types
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from lolly_tx.service.admin.openapi import document
from lolly_tx.service.admin.paths import JSON, TOML
from lolly_tx.service.admin.table import PATHS
from lolly_tx.service.changes.amending import TargetChanges
from lolly_tx.service.records import dumps
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import ReloadTestCase
from tests.service.test_build import Reactor

TOKEN = "0123456789abcdef"
READ_TOKEN = "fedcba9876543210"

TEXT = f"""
[admin]
endpoint = "tcp:8082:interface=127.0.0.1"
token = "{TOKEN}"
[explain]
sample = 1.0
[recorder]
size = "64k"
[listener.web]
endpoint = "tcp:8080"
[listener.secure]
endpoint = "tcp:8443"
tls.certificate = "site.pem"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001", {{ url = "http://127.0.0.1:9002", id = "b" }}]
[pool.app.health]
[store.shared]
url = "redis://127.0.0.1:6379"
"""
OTHER = TEXT.replace("9001", "9003")

PLACES = {"pool": "app", "target": "b", "name": "web", "store": "shared"}
"""What stands for the parameters of paths in a request that is in order."""

Operation = tuple[str, str, Mapping[str, Any]]


class _Socket:
    """Bytes that were received, for http.client to read."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


class _Connection(StringTransport):
    def abortConnection(self) -> None:
        self.loseConnection()


class _Reactor(Reactor):
    def getThreadPool(self) -> None:
        """None: what is done in a thread is done at once."""


class _Upgrading:
    """New code that takes over, as far as it is told."""

    def upgrade(self) -> Deferred[None]:
        return succeed(None)


class DocumentTestCase(ReloadTestCase):
    """A service as a whole, and its document as a client gets it."""

    text_of = TEXT
    pem: bytes = b""

    def setUp(self) -> None:
        super().setUp()
        if not DocumentTestCase.pem:
            made = trustme.CA().issue_cert("site.test")
            pem = made.private_key_and_cert_chain_pem.bytes()
            DocumentTestCase.pem = pem
        (self.folder / "site.pem").write_bytes(self.pem)
        self.patch(dumps, "deferToThreadPool", lambda _, __, work: maybeDeferred(work))
        self.begin()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        status, _, body = self.ask("GET", "/api/openapi.json", headers=headers)
        self.assertEqual(status, 200)
        self.document: Any = json.loads(body)

    def begin(self) -> None:
        """A new service, with a clock of its own, that has served something."""
        self.reactor = _Reactor()
        self.start(self.text_of)
        self.service.amending = TargetChanges(self.reloader)
        self.service.upgrading = _Upgrading()
        client = self.client()
        client.send(get("/"))
        self.backend(self.reactor.tcpClients[-1][1]).send(OK)
        client.take()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, bytes]:
        """The status, the fields and the body of an answer; of one that does not end what there is of it."""
        transport = _Connection()
        protocol = self.reactor.ports[8082].buildProtocol(
            IPv4Address("TCP", "127.0.0.1", 4000)
        )
        protocol.makeConnection(transport)
        fields = {"Host": "127.0.0.1:8082", "Connection": "close", **(headers or {})}
        if body:
            fields["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        protocol.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)
        for _ in range(30):
            self.reactor.advance(0)
        protocol.connectionLost(Failure(ConnectionDone()))
        answer = http.client.HTTPResponse(_Socket(transport.value()), method=method)  # type: ignore[arg-type]
        answer.begin()
        try:
            said = answer.read()
        except http.client.IncompleteRead as partial:
            said = partial.partial
        return answer.status, answer.headers, said

    def _stop(self) -> None:
        if self.service.running:
            self.service.stopService()

    # -- requests made of the document

    def operations(self) -> Iterator[Operation]:
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield path, method.upper(), operation

    def places(self, path: str) -> list[str]:
        return re.findall(r"{([a-z_]+)}", path)

    def filled(self, path: str, **other: str) -> str:
        values = {**PLACES, **other}
        return re.sub(
            r"{([a-z_]+)}", lambda found: quote(values[found[1]], safe=""), path
        )

    def body_of(self, operation: Mapping[str, Any]) -> bytes:
        """The example of what is sent, if anything is."""
        content = operation.get("requestBody", {}).get("content", {})
        if TOML in content:
            return OTHER.encode()
        if JSON in content:
            return json.dumps(
                self.resolved(content[JSON]["schema"])["examples"][0]
            ).encode()
        return b""

    def resolved(self, schema: Mapping[str, Any]) -> Any:
        return self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]

    def writes(self, operation: Mapping[str, Any]) -> bool:
        return operation.get("security") == [{"token": []}]

    def do(
        self,
        operation: Operation,
        *,
        token: str = TOKEN,
        path: str = "",
        **headers: str,
    ) -> int:
        """The status of a request made of the document; its answer is held against what is declared."""
        place, method, declared = operation
        fields = dict(headers)
        if token:
            fields["Authorization"] = f"Bearer {token}"
        answer = self.ask(
            method, path or self.filled(place), self.body_of(declared), fields
        )
        self.hold(operation, *answer)
        return answer[0]

    def hold(self, operation: Operation, status: int, fields: Any, body: bytes) -> None:
        """An answer has a status that is declared, and a body of its type and its shape."""
        path, method, declared = operation
        told = f"{method} {path}: {status} {body[:300]!r}"
        self.assertIn(str(status), declared["responses"], told)
        content = declared["responses"][str(status)]["content"]
        kind = fields["Content-Type"].partition(";")[0]
        self.assertIn(kind, content, told)
        if kind != JSON:
            return
        schema = {**content[kind]["schema"], "components": self.document["components"]}
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        wrong = [
            f"{error.json_path}: {error.message[:300]}"
            for error in validator.iter_errors(json.loads(body))
        ]
        self.assertEqual(wrong, [], told)


class RouterTests(DocumentTestCase):
    """The document and the router have the same paths, by asking both."""

    def test_document_is_in_the_router(self) -> None:
        """Each path and method of the document leads to what was declared as that."""
        for path, method, operation in self.operations():
            found = PATHS.find(self.filled(path)[1:].split("/"))
            declared, names = found[method]
            self.assertEqual((declared.path, declared.method), (path, method))
            self.assertEqual(list(names), self.places(path))
            self.assertEqual(declared.doc, operation["summary"])

    def test_router_is_in_the_document(self) -> None:
        """Each path and method of the router is in the document, and no other method is answered there."""
        for one in PATHS.declared:
            self.assertIn(one.method.lower(), self.document["paths"][one.path])
        for path in self.document["paths"]:
            there = PATHS.find(self.filled(path)[1:].split("/"))
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
                if method in there:
                    continue
                fields = {"Authorization": f"Bearer {TOKEN}"}
                status, headers, _ = self.ask(method, self.filled(path), headers=fields)
                self.assertEqual(status, 405, f"{method} {path}")
                self.assertEqual(set(headers["Allow"].split(", ")), set(there))

    def test_index(self) -> None:
        """`GET /` lists the same paths, as people write them."""
        told = json.loads(self.ask("GET", "/")[2])["paths"]
        upper = re.compile(r"{([a-z]+)}")
        paths = [upper.sub(lambda m: m[1].upper(), p) for p in self.document["paths"]]
        self.assertEqual(sorted(told), sorted(paths))

    def test_document(self) -> None:
        """It is an OpenAPI 3.1 document: names are told once, every reference leads somewhere, schemas are schemas."""
        self.assertEqual(self.document["openapi"], "3.1.0")
        self.assertEqual(
            self.document, json.loads(json.dumps(document(PATHS.declared)))
        )
        ids = [one["operationId"] for _, _, one in self.operations()]
        self.assertEqual(len(ids), len(set(ids)))
        schemas = self.document["components"]["schemas"]
        used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(self.document)))
        self.assertEqual(used, set(schemas))
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)
        for path, method, operation in self.operations():
            named = [
                one["name"]
                for one in operation.get("parameters", ())
                if one["in"] == "path"
            ]
            self.assertEqual(named, self.places(path), f"{method} {path}")
            content = operation.get("requestBody", {}).get("content", {})
            if JSON in content:
                schema = self.resolved(content[JSON]["schema"])
                for example in schema["examples"]:
                    Draft202012Validator(schema).validate(example)


class EveryPathTests(DocumentTestCase):
    """Requests made of the document, to a service of their own each."""

    def prepare(self, path: str) -> None:
        """What has to be so that a request to `path` is in order."""
        if path in ("/api/confirm", "/api/rollback"):
            asked = "/api/apply" + ("?confirm=60" if path == "/api/confirm" else "")
            fields = {"Authorization": f"Bearer {TOKEN}"}
            self.assertEqual(self.ask("POST", asked, OTHER.encode(), fields)[0], 200)

    def test_in_order(self) -> None:
        """Each path and method answers what the document says of the answer."""
        seen = set()
        for operation in self.operations():
            path, method, declared = operation
            self.begin()
            self.prepare(path)
            status = self.do(operation)
            good = min(int(one) for one in declared["responses"])
            self.assertEqual(status, good, f"{method} {path}")
            seen.add((path, method))
        self.assertEqual(len(seen), len(PATHS.declared))

    def test_without_a_token(self) -> None:
        """What changes something is 401 without the token and 403 from another site's page; nothing changes."""
        before = self.service.settings(), self.service.places()
        count = 0
        for operation in self.operations():
            if not self.writes(operation[2]):
                continue
            count += 1
            self.assertEqual(self.do(operation, token=""), 401, operation[:2])
            self.assertEqual(self.do(operation, token="wrong" * 4), 401, operation[:2])
            foreign = {"Origin": "http://127.0.0.1:9999"}
            self.assertEqual(self.do(operation, **foreign), 403, operation[:2])
            self.begin()  # or who guesses so often would be locked out
        self.assertGreater(count, 15)
        after = self.service.settings(), self.service.places()
        self.assertEqual(before[0]["generation"], after[0]["generation"])

    def test_unknown_names(self) -> None:
        """What has a name in its path is 404 for a name that there is not."""
        count = 0
        for operation in self.operations():
            path = operation[0]
            for name in self.places(path):
                asked = self.filled(path, **{name: "nowhere"})
                self.assertEqual(self.do(operation, path=asked), 404, operation[:2])
                count += 1
        self.assertGreater(count, 12)

    def test_wrong_bodies(self) -> None:
        """A body that the document does not allow is refused as it says: 400 for JSON, 422 for a configuration."""
        for operation in self.operations():
            path, method, declared = operation
            content = declared.get("requestBody", {}).get("content", {})
            if not content:
                continue
            fields = {"Authorization": f"Bearer {TOKEN}"}
            bodies = [b"{", b"{}", b'{"weight": 0}', b'{"nonsense": 1}']
            if TOML in content:
                bodies = [b"nonsense = 1\n", b"\xff"]
            for body in bodies:
                answer = self.ask(method, self.filled(path), body, fields)
                self.assertEqual(answer[0], 422 if TOML in content else 400)
                self.hold(operation, *answer)
            long = b" " * (1 << 20) + b" "
            answer = self.ask(method, self.filled(path), long, fields)
            self.assertEqual(answer[0], 413, f"{method} {path}")
            self.hold(operation, *answer)


class ReadTokenTests(DocumentTestCase):
    """With a token for reading."""

    text_of = TEXT.replace("[explain]", f'read_token = "{READ_TOKEN}"\n[explain]')

    def test_reading(self) -> None:
        """What the document says may be open is so without one; everything else needs it, and takes either token."""
        open_to_all = []
        for operation in self.operations():
            path, method, declared = operation
            if method != "GET":
                continue
            status = self.do(operation, token="")
            if "security" in declared:
                self.assertEqual(status, 401, path)
                for token in (TOKEN, READ_TOKEN):
                    self.assertEqual(self.do(operation, token=token), 200, path)
            else:
                open_to_all.append(path)
                self.assertEqual(status, 200, path)
        self.assertEqual(
            sorted(open_to_all),
            ["/dashboard.css", "/dashboard.js", "/healthz", "/readyz"],
        )

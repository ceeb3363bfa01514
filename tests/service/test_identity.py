"""Tests of request ids and traces, from the settings to the log, the target and the client."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import parse
from lolly_tx.config.kinds.problems import ConfigErrors
from tests.proxy.world import OK, answer, get
from tests.service.changes.test_reload import ReloadTestCase
from tests.service.test_build import BuildTestCase

TEXT = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
path = "/app/"
[pool.app]
targets = ["http://127.0.0.1:9001"]
[access_log]
path = "access.log"
buffer_size = 0
format = "json"
"""
IDS = "[request_id]\n"
TRACED = "[trace]\n"
TRUSTING = 'trusted_proxies = ["192.0.2.0/24"]\n'
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"traceparent: 00-{TRACE}-{SPAN}-01\r\n"


def field(sent: bytes, name: str) -> list[str]:
    """The values of a field in what was sent."""
    found = re.findall(rb"(?i)\r\n%b: ?([^\r]*)" % name.encode(), sent)
    return [value.decode() for value in found]


class IdentityTestCase(BuildTestCase):
    def ask(
        self, text: str, more: str = "", path: str = "/app/", said: bytes = OK
    ) -> tuple[bytes, bytes, dict[str, Any]]:
        """What the target got, what the client got, and the line in the log."""
        self.started(text, random=Random(1))
        client = self.client()
        client.send(get(path, more))
        got = b""
        if path == "/app/":
            backend = self.backend()
            got = backend.take()
            backend.send(said)
        [line] = (self.folder / "access.log").read_text().splitlines()
        return got, client.take(), json.loads(line)


class RequestIdTests(IdentityTestCase):
    def test_made(self) -> None:
        """A request gets an id that target, client and log agree on."""
        got, told, line = self.ask(IDS + TEXT)
        [id] = field(got, "X-Request-Id")
        self.assertRegex(id, "^[0-9a-f]{32}$")
        self.assertEqual((field(told, "X-Request-Id"), line["request_id"]), ([id], id))

    def test_off(self) -> None:
        """Without the table the field passes as any other, and the log says nothing of it."""
        got, told, line = self.ask(TEXT, "X-Request-Id: mine\r\n")
        self.assertEqual(field(got, "X-Request-Id"), ["mine"])
        self.assertEqual(field(told, "X-Request-Id"), [])
        self.assertNotIn("request_id", line)

    def test_not_trusted(self) -> None:
        """An id that a client made up does not reach the target, in any spelling."""
        more = "X-Request-ID: mine\r\nX_Request_Id: mine\r\n"
        got, told, line = self.ask(IDS + TEXT, more)
        self.assertNotIn(b"mine", got + told)
        self.assertEqual(len(field(got, "X-Request-Id")), 1)
        self.assertNotEqual(line["request_id"], "mine")

    def test_trusted(self) -> None:
        """That of a trusted proxy is taken over, and so is anybody's where the settings say so."""
        for text in (TRUSTING + IDS + TEXT, IDS + "trust = true\n" + TEXT):
            got, told, line = self.ask(text, "x-request-id: a.b-C_1\r\n")
            for sent in (got, told):
                self.assertEqual(field(sent, "X-Request-Id"), ["a.b-C_1"])
            self.assertEqual(line["request_id"], "a.b-C_1")
            (self.folder / "access.log").unlink()

    def test_malformed(self) -> None:
        """One that is not well-formed, or one of two, is replaced even if it comes from somebody trusted."""
        for value in ("", "a b", 'a"b', "a" * 129, "é", "a\r\nX-Request-Id: b"):
            got, told, line = self.ask(
                TRUSTING + IDS + TEXT, f"X-Request-Id: {value}\r\n"
            )
            [id] = field(got, "X-Request-Id")
            self.assertRegex(id, "^[0-9a-f]{32}$", value)
            self.assertEqual(
                (field(told, "X-Request-Id"), line["request_id"]), ([id], id)
            )
            (self.folder / "access.log").unlink()

    def test_answers_of_ours(self) -> None:
        """Our own answers have it, whoever refuses: the table of routes, or the pool."""
        _, told, line = self.ask(IDS + TEXT, path="/none")
        self.assertTrue(told.startswith(b"HTTP/1.1 404 "))
        self.assertEqual(field(told, "X-Request-Id"), [line["request_id"]])
        (self.folder / "access.log").unlink()
        self.started(IDS + TEXT.replace('9001"', '9001"]\nretry.tries = 1 #'))
        client = self.client()
        client.send(get("/app/"))
        self.backend().reset()
        told = client.take()
        self.assertTrue(told.startswith(b"HTTP/1.1 502 "), told)
        text = (self.folder / "access.log").read_text()
        self.assertEqual(field(told, "X-Request-Id"), [json.loads(text)["request_id"]])

    def test_answer_of_the_target(self) -> None:
        """What a target answers under this name is replaced: nobody could tell whose it is."""
        theirs = answer(b"x").replace(b"\r\n", b"\r\nX-Request-ID: theirs\r\n", 1)
        chunked = b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        length = b"Content-Length: 1\r\n"
        for said in (theirs, theirs.replace(length, b"")[:-3] + chunked):
            _, told, line = self.ask(IDS + TEXT, said=said)
            self.assertEqual(field(told, "X-Request-Id"), [line["request_id"]])
            (self.folder / "access.log").unlink()

    def test_silent(self) -> None:
        """Clients are not told where they are not to be, and a name of one's own is used."""
        text = IDS + 'echo = false\nheader = "X-Trace"\n' + TEXT
        got, told, _ = self.ask(text)
        self.assertEqual(len(field(got, "X-Trace")), 1)
        self.assertNotIn(b"X-Trace", told)

    def test_body_and_another_attempt(self) -> None:
        """A second attempt, and one with a body, bears the same id."""
        second = TEXT.replace('9001"', '9001", "http://127.0.0.1:9002"')
        self.started(IDS + second)
        client = self.client()
        client.send(b"PUT /app/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb")
        port = self.reactor.tcpClients[-1][1]
        first = self.backend(port)
        got = [first.take()]
        first.reset()
        other = self.backend(9003 + 9000 - port)
        got.append(other.take())
        other.send(OK)
        ids = [field(sent, "X-Request-Id") for sent in got]
        self.assertEqual(ids[0], ids[1])
        self.assertTrue(all(sent.endswith(b"\r\n\r\nb") for sent in got))
        [line] = (self.folder / "access.log").read_text().splitlines()
        self.assertEqual([json.loads(line)["request_id"]], ids[0])

    def test_each_its_own(self) -> None:
        """Requests on one connection have ids of their own."""
        self.started(IDS + TEXT)
        client = self.client()
        seen = set()
        backend = None
        for _ in range(3):
            client.send(get("/app/"))
            backend = backend or self.backend()
            seen.update(field(backend.take(), "X-Request-Id"))
            backend.send(OK)
        self.assertEqual(len(seen), 3)


class TraceTests(IdentityTestCase):
    def test_begun(self) -> None:
        """A request without a trace begins one, and the log names it."""
        got, _, line = self.ask(TRACED + TEXT)
        [context] = field(got, "traceparent")
        self.assertEqual(context, f"00-{line['trace_id']}-{line['span_id']}-01")
        self.assertRegex(context, "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
        self.assertEqual(field(got, "tracestate"), [])

    def test_continued(self) -> None:
        """A trace goes on with a span of ours, and its state as it came."""
        got, _, line = self.ask(
            TRACED + TEXT, PARENT + "tracestate: a=1\r\ntracestate: b=2\r\n"
        )
        [context] = field(got, "traceparent")
        self.assertEqual(context, f"00-{TRACE}-{line['span_id']}-01")
        self.assertNotEqual(line["span_id"], SPAN)
        self.assertEqual(field(got, "tracestate"), ["a=1,b=2"])

    def test_malformed(self) -> None:
        """A malformed one is replaced, and its state dropped; so are two."""
        for given in (PARENT.replace("00-", "00_"), PARENT.upper(), PARENT + PARENT):
            got, _, line = self.ask(TRACED + TEXT, given + "tracestate: a=1\r\n")
            [context] = field(got, "traceparent")
            self.assertNotIn(TRACE, context.lower())
            self.assertEqual(field(got, "tracestate"), [])
            (self.folder / "access.log").unlink()

    def test_not_begun(self) -> None:
        """Where none is to be begun, one that comes goes on, and a malformed one ends."""
        text = TRACED + "begin = false\n" + TEXT
        for given, known in (
            (PARENT, True),
            ("", False),
            ("traceparent: x\r\n", False),
        ):
            got, _, line = self.ask(text, given)
            self.assertEqual(len(field(got, "traceparent")), known)
            self.assertEqual(line["trace_id"], TRACE if known else None)
            (self.folder / "access.log").unlink()

    def test_off(self) -> None:
        """Without the table it passes as any field does."""
        got, _, line = self.ask(TEXT, PARENT)
        self.assertEqual(field(got, "traceparent"), [PARENT[13:-2]])
        self.assertNotIn("trace_id", line)

    def test_kept(self) -> None:
        """That a trace is not kept is believed of anybody, that it is of trusted proxies alone."""
        for trusting, sample, given, flag in (
            ("", "1", PARENT, "01"),
            ("", "0", PARENT, "00"),
            (TRUSTING, "0", PARENT, "01"),
            (TRUSTING, "1", PARENT.replace("-01", "-00"), "00"),
            ("", "1", PARENT.replace("-01", "-00"), "00"),
            ("", "0", "", "00"),
        ):
            text = f"{trusting}{TRACED}sample = {sample}\n{TEXT}"
            got, *_ = self.ask(text, given)
            [context] = field(got, "traceparent")
            self.assertEqual(context[-2:], flag, (trusting, sample, given))
            (self.folder / "access.log").unlink()

    def test_share(self) -> None:
        """Whether a trace is kept follows from its id: of those that we begin, the share that is asked for."""
        self.started(TRACED + "sample = 0.3\n" + TEXT, random=Random(1))
        client = self.client()
        client.send(get("/app/"))
        backend = self.backend()
        kept = 0
        for _ in range(1000):
            kept += field(backend.take(), "traceparent")[0].endswith("-01")
            backend.send(OK)
            client.send(get("/app/"))
        self.assertTrue(250 < kept < 350, kept)  # 3.4 standard deviations of 14.5


class ReloadTests(ReloadTestCase):
    def test_begins_and_ends(self) -> None:
        """Request ids begin and end with the settings, on connections that are there."""
        text = TEXT.replace('path = "/app/"\n', "")
        self.start(text)
        client = self.client()
        backend = None
        for settings, ids in ((text, 0), (IDS + text, 1), (text, 0)):
            self.reload(settings)
            client.send(get("/x"))
            backend = backend or self.backend()
            self.assertEqual(len(field(backend.take(), "X-Request-Id")), ids)
            backend.send(OK)
            self.assertEqual(len(field(client.take(), "X-Request-Id")), ids)
            line = (self.folder / "access.log").read_text().splitlines()[-1]
            self.assertEqual("request_id" in json.loads(line), bool(ids))


class SettingsTests(SynchronousTestCase):
    def wrong(self, table: str) -> str:
        return str(self.assertRaises(ConfigErrors, parse, table + TEXT, "/t.toml"))

    def test_wrong(self) -> None:
        """Fields with a meaning of their own, are refused with the fix."""
        for table, message in (
            ('request_id = { header = "Cookie" }\n', "has a meaning of its own"),
            (
                'request_id = { header = "Content_Length" }\n',
                "has a meaning of its own",
            ),
            ('request_id = { header = "X_Id" }\n', 'did you mean "X-Id"?'),
            ('request_id = { header = "" }\n', "request_id.header"),
            ('trace = { export = "127.0.0.1:4318" }\n', "must be a URL such as"),
            ('trace = { export = "http://u:p@h/v1" }\n', "must be a URL such as"),
            ('trace = { export = "http://h:70000/v1" }\n', "must be a URL such as"),
            (
                'trace = { export = "http://h:4318" }\n',
                'did you mean "http://h:4318/v1/traces"?',
            ),
            ("trace = { sample = 2 }\n", "must be between 0"),
        ):
            self.assertIn(message, self.wrong(table), table)

"""What clients say may end up in every log. Whatever it is, a line stays one line of the same shape."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import attrs
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.tls_facts import Facts
from lolly_tx.proxy.entry import Entry, Words
from lolly_tx.proxy.records.lineformat import LineFormat
from lolly_tx.service.process.processlog import json_line, text_line

HOSTILE = {
    "CR": "a\rb",
    "LF": "a\nb",
    "CRLF and a line": 'a\r\n192.0.2.9 - - [x] "GET / HTTP/1.1" 200 1 "-" "-"',
    "quotes": 'a" 200 1 "b',
    "backslash": "a\\x0Ab\\",
    "ESC": "a\x1b[2J\x1b]0;b\x07",
    "NUL": "a\x00b",
    "DEL and C1": "a\x7f\x85\x9bb",
    "non-ASCII": "\u00e9\u4e2d\U0001f36d",
    "line separators": "a\x0b\x0c\x1c\u2028\u2029b",
    "another direction": "a\u202egnp.exe\u2066",
    "form of %": "%s %b %(a)s {a} {}",
    "JSON": '","status":200,"x":"',
}

PLAIN = "plain"

BYTES = (
    "method",
    "target",
    "version",
    "host",
    "user-agent",
    "referer",
    "x-a",
    "cookie",
)
"""Of the head."""
TEXTS = ("client", "upstream", "listener", "pool", "target_id", "route", "error")
"""Of an exchange or a session: addresses, names of targets and tunnels that others gave."""
TLS = ("server_name", "subject", "issuer", "alpn")

FACTS = Facts(
    version="TLSv1.3",
    cipher="c",
    server_name="e.example",
    alpn="h2",
    verify="SUCCESS",
    subject="CN=a",
    issuer="CN=b",
    serial="1f",
    fingerprint="ab12",
)

FORMATS = {
    "combined": "combined",
    "json": "json",
    "stream": "stream",
    "stream_json": "stream_json",
    "words": "$client $listener $pool $target $error $tls_server_name $tls_subject $upstream",
    "quoted": '"$route" "$method" "$uri" "$version" "$host" "$header_x_a" "$cookie_a" "$path" "$query" "$arg_q"',
}


def entry(place: str, value: str) -> Entry:
    """An exchange with `value` in one place."""
    raw = dict.fromkeys(BYTES, PLAIN.encode())
    texts: dict[str, Any] = dict.fromkeys(TEXTS, PLAIN)
    facts = FACTS
    if place in raw:
        raw[place] = value.encode()
    elif place in texts:
        texts[place] = value
    else:
        facts = attrs.evolve(FACTS, **{place: value})
    peer: Any = SimpleNamespace(secure=True, told=None, tls=facts, transport=None)
    fields = {name.encode(): raw[name] for name in ("user-agent", "referer", "x-a")} | {
        b"cookie": b"a=" + raw["cookie"]
    }
    target = b"/p?q=" + raw["target"]
    head = Words(raw["method"], target, raw["version"], raw["host"], fields)
    return Entry(
        when_wall=1795293660.25,
        head=head,
        status=200,
        bytes_sent=1,
        upstream_status=200,
        seconds=0.5,
        upstream_seconds=0.25,
        peer=peer,
        target=texts.pop("target_id"),
        **texts,
    )


def shape(line: str) -> tuple[int, int, int]:
    """Lines, quotes, and words outside of quotes."""
    words = re.sub('"[^"]*"', "q", line).split(" ")
    return len(line.splitlines()), line.count('"'), len(words)


class AccessLogTests(SynchronousTestCase):
    def each(self) -> Any:
        for place in (*BYTES, *TEXTS, *TLS):
            for what, value in HOSTILE.items():
                yield place, what, value

    def test_texts(self) -> None:
        """Lines are printable ASCII, with as many quotes and words as if the client had said nothing special."""
        for name, format in FORMATS.items():
            if "json" in name:
                continue
            lines = LineFormat(format)
            expected = shape(lines.line(entry("method", PLAIN)).decode())
            for place, what, value in self.each():
                line = lines.line(entry(place, value)).decode("ascii")
                self.assertTrue(line[:-1].isprintable(), (name, place, what, line))
                if (name, place) != ("stream", "version"):  # which is ours
                    self.assertEqual(shape(line), expected, (name, place, what, line))
                self.assertEqual(line.count("\n"), 1)

    def test_objects(self) -> None:
        """Each is one object with the same names, and its texts do not drive a terminal when they are printed."""
        for name in ("json", "stream_json"):
            more = {
                "sni": "tls_server_name",
                "subject": "tls_subject",
                "x": "header_x_a",
            }
            lines = LineFormat(name, more)
            names = list(json.loads(lines.line(entry("method", PLAIN))))
            for place, what, value in self.each():
                line = lines.line(entry(place, value)).decode("ascii")
                found = json.loads(line)
                self.assertEqual(list(found), names, (name, place, what))
                self.assertEqual(line.count("\n"), 1)
                for text in found.values():
                    if isinstance(text, str):
                        self.assertTrue(
                            text.isprintable() and text.isascii(),
                            (name, place, what, text),
                        )


class EventTests(SynchronousTestCase):
    """Lines about what happened: names of users, hosts, tunnels and paths are fields of them."""

    def event(self, value: str) -> dict[str, Any]:
        return {
            "log_format": "connector {name} of {user} asked for {host}",
            "log_level": LogLevel.info,
            "log_namespace": "lolly_tx.test",
            "log_time": 1795293660.25,
            "name": value,
            "user": value,
            "host": value,
        }

    def test_texts(self) -> None:
        """No line of its own begins in what was said, and nothing in it drives a terminal."""
        for what, value in HOSTILE.items():
            text = text_line(self.event(value)) or ""
            first, *others = text.removesuffix("\n").split("\n")
            self.assertIn("connector a" if value[0] == "a" else "connector", first)
            self.assertTrue(all(one.startswith("\t") for one in others), (what, text))
            for one in (first, *others):
                self.assertTrue(one.replace("\t", "").isprintable(), (what, one))
            self.assertEqual(len(text.splitlines()), text.count("\n"), what)

    def test_objects(self) -> None:
        """Each is one line of ASCII, whose texts do not drive a terminal when they are printed."""
        for what, value in HOSTILE.items():
            line = json_line(self.event(value)) or ""
            self.assertTrue(line.isascii() and line.count("\n") == 1, what)
            found = json.loads(line)
            for text in (found["name"], found["user"], found["message"]):
                self.assertTrue(text.replace("\n", "").isprintable(), (what, text))

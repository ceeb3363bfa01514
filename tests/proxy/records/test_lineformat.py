"""Tests of the lines of the access log: templates, JSON with more fields, what is remembered, what is hidden."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.variables import VARIABLES
from lolly_tx.config.model import AccessLog
from lolly_tx.domain.errors import BadResponse
from lolly_tx.domain.target import Target
from lolly_tx.net.doors import Peer
from lolly_tx.net.tls_facts import Facts
from lolly_tx.proxy.endings import Ended
from lolly_tx.proxy.entry import Entry, Words
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.masking import USUAL, Masking
from lolly_tx.proxy.moments import millionths, thousandths
from lolly_tx.proxy.records.lineformat import (
    REMEMBERED_HEADS,
    REMEMBERED_LINES,
    REMEMBERED_PIECE_BYTES,
    LineFormat,
)
from lolly_tx.proxy.records.record import exchange_entry
from lolly_tx.proxy.sampling import Sampling
from lolly_tx.proxy.variables import variable
from lolly_tx.wire.http1 import RequestReader
from lolly_tx.wire.message import RequestHead
from tests.proxy.world import WorldTestCase

FIELDS = {
    b"user-agent": b'curl "8"',
    b"authorization": b"Bearer hunter2",
    b"cookie": b"theme=dark; sid=hunter2; session_id=hunter2",
    b"referer": b"https://e.example/?token=hunter2",
    b"x-api-key": b"hunter2",
}
PEER: Any = SimpleNamespace(
    secure=True,
    told=None,
    tls=Facts(
        version="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        server_name="e.example",
        alpn="h2",
        verify="SUCCESS",
        subject="CN=J\u00f6rg Maier",
        issuer="CN=us",
        serial="1f",
        fingerprint="ab12",
    ),
    transport=SimpleNamespace(getPeer=lambda: SimpleNamespace(port=40000)),
)
ENTRY = Entry(
    when_wall=1795293660.25,
    client="192.0.2.7",
    head=Words(b"GET", b"/a%20b?page=3&token=x&q=", b"HTTP/1.1", b"e.example", FIELDS),
    status=200,
    bytes_sent=1234,
    upstream="http://127.0.0.1:9001",
    upstream_status=200,
    seconds=0.0123,
    upstream_seconds=0.011,
    listener="web",
    pool="api",
    target="a",
    bytes_received=7,
    route="e.example /a on web",
    peer=PEER,
)


def line(format: str, entry: Entry = ENTRY, **settings: Any) -> str:
    return LineFormat(format, **settings).line(entry).decode("ascii")


class TemplateTests(SynchronousTestCase):
    def test_every_variable(self) -> None:
        """Each variable says what the reference says."""
        for name, expected in {
            "time": "2026-11-21T20:41:00.250Z",
            "time_local": "21/Nov/2026:20:41:00 +0000",
            "client": "192.0.2.7",
            "client_port": "40000",
            "listener": "web",
            "scheme": "https",
            "tls_version": "TLSv1.3",
            "tls_cipher": "TLS_AES_256_GCM_SHA384",
            "tls_server_name": "e.example",
            "tls_alpn": "h2",
            "tls_verify": "SUCCESS",
            "tls_subject": r"CN=J\xC3\xB6rg\x20Maier",
            "tls_issuer": "CN=us",
            "tls_serial": "1f",
            "tls_fingerprint": "ab12",
            "version": "HTTP/1.1",
            "method": "GET",
            "host": "e.example",
            "uri": "/a%20b?page=3&token=***&q=",
            "path": "/a b",
            "query": "page=3&token=***&q=",
            "route": "e.example /a on web",
            "pool": "api",
            "target": "a",
            "upstream": "http://127.0.0.1:9001",
            "upstream_status": "200",
            "upstream_seconds": "0.011",
            "tries": "1",
            "status": "200",
            "error": "-",
            "bytes_sent": "1234",
            "bytes_received": "7",
            "seconds": "0.012",
            "sample": "0.25",
            "header_user_agent": r"curl \x228\x22",
            "header_accept": "-",
            "cookie_theme": "dark",
            "cookie_none": "-",
            "arg_page": "3",
            "arg_q": "-",
            "arg_none": "-",
            "arg_token": "***",
        }.items():
            self.assertEqual(
                line(f"${name}", sampling=Sampling(0.25)), expected + "\n", name
            )

    def test_one_place(self) -> None:
        """Every variable that settings may name has a value, and no other."""
        for name in VARIABLES:
            variable(name, USUAL)
        self.assertRaises(KeyError, variable, "nonsense", USUAL)

    def test_text_around(self) -> None:
        """Plain text stays as it is, names in braces end where the braces do."""
        self.assertEqual(line("a=${status}b $$ $method|$pool!"), "a=200b $ GET|api!\n")

    def test_unknown(self) -> None:
        """A variable that there is none of is refused."""
        self.assertRaises(Rejected, LineFormat, "$nonsense")

    def test_nothing_known(self) -> None:
        """Of a request that was no request, everything unknown is a hyphen."""
        entry = Entry(0.0, "", Words(b"-", b"-", b"-"), 400, 0, None, None, 0.0, None)
        for name in ("client_port", "scheme", "route", "target", "host", "query"):
            self.assertEqual(line(f"${name}", entry), "-\n", name)

    def test_without_tls(self) -> None:
        """A client without TLS, and one without a certificate, have nothing of it."""
        plain: Any = SimpleNamespace(tls=None, transport=object())
        entry = ENTRY._replace(peer=plain)
        self.assertEqual(line("$tls_version $tls_subject", entry), "- -\n")
        fields = {"tls": "tls_version", "who": "tls_subject"}
        said = json.loads(line("json", entry, fields=fields))
        self.assertEqual((said["tls"], said["who"]), (None, None))
        nobody: Any = SimpleNamespace(tls=Facts("TLSv1.2", "x", ""), transport=None)
        entry = ENTRY._replace(peer=nobody)
        shown = line("$tls_verify $tls_subject $tls_alpn $tls_server_name", entry)
        self.assertEqual(shown, "NONE - - -\n")

    def test_path_of_two_meanings(self) -> None:
        """A path that some backends read otherwise has no normal form."""
        words = Words(b"GET", b"/a/..;x/b", b"HTTP/1.1")
        self.assertEqual(line("$path", ENTRY._replace(head=words)), "-\n")

    def test_port_behind_a_balancer(self) -> None:
        """Behind a PROXY header it is the port that the header names."""
        peer: Any = SimpleNamespace(told=SimpleNamespace(source_port=7), secure=False)
        entry = ENTRY._replace(peer=peer)
        self.assertEqual(line("$client_port $scheme", entry), "7 http\n")
        peer = SimpleNamespace(told=None, secure=False, transport=None)
        self.assertEqual(line("$client_port", ENTRY._replace(peer=peer)), "-\n")

    @given(st.lists(st.binary(max_size=20), min_size=6, max_size=6))
    def test_any_bytes_stay_one_line(self, raw: list[bytes]) -> None:
        """Whatever a client sends, a line is one line of printable ASCII, and its quotes are ours."""
        words = Words(raw[0], raw[1], raw[2], raw[3], {b"x": raw[4], b"cookie": raw[5]})
        text = line(
            '"$method" "$uri" "$version" "$host" "$header_x" "$cookie_a" "$path"'
            ' "$query" "$arg_b"',
            ENTRY._replace(head=words),
        )
        self.assertEqual((text.count("\n"), text.count('"')), (1, 18))
        self.assertTrue(text[:-1].isprintable() and text.isascii())
        self.assertNotRegex(text, r"\\(?!x[0-9A-F]{2})")


class JSONTests(SynchronousTestCase):
    def test_more_fields(self) -> None:
        """Members of one's own come after the usual ones, with their types."""
        fields = {"route": "route", "in": "bytes_received", "ua": "header_user_agent"}
        value = json.loads(line("json", fields=fields))
        self.assertEqual(
            list(value.items())[-4:],
            [
                ("tries", 1),
                ("route", "e.example /a on web"),
                ("in", 7),
                ("ua", r'curl "8"'),
            ],
        )

    def test_all_as_json(self) -> None:
        """Each variable is valid JSON, known or not."""
        nothing = Entry(0.0, "", Words(b"-", b"-", b"-"), 0, 0, None, None, 0.0, None)
        for entry in (ENTRY, nothing):
            for name in (*VARIABLES, "header_x", "cookie_x", "arg_x"):
                made = variable(name, USUAL)
                json.loads(made.json_form % made.json(entry))

    def test_share(self) -> None:
        """Where lines are sampled, each says of how many it stands for one: those that always come for themselves."""
        tenth = Sampling(0.1, slow=1.0)
        self.assertEqual(json.loads(line("json", sampling=tenth))["sample"], 0.1)
        self.assertNotIn("sample", json.loads(line("json")))
        self.assertTrue(line("combined", sampling=tenth).endswith(" 0.011 0.1\n"))
        for entry in (
            ENTRY._replace(status=404),
            ENTRY._replace(past=(("http://b", None, 0.5),)),
            ENTRY._replace(error="connection_terminated"),
            ENTRY._replace(seconds=1.0),
        ):
            self.assertEqual(line("$sample", entry, sampling=tenth), "1\n")
            self.assertEqual(
                json.loads(line("json", entry, sampling=tenth))["sample"], 1
            )


class SecretTests(SynchronousTestCase):
    def test_never_by_default(self) -> None:
        """What carries credentials is hidden even where a line is asked for it."""
        text = line(
            "$header_authorization $header_cookie $header_x_api_key $cookie_sid"
            " $cookie_session_id $arg_token $uri $query $header_referer"
        )
        self.assertNotIn("hunter2", text)
        self.assertEqual(text.split()[:6], ["***"] * 6)
        self.assertEqual(text.split()[8], "https://e.example/?token=***")

    def test_names_of_ones_own(self) -> None:
        """More names are hidden in the query, in fields and in cookies, whatever their case."""
        masking = Masking(("Page", "user_agent", "THEME"))
        self.assertEqual(
            line(
                "$uri $arg_page $header_user_agent $cookie_theme $header_x",
                masking=masking,
            ),
            "/a%20b?page=***&token=***&q= *** *** *** -\n",
        )
        self.assertEqual(masking.url(b"/?p%61ge=1"), b"/?p%61ge=***")


class RememberedTests(SynchronousTestCase):
    def entry(self, number: int, size: int = 1) -> Entry:
        text = b"GET /%d HTTP/1.1\r\nHost: x\r\nA: %b\r\n\r\n" % (number, b"a" * size)
        head = RequestReader().read(text)
        assert head is not None
        return ENTRY._replace(head=head)

    def test_same_head(self) -> None:
        """What is kept of a head is right for the next exchange with it, and nothing else is kept."""
        format = LineFormat("$uri $status $header_a $seconds $host")
        first = self.entry(1)
        self.assertEqual(format.line(first), b"/1 200 a 0.012 x\n")
        later = first._replace(status=404, seconds=2.0)
        self.assertEqual(format.line(later), b"/1 404 a 2.000 x\n")

    def test_bounds(self) -> None:
        """No more heads are kept than said, and no long ones."""
        format = LineFormat("$uri $header_a")
        for number in range(2 * REMEMBERED_HEADS + 1):
            format.line(self.entry(number))
            self.assertLessEqual(len(format._known), REMEMBERED_HEADS)
        self.assertEqual(len(format._known), 1)
        format.line(self.entry(0, REMEMBERED_PIECE_BYTES))
        self.assertEqual(len(format._known), 1)


def address_of(peer: Peer, head: RequestHead) -> str:
    """Of whoever a peer names, when nobody is believed."""
    return peer.address


def one_line(lines: LineFormat, exchange: Exchange, wall: float, now: float) -> bytes:
    """The line of an exchange that was over at `now`."""
    return lines.lines_of([(exchange, now)], wall - now, address_of)


class AlikeTests(WorldTestCase):
    """Lines of exchanges that are alike in all but their times."""

    FORMATS = (
        "combined",
        "json",
        " ".join(f"${name}" for name in VARIABLES if "NAME" not in name),
    )

    def ended(self, *answers: bytes, request: bytes = b"") -> Exchange:
        world = self.world("a")
        client = world.client()
        client.send(request or b"GET /100%25 HTTP/1.1\r\nHost: x\r\n\r\n")
        backend = world.accept("a")
        world.pass_time(0.004)
        for answer in answers or (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",):
            backend.send(answer)
        return world.ended[0]

    def test_same_line(self) -> None:
        """A line says the same whether it is the first of its kind or the fifth, and has its own times."""
        exchange = self.ended()
        for format in self.FORMATS:
            lines = LineFormat(format)
            for number in range(5):
                wall, now = 1795293660.25 + number, exchange.started + number * 0.4
                expected = LineFormat(format).line(
                    exchange_entry(exchange, exchange.peer.address, wall, now)
                )
                made = one_line(lines, exchange, wall, now)
                self.assertEqual(made, expected, number)
            self.assertEqual(len(lines._alike), 1)

    def test_head_that_is_new(self) -> None:
        """Many lines of heads nobody has seen say what each would say alone, whatever is in them."""
        names = [name for name in VARIABLES if "NAME" not in name]
        more = [f"header_{one}" for one in ("referer", "user_agent", "cookie", "x_one")]
        every = {f"own_{name}": name for name in (*names, *more)}
        heads = (
            b'GET /a%25b?q="x"&token=1 HTTP/1.1\r\nHost: x\r\nReferer: http://u:p@h/?key=1\r\n',
            b'OPTIONS * HTTP/1.1\r\nHost: X:80\r\nUser-Agent: "q" \\ \xc3\xa9\r\nX-One:\r\n',
            b"HEAD /p;a=1 HTTP/1.1\r\nHost: h\r\nReferer:\r\nCookie: sid=1\r\nuser-AGENT: a\r\n",
        )
        ended = [self.ended(request=head + b"\r\n") for head in heads]
        for one, (status, size) in zip(
            ended, ((200, 2), (999, 1000), (404, 0)), strict=True
        ):
            one.status, one.bytes_out, one.bytes_in = status, size, size
        ended[2].upstream_status = 0
        template = " ".join(f"${name}" for name in every.values())
        for format, fields in (("combined", {}), ("json", every), (template, {})):
            lines = LineFormat(format, fields)
            alone = [
                LineFormat(format, fields).line(
                    exchange_entry(one, one.peer.address, 7.25, one.started + 0.5)
                )
                for one in ended
            ]
            at_once = [(one, one.started + 0.5) for one in ended]
            epoch = 7.25 - at_once[0][1]
            self.assertEqual(
                lines.lines_of(at_once, epoch, address_of), b"".join(alone), format
            )

    def test_what_differs(self) -> None:
        """Whoever it was, whatever the status, the size, the route or the target: none has the line of another."""
        exchange = self.ended()
        lines = LineFormat(self.FORMATS[2])

        def both() -> tuple[bytes, bytes]:
            now = exchange.started
            entry = exchange_entry(exchange, exchange.peer.address, 1.0, now)
            made = [one_line(lines, exchange, 1.0, now) for _ in range(3)][-1]
            return made, LineFormat(self.FORMATS[2]).line(entry)

        seen = {both()}
        exchange.peer.address = "192.0.2.2"
        seen.add(both())
        for name, value in (
            ("status", 206),
            ("upstream_status", 204),
            ("bytes_out", 77),
            ("bytes_in", 78),
            ("route", "other"),
        ):
            setattr(exchange, name, value)
            seen.add(both())
        assert exchange.node is not None
        exchange.node.target = Target("a", "http://127.0.0.1:7777")
        seen.add(both())
        exchange.error = BadResponse()
        seen.add(both())
        for made, expected in seen:
            self.assertEqual(made, expected)
        self.assertEqual(len(seen), 9)

    def test_usual_settings(self) -> None:
        """Lines are kept in a log of the usual settings, and where slow ones are sampled otherwise they are not."""
        exchange = self.ended()
        usual = AccessLog(path="-")
        for share, kept in ((usual.sample, 1), (0.5, 0)):
            lines = LineFormat(usual.format, sampling=Sampling(share, usual.slow))
            for _ in range(3):
                one_line(lines, exchange, 1.0, 2.0)
            self.assertEqual(len(lines._alike), kept)

    def test_identities(self) -> None:
        """Ids are of the request, not of its kind."""
        exchange = self.ended()
        lines = LineFormat("$request_id $uri")
        made = []
        for text in (b"one", b"two", b"three"):
            identity: Any = SimpleNamespace(request_id=text)
            exchange.identity = identity
            made.append(one_line(lines, exchange, 1.0, 2.0))
        self.assertEqual(made, [b"one /100%25\n", b"two /100%25\n", b"three /100%25\n"])

    def test_no_two_heads_alike(self) -> None:
        """Heads that come once take no room with the lines."""
        lines = LineFormat("combined")
        for number in range(3):
            request = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number
            one_line(lines, self.ended(request=request), 1.0, 2.0)
        self.assertEqual(len(lines._alike), 0)

    def test_many_at_once(self) -> None:
        """Many exchanges have the lines that each has alone, in their order, whatever their kinds and times are."""
        whole, failed, other = self.ended(), self.ended(), self.ended()
        failed.error = BadResponse()
        other.status, other.upstream_seconds = 404, 12.5
        kinds = [failed, whole, other, failed, failed, whole, whole, other, failed]
        for seconds in (0.0, 0.01, 0.4, 700.0):
            ended = [(one, 3.0 + n * seconds) for n, one in enumerate(kinds)]
            for format in self.FORMATS:
                lines = LineFormat(format)
                for epoch in (1795293660.25, 1795293670.75):
                    expected = [
                        LineFormat(format).line(
                            exchange_entry(one, one.peer.address, epoch + now, now)
                        )
                        for one, now in ended
                    ]
                    made = lines.lines_of(ended, epoch, address_of)
                    self.assertEqual(made.splitlines(True), expected)

    def test_heading(self) -> None:
        """What stands before a line goes by its own time."""
        exchange = self.ended()
        lines = LineFormat("$method", heading=lambda wall: b"<%d> " % wall)
        ended: list[Ended] = [(exchange, 1.0), (exchange, 2.0), (exchange, 3.0)]
        made = lines.lines_of(ended, 40.0, address_of)
        self.assertEqual(made, b"<41> GET\n<42> GET\n<43> GET\n")
        entry = exchange_entry(exchange, "c", 44.0, 4.0)
        self.assertEqual(lines.line(entry), b"<44> GET\n")

    def test_forgotten(self) -> None:
        """So many kinds are remembered, and then forgotten."""
        exchange = self.ended()
        lines = LineFormat("$bytes_sent")
        for size in range(REMEMBERED_LINES + 3):
            exchange.bytes_out = size
            one_line(lines, exchange, 1.0, 2.0)
        self.assertLessEqual(len(lines._alike), REMEMBERED_LINES)
        self.assertEqual(one_line(lines, exchange, 1.0, 2.0), b"%d\n" % size)

    @given(st.floats(0, 3600))
    def test_decimals(self, seconds: float) -> None:
        """Decimals are rounded as printing does, but for what is exactly between two."""
        for made, digits in ((thousandths(seconds), 3), (millionths(seconds), 6)):
            self.assertLessEqual(abs(float(made) - seconds), 0.500001 * 10**-digits)
            self.assertEqual(len(made.partition(b".")[2]), digits)

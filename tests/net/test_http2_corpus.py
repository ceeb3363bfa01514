"""The requests of tests/corpus as HTTP/2: no target ever gets one of HTTP/1.1 that is not valid, or two for one."""

from __future__ import annotations

from lolly_tx.wire.http2 import frames as fr
from tests.net.test_http2_rules import RulesTestCase
from tests.proxy.h2client import RawClient
from tests.proxy.world import OK
from tests.system.corpus_judge import load
from tests.system.strict_http import Broken, read_request

Pairs = list[tuple[bytes, bytes]]


def as_pairs(raw: bytes) -> tuple[Pairs, bytes]:
    """The header list of a request as its text seems to have it, and its body; nothing is mended."""
    head, _, body = raw.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    method, _, target = start.partition(b" ")
    path = target.rpartition(b" ")[0] or target
    pairs = [(b":method", method), (b":scheme", b"http"), (b":path", path)]
    rest = []
    for line in lines:
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name.lower() == b"host" and len(pairs) == 3:
            pairs.append((b":authority", value))
        else:
            rest.append((name.lower(), value))
    return pairs + rest, body


OWN: list[tuple[Pairs, bytes]] = []
"""What only HTTP/2 can say."""
USUAL = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")]
USUAL.append((b":authority", b"x"))
for bad in (
    b"\r",
    b"\n",
    b"\0",
    b"\r\n",
    b"\r\nx: y",
    b"\r\n\r\nGET / HTTP/1.1\r\n",
    b" ",
):
    OWN += [([*USUAL, (b"a" + bad + b"b", b"c")], b"")]
    OWN += [([*USUAL, (b"a", b"b" + bad + b"c")], b"")]
    OWN += [([*USUAL, (b"a", b"b" + bad), (b"c", bad + b"d")], b"")]
    for at in range(4):
        spoiled = [*USUAL]
        spoiled[at] = (spoiled[at][0], spoiled[at][1] + bad + b"x")
        OWN += [(spoiled, b"")]
for authority in (b"", b"a b", b"a@b", b"a,b", b"a/b", b"[::1", b"a:b", b"a#", b"%41"):
    OWN += [([*USUAL[:3], (b":authority", authority)], b"")]
    OWN += [([*USUAL, (b"host", authority)], b"")]
OWN += [
    ([*USUAL, (b":path", b"/two")], b""),
    ([*USUAL[:3], (b":path", b"/two"), USUAL[3]], b""),
    ([*USUAL, (b"content-length", b"3")], b"ab"),
    ([*USUAL, (b"content-length", b"3")], b"abcd"),
    ([*USUAL, (b"content-length", b"3"), (b"content-length", b"4")], b"abc"),
    ([*USUAL, (b"content-length", b"3"), (b"transfer-encoding", b"chunked")], b"abc"),
    ([*USUAL, (b"transfer-encoding", b"chunked")], b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
    ([*USUAL] + [(b"cookie", b"c%d=" % n + b"x" * 1000) for n in range(65)], b""),
    ([*USUAL, (b"cookie", b"x" * 65536)], b""),
    ([*USUAL] + [(b"cookie", b"c=%d" % n) for n in range(300)], b""),
]


class CorpusTests(RulesTestCase):
    def sent_on(self, pairs: Pairs, body: bytes) -> list[bytes]:
        """What targets get of a request, one item for each connection."""
        client: RawClient = self.raw()
        encoded = client.block(*pairs, pseudo=[])
        client.send(fr.headers(1, encoded, not body, 16384))
        for at in range(0, len(body), 16384):
            piece = body[at : at + 16384]
            last = fr.END_STREAM if at + 16384 >= len(body) else 0
            client.send(fr.frame(fr.DATA, last, 1, piece))
        got = []
        while self.last.connects():
            backend = self.last.accept()
            got.append(backend.take())
            if got[-1]:
                backend.send(OK)
        client.send()
        done = client.kinds(1)[-1:] in ([fr.HEADERS], [fr.DATA], [fr.RST_STREAM])
        self.assertTrue(done or client.goaway, (pairs, client.frames))
        return got

    def assert_valid(self, pairs: Pairs, body: bytes, name: object) -> bool:
        """If a target gets anything, it is one whole request, and the one that was asked."""
        asked = dict(pairs)
        passed = False
        for data in self.sent_on(pairs, body):
            if not data:
                continue
            passed = True
            try:
                read = read_request(data)
            except Broken as error:
                self.fail(f"{name}: {error}: {data[:300]!r}")
            assert read is not None, (name, data)
            request, end = read
            self.assertTrue(request.complete, name)
            self.assertEqual(data[end:], b"", name)
            self.assertEqual(request.start[:2], (asked[b":method"], asked[b":path"]))
            self.assertEqual(request.body, body, name)
        return passed

    def test_corpus(self) -> None:
        """Every request of the corpus; those that are sound get through."""
        passed = 0
        cases = load("requests")
        for case in cases:
            raw = case["raw"]
            if not isinstance(raw, str):  # pieces, with pauses between
                raw = "".join([each for each in raw if isinstance(each, str)])
            pairs, body = as_pairs(raw.encode("latin-1"))
            passed += self.assert_valid(pairs, body, case["id"])
        self.assertGreater(passed, len(cases) // 10)
        print(f"{len(cases)} requests as HTTP/2, {passed} of them sound and passed on")

    def test_own(self) -> None:
        """Line ends in names, values and pseudo-fields, junk for an authority, lengths that lie, 64 KiB of cookies."""
        passed = [self.assert_valid(pairs, body, pairs) for pairs, body in OWN]
        self.assertLess(sum(passed), len(OWN) // 4)
        print(f"{len(OWN)} that only HTTP/2 can say, {sum(passed)} passed on")
        self.assertTrue(passed[-1])  # many crumbs are one cookie
        self.assertFalse(any(passed[-3:-1]))  # too much of them is 431

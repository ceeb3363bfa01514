"""Hypothesis strategies for messages: valid heads, chunked bodies, and cuts anywhere."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

QUICK = settings(max_examples=50, deadline=None)
"""Cutting a message everywhere is many messages in one example."""

_TCHARS = "!#$%&'*+-.^`|~0123456789ABCXYZabcxyz"
_COMMON_NAMES = [
    b"Accept",
    b"Cache-Control",
    b"Cookie",
    b"Keep-Alive",
    b"TE",
    b"Trailer",
    b"User-Agent",
    b"X-A",
    b"x-b",
    b"X-Forwarded-For",
    b"X-Real-IP",
    b"Proxy-Connection",
    b"Forwarded",
    b"Via",
]
_FRAMING = {
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
}


def tokens() -> st.SearchStrategy[bytes]:
    """Methods and field names, without "_"."""
    return st.text(_TCHARS, min_size=1, max_size=12).map(str.encode)


def names() -> st.SearchStrategy[bytes]:
    """Field names that say nothing of framing."""
    return st.one_of(
        st.sampled_from(_COMMON_NAMES),
        tokens().filter(lambda name: name.lower() not in _FRAMING),
    )


def values() -> st.SearchStrategy[bytes]:
    """Field values without outer spaces."""
    inner = st.text(
        st.characters(codec="latin-1", exclude_categories=["Cc"]) | st.just("\t"),
        max_size=30,
    )
    return inner.map(lambda text: text.encode("latin-1").strip(b"\t "))


def optional_spaces() -> st.SearchStrategy[bytes]:
    """What may stand around a value."""
    return st.sampled_from([b"", b" ", b"\t", b" \t "])


@st.composite
def field_lines(draw: st.DrawFn, most: int = 8) -> list[bytes]:
    """Field lines without their CRLF; some of them hop-by-hop."""
    lines = []
    for name in draw(st.lists(names(), max_size=most)):
        before, after = draw(optional_spaces()), draw(optional_spaces())
        lines.append(name + b":" + before + draw(values()) + after)
    if draw(st.booleans()):
        listed = draw(st.lists(names(), max_size=3))
        lines.append(b"Connection: " + b", ".join([*listed, b"keep-alive"]))
    return lines


def targets() -> st.SearchStrategy[bytes]:
    """Origin-form targets."""
    pieces = st.one_of(
        st.text("abz09-._~!$&'()*+,;=:@/?", max_size=8).map(str.encode),
        st.integers(1, 255).map(lambda n: b"%%%02x" % n),
    )
    return st.lists(pieces, max_size=5).map(lambda each: b"/" + b"".join(each))


@st.composite
def request_heads(draw: st.DrawFn) -> bytes:
    """Valid request heads; any body they announce is not in them."""
    method = draw(
        st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"DELETE"])
        | tokens().filter(lambda token: token != b"CONNECT")
    )
    lines = draw(field_lines())
    host = draw(st.sampled_from([b"a.test", b"a.test:80", b"[::1]:8080", b"127.0.0.1"]))
    lines.insert(draw(st.integers(0, len(lines))), b"Host: " + host)
    framing = draw(
        st.sampled_from(
            [
                [],
                [b"Content-Length: 7"],
                [b"Transfer-Encoding: chunked"],
                [b"content-length:0"],
            ]
        )
    )
    lines += framing
    line = b"%b %b HTTP/1.1" % (method, draw(targets()))
    return b"\r\n".join([line, *lines]) + b"\r\n\r\n"


@st.composite
def response_heads(draw: st.DrawFn) -> bytes:
    """Valid response heads."""
    lines = draw(field_lines())
    lines += draw(
        st.sampled_from([[], [b"Content-Length: 7"], [b"transfer-encoding:Chunked"]])
    )
    status = draw(st.integers(100, 599))
    reason = draw(st.sampled_from([b"", b" ", b" OK", b" T\xfcll"]))
    return b"\r\n".join([b"HTTP/1.1 %d%b" % (status, reason), *lines]) + b"\r\n\r\n"


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in pieces, none of them empty."""
    if len(data) < 2:
        return [data]
    places = draw(st.sets(st.integers(1, len(data) - 1), max_size=8))
    edges = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]


def messy_heads() -> st.SearchStrategy[bytes]:
    """Complete heads with a mess between their good first and last lines."""
    return messy_bytes().map(
        lambda mess: b"GET / HTTP/1.1\r\nHost: a\r\n" + mess + b"\r\n\r\n"
    )


def messy_bytes() -> st.SearchStrategy[bytes]:
    """Bytes that are nearly heads: delimiters, controls and words, in any order."""
    pieces = st.sampled_from(
        [
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\r",
            b"\x00",
            b" ",
            b"\t",
            b":",
            b",",
            b"GET / HTTP/1.1",
            b"POST http://b/x HTTP/1.0",
            b"HTTP/1.1 200 OK",
            b"Host: a",
            b"Content-Length: 5",
            b"Transfer-Encoding: chunked",
            b"Connection: X-A",
            b"X-A: 1",
            b"X_A: 1",
            b"\xff",
            b"%",
            b"5",
        ]
    )
    return st.lists(pieces, max_size=14).map(b"".join)


@st.composite
def chunked_bodies(
    draw: st.DrawFn, bad_spaces: bool = True
) -> tuple[bytes, bytes, bytes]:
    """A valid chunked body as (raw, its data, its trailer lines).

    `bad_spaces`: with what RFC 9112 calls bad white space in extensions.
    """
    raw, data = [], []
    kinds = [b"", b";a", b";a=b", b";a;b=1", b';x="\xff\t"', b';a="b\\"c;"']
    if bad_spaces:
        kinds.append(b" ; a = b\t;c")
    extensions = st.sampled_from(kinds)
    for chunk in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=5)):
        size = draw(st.sampled_from([b"%x", b"%X", b"00%x"])) % len(chunk)
        raw.append(size + draw(extensions) + b"\r\n" + chunk + b"\r\n")
        data.append(chunk)
    lines = draw(st.lists(st.tuples(tokens(), values()), max_size=3))
    trailers = b"".join(b"%b: %b\r\n" % line for line in lines)
    raw.append(draw(st.sampled_from([b"0", b"000"])) + draw(extensions) + b"\r\n")
    return b"".join([*raw, trailers, b"\r\n"]), b"".join(data), trailers

r"""The variables: where each value comes from, and how it is written.

It is long because it is one list: each variable stands in it once, with all of its forms.

Imports: config.kinds, domain, domain.routing, net, proxy, wire. Used by: proxy.records,
proxy.templates.

For log lines a variable is two functions of an `Entry`, one for texts and one for JSON, whose values go into a line by
their forms. What depends on nothing but the head of the request says so (`of_head`), because heads repeat. What may
differ between exchanges that are alike in all else (`proxy.moments`) is a function of just that.
For values that are made on the way (`proxy.templates`) it is a third one, of whatever has the attributes it needs
(`Value`), and that is the value itself: b"" for what is not known.

    what is not known       text -     JSON null
    bytes of a client       text and JSON: whatever is not printable ASCII, and " and \, as \xHH
    words without quotes    text: a space too, so that a line keeps its words
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from lolly_tx.config.kinds.tlsfields import FACTS
from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.routing.hosts import host_name
from lolly_tx.domain.routing.routes import normal_path
from lolly_tx.net.doors import Peer
from lolly_tx.net.tls_facts import facts_of_peer
from lolly_tx.proxy.entry import Entry
from lolly_tx.proxy.identity import Identity
from lolly_tx.proxy.masking import Masking
from lolly_tx.proxy.moments import (
    Moment,
    last_seconds,
    last_seconds_json,
    millionths,
    seconds,
    seconds_json,
    thousandths,
    time,
    time_json,
    time_local,
    time_local_json,
)
from lolly_tx.proxy.sampling import ALL, Sampling
from lolly_tx.wire.cookies import cookie_reader

PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
_PLAIN_WORD = PLAIN.replace(b" ", b"")
# What each byte is written as.
_IN_QUOTES = [chr(byte) if byte in PLAIN else f"\\x{byte:02X}" for byte in range(256)]
_IN_WORD = ["\\x20" if form == " " else form for form in _IN_QUOTES]
_IN_JSON = [form.replace("\\", "\\\\") for form in _IN_QUOTES]
_IN_JSON[34] = '\\"'


Get = Callable[[Entry], Any]
Write = Callable[[Entry], bytes]
"""From an entry to what stands in the line."""


Value = Callable[[Any], bytes]
"""From what is known of a request on its way, to a value.

That is an `Entry`, or whatever has attributes of the same names: `when_wall`, `client`, `head`, `status`, `listener`,
`pool`, `target`, `route`, `peer`, `identity` (`proxy.asked.Asked`). Those that are not known yet are None, "" or 0.
"""


class Variable(NamedTuple):
    """How one is written. `of_head`: it is the same for the same head.

    `value`: b"" where it is not known. `text_form`, `json_form`: how what `text` and `json` return
    becomes bytes, where that is not bytes yet. `text_moment`, `json_moment`: the same of a moment; None: it does not
    depend on it.
    """

    text: Get
    json: Get
    value: Value
    of_head: bool = False
    text_form: bytes = b"%b"
    json_form: bytes = b"%b"
    text_moment: Moment | None = None
    json_moment: Moment | None = None


def in_text(raw: bytes | None) -> bytes:
    """`raw` in a text, where it may stand in quotes."""
    if not raw:
        return b"-"
    if raw.translate(None, PLAIN):
        # Seven times as fast as a regular expression that calls us for each byte.
        return raw.decode("latin-1").translate(_IN_QUOTES).encode("ascii")
    return raw


def in_json(raw: bytes | None) -> bytes:
    """`raw` as a JSON string, or null."""
    if raw is None:
        return b"null"
    if raw.translate(None, PLAIN):
        raw = raw.decode("latin-1").translate(_IN_JSON).encode("ascii")
    return b'"' + raw + b'"'


@lru_cache(1024)
def as_word(text: str | None) -> bytes:
    """One word of a text."""
    raw = (text or "-").encode()
    if raw.translate(None, _PLAIN_WORD):
        return raw.decode("latin-1").translate(_IN_WORD).encode("ascii")
    return raw


@lru_cache(1024)
def as_string(text: str | None) -> bytes:
    """One string in JSON."""
    return in_json(None if text is None else text.encode())


def _of_entry(moment: Moment) -> Write:
    return lambda e: moment(
        e.when_wall, e.seconds, e.upstream_seconds, e.peer, e.identity
    )


def _of_moment(text: Moment, json: Moment, value: Value) -> Variable:
    """What is another one each time."""
    return Variable(
        _of_entry(text),
        _of_entry(json),
        value,
        text_moment=text,
        json_moment=json,
    )


def _of_peer(get: Callable[[Peer | None], str | int | None]) -> Variable:
    """A word or a number that depends on the connection."""

    def text(wall: float, took: float, last: float | None, peer: Any, _: Any) -> bytes:
        found = get(peer)
        return b"%d" % found if isinstance(found, int) else as_word(found)

    def json(wall: float, took: float, last: float | None, peer: Any, _: Any) -> bytes:
        found = get(peer)
        return b"%d" % found if isinstance(found, int) else as_string(found)

    def value(known: Any) -> bytes:
        found = get(known.peer)
        return b"" if found is None else str(found).encode()

    return _of_moment(text, json, value)


def _of_identity(name: str) -> Variable:
    """Bytes that need no care, or b"" for none."""
    get = attrgetter(name)

    def text(
        wall: float, took: float, last: float | None, peer: Any, who: Identity | None
    ) -> bytes:
        return b"-" if who is None else get(who) or b"-"

    def json(
        wall: float, took: float, last: float | None, peer: Any, who: Identity | None
    ) -> bytes:
        known = b"" if who is None else get(who)
        return b'"%b"' % known if known else b"null"

    def value(known: Any) -> bytes:
        return b"" if known.identity is None else get(known.identity)

    return _of_moment(text, json, value)


def _name(field: str) -> Variable:
    """The same, of the entry."""
    at, get = Entry._fields.index(field), attrgetter(field)
    return Variable(
        lambda e: as_word(e[at]), lambda e: as_string(e[at]), lambda k: _bytes(get(k))
    )


def _bytes(text: str | None) -> bytes:
    return text.encode() if text else b""


def _number(get: Get) -> Variable:
    return Variable(get, get, lambda k: b"%d" % get(k), False, b"%d", b"%d")


def _number_of(field: str) -> Variable:
    """A number of the entry, fetched without a call in Python."""
    return _number(itemgetter(Entry._fields.index(field)))


def _of_head(get: Get) -> Variable:
    """Bytes of the client's head."""
    return Variable(
        lambda e: in_text(get(e)),
        lambda e: in_json(get(e)),
        lambda k: get(k) or b"",
        True,
    )


def _uri(entry: Entry, masking: Masking) -> bytes:
    return masking.target(entry.head.method, entry.head.target)


def _path(entry: Entry, masking: Masking) -> bytes | None:
    path = entry.head.target.partition(b"#")[0]
    try:
        return normal_path(path) if path[:1] == b"/" else _uri(entry, masking)
    except DownstreamError:
        return None


def _port(peer: Peer | None) -> int | None:
    if peer is None:
        return None
    if peer.told is not None:
        return peer.told.source_port or None
    get = getattr(peer.transport, "getPeer", None)
    port = getattr(get(), "port", None) if get is not None else None
    return port if isinstance(port, int) else None


def _scheme(peer: Peer | None) -> str | None:
    if peer is None:
        return None
    return "https" if peer.secure else "http"


def _tls(fact: str) -> Variable:
    get = attrgetter(fact)

    def value(peer: Peer | None) -> str | None:
        facts = None if peer is None else facts_of_peer(peer)
        return None if facts is None else get(facts) or None

    return _of_peer(value)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


# -- attempts: with more than one, texts have lists in quotes


def _attempts(entry: Entry) -> list[tuple[str | None, int | None, float | None]]:
    last = (entry.upstream, entry.upstream_status, entry.upstream_seconds)
    return [*entry.past, last]


def _list(entry: Entry, place: int, form: Callable[[Any], bytes]) -> bytes:
    return b'"%b"' % b", ".join([form(one[place]) for one in _attempts(entry)])


def _status_text(status: int | None) -> bytes:
    return b"%d" % status if status else b"-"


def _upstream_text(entry: Entry) -> bytes:
    return _list(entry, 0, as_word) if entry.past else as_word(entry.upstream)


def _upstream_json(entry: Entry) -> bytes:
    if entry.past:
        names = [one[0] or "-" for one in _attempts(entry)]
        return as_string(", ".join(names))
    return as_string(entry.upstream)


def _upstream_status_text(entry: Entry) -> bytes:
    if entry.past:
        return _list(entry, 1, _status_text)
    return _status_text(entry.upstream_status)


def _upstream_seconds_text(entry: Entry) -> bytes:
    if entry.past:
        return _list(entry, 2, thousandths)
    return thousandths(entry.upstream_seconds)


def _tries(entry: Entry) -> int:
    return len(entry.past) + (entry.upstream is not None)


def tries_json(entry: Entry) -> bytes:
    """How many attempts there were, and where there were several a member with all of them."""
    if not entry.past:
        return b"0" if entry.upstream is None else b"1"
    return b'%d,"attempts":[%b]' % (
        _tries(entry),
        b",".join(
            [
                b'{"upstream":%b,"status":%b,"seconds":%b}'
                % (
                    as_string(name),
                    b"%d" % status if status else b"null",
                    millionths(seconds),
                )
                for name, status, seconds in _attempts(entry)
            ]
        ),
    )


def _unknown(known: Any) -> bytes:
    """Of what is told when it is over."""
    return b""


def _host(known: Any) -> bytes:
    """Without the port, which `$header_host` has: a value often leads to another one."""
    host = known.head.block.host
    return host_name(host).encode("ascii") if host else b""


def _status(known: Any) -> bytes:
    return b"%d" % known.status if known.status else b""


_FIXED: Mapping[str, Variable] = {
    "time": _of_moment(time, time_json, lambda k: time(k.when_wall)),
    "time_local": _of_moment(
        time_local, time_local_json, lambda k: time_local(k.when_wall)
    ),
    "client": _name("client"),
    "client_port": _of_peer(_port),
    "listener": _name("listener"),
    "scheme": _of_peer(_scheme),
    **{f"tls_{fact}": _tls(fact) for fact in FACTS},
    "version": _of_head(lambda e: e.head.version),
    "method": _of_head(lambda e: e.head.method),
    "host": _of_head(lambda e: e.head.block.host)._replace(value=_host),
    "route": Variable(
        lambda e: in_text(_encoded(e.route)),
        lambda e: as_string(e.route),
        lambda k: _bytes(k.route),
    ),
    "pool": _name("pool"),
    "target": _name("target"),
    "upstream": Variable(_upstream_text, _upstream_json, _unknown),
    "upstream_status": Variable(
        _upstream_status_text,
        lambda e: b"%d" % e.upstream_status if e.upstream_status else b"null",
        _unknown,
    ),
    "upstream_seconds": _of_moment(last_seconds, last_seconds_json, _unknown)._replace(
        text=_upstream_seconds_text
    ),
    "cache": _name("cache")._replace(value=_unknown),
    "request_id": _of_identity("request_id"),
    "trace_id": _of_identity("trace_id"),
    "span_id": _of_identity("span_id"),
    "tries": _number(_tries),
    "status": _number_of("status")._replace(value=_status),
    "error": _name("error"),
    "ended": _name("ended")._replace(value=_unknown),
    "bytes_sent": _number_of("bytes_sent"),
    "bytes_received": _number_of("bytes_received"),
    "seconds": _of_moment(seconds, seconds_json, _unknown),
}
"""Those that are the same in every log."""


def variable(name: str, masking: Masking, sampling: Sampling = ALL) -> Variable:
    """The variable called `name`, as `config.kinds.variables` spells it. Raises KeyError.

    `masking`: what is hidden. `sampling`: which lines are written.
    """
    if name in _FIXED:
        return _FIXED[name]
    if name == "uri":
        return _of_head(lambda e: _uri(e, masking))
    if name == "path":
        return _of_head(lambda e: _path(e, masking))
    if name == "query":
        return _of_head(lambda e: _uri(e, masking).partition(b"?")[2] or None)
    if name == "sample":
        share = _share(sampling)
        return Variable(share, share, _unknown)
    kind, _, rest = name.partition("_")
    if not rest:
        raise KeyError(name)
    return _of_head(_MADE[kind](rest, masking))


def _share(sampling: Sampling) -> Write:
    ordinary, share = sampling.ordinary, b"%g" % sampling.share

    def write(entry: Entry) -> bytes:
        by_chance = ordinary(entry.status, entry.past, entry.error, entry.seconds)
        return share if by_chance else b"1"

    return write


def _field(name: str, masking: Masking) -> Get:
    field = name.replace("_", "-").encode("ascii")
    if masking.hides_field(field):
        return lambda e: None if e.head.block.get(field) is None else b"***"
    if field == b"referer":

        def referer(entry: Entry) -> bytes | None:
            value = entry.head.block.get(field)
            return masking.url(value) or None if value else None

        return referer
    return lambda e: e.head.block.get(field)


def _cookie(name: str, masking: Masking) -> Get:
    read = cookie_reader(name)
    hidden = masking.hides_cookie(name.encode("ascii"))

    def get(entry: Entry) -> bytes | None:
        values = read(entry.head)  # type: ignore[arg-type]  # Words are read in the same way
        return None if not values else b"***" if hidden else values[0]

    return get


def _argument(name: str, masking: Masking) -> Get:
    start = name.encode("ascii") + b"="

    def get(entry: Entry) -> bytes | None:
        query = _uri(entry, masking).partition(b"?")[2]
        for part in query.replace(b";", b"&").split(b"&"):
            if part.startswith(start):
                return part[len(start) :]
        return None

    return get


_MADE: Mapping[str, Callable[[str, Masking], Get]] = {
    "header": _field,
    "cookie": _cookie,
    "arg": _argument,
}

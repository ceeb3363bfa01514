r"""Field blocks of HTTP/1.x heads: validated bytes, and what a proxy must know of them.

    b"\r\nHost: a\r\nTE: x\r\nAccept: */*\r\n"     begins and ends with CRLF
                ~~~~~~~                        a cut: a line that is not passed on

A block is not turned into a list of pairs. One search finds the few fields a proxy must
look at or drop, everything between is copied through in slices (`FieldBlock.kept`).
Whoever wants the list asks for `FieldBlock.pairs`, and who has one makes a block of it (`from_pairs`).

It is long because the search, what it finds, and what is made of a block share one expression and one set of cuts.

Imports: domain, domain.routing, wire. Used by: net.checks, net.forward, net.http1,
proxy, proxy.caching, proxy.middleware, proxy.streams, wire, wire.http2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Self

from lolly_tx.domain.native import mypyc_attr
from lolly_tx.domain.routing.hosts import BadHost, host_name
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import (
    MAX_LENGTH,
    REQUEST_NAMES,
    RESPONSE_NAMES,
    TOKEN,
    VALUE,
    any_of,
)
from lolly_tx.wire.hops import HARMLESS, deletable, names_in, options, without

_FIELD: Final = re.compile(rb"\n(%b):[\t ]*+(%b)\r" % (TOKEN, VALUE))

_REQUEST_NAMES: Final = any_of(REQUEST_NAMES)
_REQUEST_NAME: Final = re.compile(_REQUEST_NAMES)
# Found in the lower-cased block. The literal "\n" in front lets the matcher jump from
# line to line.
_REQUEST_SPECIAL: Final = re.compile(rb"\n(%b):[\t ]*+([^\r]*+)\r" % _REQUEST_NAMES)
_RESPONSE_SPECIAL: Final = re.compile(
    rb"\n(%b):[\t ]*+([^\r]*+)\r" % any_of(RESPONSE_NAMES)
)
_FORWARDING: Final = re.compile(rb"forwarded|x-forwarded-.++|x-real-ip")
_HOST_LINE: Final = re.compile(rb"(?i)\nhost:[^\r]*+\r\n")
_LENGTH_LINE: Final = re.compile(rb"(?i)\ncontent-length:[^\r]*+\r\n")
_MAX_FORWARDS: Final = re.compile(rb"(?i)\nmax-forwards:[^\r]*+\r")

# What Connection may say in HTTP/1.1 without changing anything.
_KEEP_ALIVE: Final = (b"keep-alive",)
_STAYS: Final = (b"connection", b"keep-alive")
_STAYING: Final = frozenset(((), _KEEP_ALIVE))


def is_special(name: bytes) -> bool:
    """Whether a request's field called `name` (lower case) is more to a proxy than a line to pass on."""
    return _REQUEST_NAME.fullmatch(name) is not None


@mypyc_attr(acyclic=True)
class FieldBlock:
    """A validated field block, and what a proxy needs to know of it. Never changed.

    `raw`: CRLF, then the field lines, each with its CRLF. `kept`: `raw` without the lines
    that are not passed on. `length`: Content-Length, or None. `length_kept`: its line is in
    `kept`. `chunked`: Transfer-Encoding is exactly "chunked". `connection`: the
    lower-cased tokens of Connection. `upgrade`: the lower-cased Upgrade value, b"" unless
    Connection vouches for it. `plain`: of an ordinary message, see the subclasses; an
    exchange looks at this first, and at the rest only when it is False. `never`: names (lower case) of fields that
    came as literals that are never indexed (RFC 7541 section 6.2.3), and go on so.
    """

    # Defaults on the class: most blocks differ from them in little, and making the object
    # is a large part of what reading an unknown block costs.
    raw: bytes
    kept: bytes
    length: int | None = None
    length_kept = False
    chunked = False
    connection: tuple[bytes, ...] = ()
    upgrade = b""
    plain = False
    never: frozenset[bytes] = frozenset()

    def __init__(self, raw: bytes) -> None:
        self.raw = self.kept = raw

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Self:
        """The block of the fields `pairs`; raises `BadMessage` as a reader does for their lines."""
        try:
            return cls(b"\r\n" + render_fields(pairs))
        except ValueError:
            raise BadMessage("malformed field") from None

    @property
    def pairs(self) -> list[tuple[bytes, bytes]]:
        """All field lines as (name, value), in order, values without outer spaces."""
        return [
            (name, value.rstrip(b"\t ")) for name, value in _FIELD.findall(self.raw)
        ]

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of all fields called `name` (lower case), in order."""
        return [value for key, value in self.pairs if key.lower() == name]

    def get(self, name: bytes) -> bytes | None:
        """The value of the first field called `name` (lower case), or None."""
        raw = self.raw
        # Two searches in C: the access log asks for some fields of each request.
        at = raw.lower().find(b"\n%b:" % name)
        if at < 0:
            return None
        at += len(name) + 2
        return raw[at : raw.index(b"\r", at)].strip(b"\t ")

    def _take_length(self, value: bytes) -> bool:
        """Note a Content-Length value; whether its line can be passed on as it is."""
        if self.length is not None:
            raise BadMessage("more than one Content-Length field")
        if not value.isdigit() or len(value) > 19:
            raise BadMessage("malformed Content-Length")
        self.length = length = int(value)
        if len(value) == 19 and length > MAX_LENGTH:  # one of fewer digits never is
            raise BadMessage("Content-Length out of range")
        return len(value) == 1 or not value.startswith(b"0")

    def _stay(self) -> None:
        """The one Connection line says no more than keep-alive."""
        self.connection = _KEEP_ALIVE
        self.kept = without(self.raw, self.raw.lower(), [b"connection"])

    def _finish(
        self,
        cut: list[bytes],
        connection: list[bytes],
        upgrade: list[bytes],
        low: bytes,
    ) -> None:
        """Act on Connection (RFC 9110 section 7.6.1) and take the fields in `cut` out.

        `connection`, `upgrade`: the values of these fields. `low`: the block in lower case.
        """
        if len(connection) == 1 and connection[0] in HARMLESS:
            self.connection = (connection[0],)
        elif connection:
            self.connection = named = options(connection)
            if b"upgrade" in named:
                self.upgrade = b",".join(upgrade)
            cut += deletable(named)
        if cut:
            self.kept = without(self.raw, low, cut)


@mypyc_attr(acyclic=True)
class RequestBlock(FieldBlock):
    """The fields of a request.

    Plain: a Host, no body, and nothing asked for but to keep the connection.
    `host`: the Host value, valid and lower case, or b"" when there is none or it is empty
    (`has_host`).
    `expect`: the client waits for a 100. `wants_trailers`: it takes trailers, too.
    `forwarded`: the forwarding fields as (lower-case
    name, value), none of which is kept. `hops`: the proxies like us that it came through.
    `gone`: names (lower case, "-") that were taken away, and are not to come back as trailers. `priority`: the value of
    that field, b"" for none, once somebody has looked for it.
    """

    expect = False
    gone: frozenset[bytes] = frozenset()
    wants_trailers = False
    forwarded: tuple[tuple[bytes, bytes], ...] = ()
    hops: tuple[bytes, ...] = ()
    host = b""
    has_host = False
    priority: bytes | None = None

    def __init__(
        self,
        raw: bytes,
        host: bytes = b"",
        found: list[tuple[bytes, bytes]] | None = None,
        kept: bytes = b"",
    ) -> None:
        """`host`: the Host value, of fields of which no other `is_special`. `found`: those that are, if known.

        `kept`: with a `host`, for fields of which a Connection that says keep-alive is special as well.
        """
        self.raw = self.kept = raw
        if host:
            self.host = host = host.lower()
            self.has_host = self.plain = True
            if kept:
                self.kept = kept
                self.connection = _KEEP_ALIVE
            try:
                host_name(host)
            except BadHost as error:
                raise BadMessage(error.detail) from None
            return
        if found is None:
            found = _REQUEST_SPECIAL.findall(raw.lower())
        if len(found) == 1 and found[0][0] == b"host":
            # Nothing to cut: nearly every request.
            self._take_host(found[0][1])
            self.plain = bool(self.host)
        elif len(found) == 2 and found[0][0] == b"host" and found[1] == _STAYS:
            # What browsers say.
            self._take_host(found[0][1])
            self.plain = bool(self.host)
            self._stay()
        else:
            self._inspect(found, raw.lower())

    def _take_host(self, value: bytes) -> None:
        self.has_host = True
        self.host = host = value.rstrip(b"\t ")
        if host:
            try:
                host_name(host)
            except BadHost as error:
                raise BadMessage(error.detail) from None

    def _inspect(self, found: list[tuple[bytes, bytes]], low: bytes) -> None:
        """Look at each special field, in order."""
        cut: list[bytes] = []
        connection: list[bytes] = []
        upgrade: list[bytes] = []
        announced = False
        hops: list[bytes] = []
        for name, value in found:
            if name == b"host":
                if self.has_host:
                    raise BadMessage("more than one Host field")
                self._take_host(value)
                continue
            value = value.rstrip(b"\t ")
            if name == b"connection":
                connection.append(value)
            elif name == b"content-length":
                if self._take_length(value):
                    self.length_kept = True
                    continue
            elif name == b"transfer-encoding":
                if self.chunked or value != b"chunked":
                    raise BadMessage("unsupported Transfer-Encoding", 501)
                self.chunked = True
            elif name == b"expect":
                self.expect = value == b"100-continue"
            elif name == b"upgrade":
                upgrade.append(value)
            elif name == b"trailer":
                announced = True
                continue
            elif name == b"lolly-hop":
                hops.append(value)
                continue
            elif name == b"te":
                if b"trailers" in [part.strip(b"\t ") for part in value.split(b",")]:
                    self.wants_trailers = True
            elif name == b"forwarded" or name.startswith(b"x-"):
                if not self.forwarded:
                    self.forwarded = self._forwarding_fields()
            cut.append(name)
        if self.chunked and self.length is not None:
            raise BadMessage("both Content-Length and Transfer-Encoding")
        if not self.chunked and not self.length:
            self.expect = False  # nothing to hold back
        if announced and not self.chunked:
            cut.append(b"trailer")  # nowhere to put them
        if hops:
            self.hops = tuple(hops)
        self._finish(cut, connection, upgrade, low)
        self.plain = (
            bool(self.host)
            and not (self.chunked or self.upgrade or self.forwarded or hops)
            and not self.wants_trailers
            and self.length is None
            and self.connection in _STAYING
        )

    def _forwarding_fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """Those that say who the client is, their values as received."""
        lines = [(name.lower(), value) for name, value in _FIELD.findall(self.raw)]
        return tuple(
            [(n, v.rstrip(b"\t ")) for n, v in lines if _FORWARDING.fullmatch(n)]
        )

    @property
    def rest(self) -> bytes:
        """`kept` without the Host line."""
        return _HOST_LINE.sub(b"\n", self.kept)

    def like(self, kept: bytes, raw: bytes = b"") -> RequestBlock:
        """The same with other bytes to pass on; `raw`: and to look at, b"" for what they were."""
        # An empty block is as cheap as any way around the constructor, and copies of compiled objects are not made.
        made = RequestBlock(b"\r\n")
        made.raw = raw or self.raw
        made.kept = kept
        made.length = self.length
        made.length_kept = self.length_kept
        made.chunked = self.chunked
        made.connection = self.connection
        made.upgrade = self.upgrade
        made.plain = self.plain
        made.expect = self.expect
        made.wants_trailers = self.wants_trailers
        made.forwarded = self.forwarded
        made.hops = self.hops
        made.host = self.host
        made.has_host = self.has_host
        made.gone = self.gone
        made.never = self.never
        return made

    def without_upgrade(self) -> RequestBlock:
        """The same, for a request whose wish to upgrade is not granted."""
        if not self.upgrade:
            return self
        plain = self.like(self.kept)
        plain.upgrade = b""
        return plain

    def without_expect(self) -> RequestBlock:
        """The same, for a client that has been told to go on."""
        changed = self.like(self.kept)
        changed.expect = False
        return changed

    def without_fields(self, names: frozenset[bytes]) -> RequestBlock:
        """The same without fields of these names (lower case, "-"), also where "_" stands for "-", nor trailers.

        CGI and what follows it (WSGI) take both for one name.
        """
        low = self.raw.lower()
        cut = [name for name in names_in(low) if name.replace(b"_", b"-") in names]
        if not cut and not self.may_have_trailers:
            return self
        raw = kept = without(self.raw, low, cut) if cut else self.raw
        if self.kept is not self.raw:
            kept = without(self.kept, self.kept.lower(), cut) if cut else self.kept
        made = self.like(kept, raw)
        made.gone = self.gone | names
        return made

    def with_lines(
        self, change: Callable[[bytes], bytes], gone: frozenset[bytes] = frozenset()
    ) -> RequestBlock:
        """The same with what `change` makes of its lines; of those that `is_special` it leaves all as they are.

        `gone`: names of those that it takes away.
        """
        raw = change(self.raw)
        made = self.like(raw if self.kept is self.raw else change(self.kept), raw)
        if gone:
            made.gone = self.gone | gone
        return made

    @property
    def may_have_trailers(self) -> bool:
        """There may be fields behind the body: of chunks, or of frames whatever length they say."""
        return self.chunked or bool(self.length)

    def with_max_forwards(self, hops: int) -> RequestBlock:
        """The same with another Max-Forwards value (RFC 9110 section 7.6.2)."""
        line = b"\nMax-Forwards: %d\r" % hops
        return self.like(_MAX_FORWARDS.sub(line, self.kept))


@mypyc_attr(acyclic=True)
class ResponseBlock(FieldBlock):
    """The fields of a response. `date`: there is a Date field.

    Plain: a Date, a Content-Length, and nothing said but that the connection is kept.
    Framing fields are read here; that HEAD, 1xx, 204 and 304 have no body whatever they say
    (RFC 9112 section 6.3) is for the reader of the message to know.
    """

    date = False

    def __init__(
        self,
        raw: bytes,
        found: list[tuple[bytes, bytes]] | None = None,
        counted: int = -1,
        kept: bytes = b"",
    ) -> None:
        """`found`: the special fields in lower case, if they are known.

        `counted`: of fields of which only Date and this Content-Length are special; `kept`: and, if there is any, a
        Connection that says keep-alive.
        """
        self.raw = self.kept = raw
        if counted >= 0:
            self.length = counted
            self.date = self.length_kept = self.plain = True
            if kept:
                self.kept = kept
                self.connection = _KEEP_ALIVE
            return
        if found is None:
            found = _RESPONSE_SPECIAL.findall(raw.lower())
        stays = len(found) == 3 and found[2] == _STAYS
        if stays or len(found) == 2:
            one, day = found[0]
            two, length = found[1]
            if one == b"content-length":
                one, two, length = two, one, day
            if one == b"date" and two == b"content-length":
                # Nothing to cut, or just that: many responses.
                length = length.rstrip(b"\t ")
                if self._take_length(length):
                    self.date = self.length_kept = self.plain = True
                    if stays:
                        self._stay()
                    return
                self.length = None
        self._inspect(found, raw.lower())

    def _inspect(self, found: list[tuple[bytes, bytes]], low: bytes) -> None:
        """Look at each special field, in order."""
        cut: list[bytes] = []
        connection: list[bytes] = []
        upgrade: list[bytes] = []
        announced = False
        for name, value in found:
            if name == b"date":
                self.date = True
                continue
            value = value.rstrip(b"\t ")
            if name == b"content-length":
                if self._take_length(value):
                    self.length_kept = True
                    continue
            elif name == b"connection":
                connection.append(value)
            elif name == b"transfer-encoding":
                if self.chunked or value != b"chunked":
                    raise BadMessage("unsupported Transfer-Encoding")
                self.chunked = True
            elif name == b"upgrade":
                upgrade.append(value)
            elif name == b"trailer":
                announced = True
                continue
            cut.append(name)
        if self.chunked and self.length is not None:
            raise BadMessage("both Content-Length and Transfer-Encoding")
        if announced and not self.chunked:
            cut.append(b"trailer")  # nowhere to put them
        self._finish(cut, connection, upgrade, low)
        if b"date" in self.connection:
            self.date = False  # it has been taken out
        self.plain = (
            self.date
            and self.length_kept
            and not upgrade
            and self.connection in _STAYING
        )

    def offer(self) -> bytes:
        """The lines by which a 426 says what to upgrade to (RFC 9110 section 15.5.22)."""
        protocols = b", ".join(self.get_all(b"upgrade"))
        if not protocols:
            return b""
        return b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocols

    def without_length(self) -> bytes:
        """`kept` without Content-Length, for 1xx and 204 (RFC 9110 section 8.6)."""
        if not self.length_kept:
            return self.kept
        return _LENGTH_LINE.sub(b"\n", self.kept)


_VALID_NAME: Final = re.compile(TOKEN)
_VALID_VALUE: Final = re.compile(VALUE)


def render_fields(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Field lines for `pairs`, each ended by CRLF.

    Raises ValueError for what would not be a valid line: it would be one more field to the receiver.
    """
    lines = []
    for name, value in pairs:
        if not _VALID_NAME.fullmatch(name) or not _VALID_VALUE.fullmatch(value):
            raise ValueError(f"not a valid field: {name!r}: {value!r}")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)

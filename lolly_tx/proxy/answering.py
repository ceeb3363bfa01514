"""Ends of routes that answer themselves: redirects, and answers that the settings have in full.

What a client said may be part of such an answer, so a redirect leads to no host but the one of its settings, whatever
is filled in, and a field with a line end in its value is left out.

Imports: config.kinds, domain, domain.routing, net, proxy, wire. Used by:
proxy.middleware, service.
"""

from __future__ import annotations

from collections.abc import Mapping

from lolly_tx.config.kinds.templatekinds import location_parts
from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.routing.hosts import host_name
from lolly_tx.net.doors import BodyStart, DoorIn, Peer
from lolly_tx.proxy.asked import Along, Asked
from lolly_tx.proxy.own_answers import OwnAnswers, got
from lolly_tx.proxy.replies import reason_of, reply
from lolly_tx.proxy.templates import page_template, template, url_template
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.urls import escaped, own_location

_PLAIN = "text/plain; charset=utf-8"
_WITHOUT_BODY = (204, 304)


class Location:
    """Where a redirect leads: `text` as `config.kinds.templatekinds.LOCATION` reads it."""

    __slots__ = ("_host", "_rest", "_scheme")

    def __init__(self, text: str) -> None:
        scheme, host, rest = location_parts(text)
        self._scheme = template(scheme)
        self._host = template(host) if host else None
        self._rest = url_template(rest)

    @property
    def of_head(self) -> bool:
        """It depends on nothing but the head of the request."""
        parts = (self._scheme, self._host, self._rest)
        return all(part is None or part.of_head for part in parts)

    def of(self, asked: Asked) -> bytes:
        """The URL for a request. Raises `BadHost` if what is filled in makes no host."""
        rest = self._rest.render(asked)
        if self._host is None:
            return own_location(rest)
        host = self._host.render(asked)
        host_name(host)
        if rest and rest[:1] not in b"/?#":
            rest = b"/" + rest
        return b"%b://%b%b" % (self._scheme.render(asked), host, escaped(rest))


class Redirecting:
    """`proxy.proxy.RouteEnd`: clients are led to `to`. `own`: who is told of it."""

    __slots__ = ("_along", "_location", "_own", "_status")

    def __init__(self, along: Along, own: OwnAnswers, to: str, status: int) -> None:
        self._along = along
        self._own = own
        self._location = Location(to)
        self._status = status

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Answer."""
        own, status, why, token = self._own, self._status, "redirect", ""
        identity = own.identity_of(head, door.peer)
        extra = b"" if identity is None else identity.echo
        try:
            to = self._location.of(Asked(self._along, head, door.peer, identity))
            extra += b"Location: %b\r\n" % to
        except DownstreamError as error:
            status, why, token = 400, f"no place to go: {error.detail}", error.token
        size = reply(door, status, token=token, extra=extra, is_head=head.is_head)
        status, size = got(door, status, size)
        head = door.asked or head
        own.given(door, head, status, size, why, identity, self._along.route)

    def foreseen(self, head: RequestHead, peer: Peer) -> str:
        """What a request would get, in words."""
        try:
            to = self._location.of(Asked(self._along, head, peer))
        except DownstreamError as error:
            return f"400: no place to go: {error.detail}"
        return f"{self._status}, to {to.decode('ascii')}"


class Responding:
    """`proxy.proxy.RouteEnd`: answers with `status`, `headers` and `body`, which may have variables."""

    __slots__ = ("_along", "_body", "_fields", "_own", "_reason", "_status")

    def __init__(
        self,
        along: Along,
        own: OwnAnswers,
        status: int,
        body: str,
        headers: Mapping[str, str],
    ) -> None:
        self._along = along
        self._own = own
        self._status = status
        self._reason = reason_of(status)
        fields = dict(headers)
        names = {name.lower(): name for name in fields}
        if body and "content-type" not in names:
            names["content-type"] = "Content-Type"
            fields["Content-Type"] = _PLAIN
        kind = fields[names["content-type"]].lower() if "content-type" in names else ""
        self._body = page_template(body, kind)
        if self._body.constant is None and "x-content-type-options" not in names:
            # A browser may not find markup in what somebody has sent.
            fields["X-Content-Type-Options"] = "nosniff"
        self._fields = [
            (name.encode("ascii"), template(value)) for name, value in fields.items()
        ]

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Answer."""
        own, status = self._own, self._status
        identity = own.identity_of(head, door.peer)
        asked = Asked(self._along, head, door.peer, identity, status)
        lines = [b"\r\n"]
        for name, made in self._fields:
            value = made.field(asked)
            if value is not None:
                lines.append(b"%b: %b\r\n" % (name, value))
        if identity is not None:
            lines.append(identity.echo)
        said = self._body.render(asked)
        if status in _WITHOUT_BODY:
            said = b""
        else:
            lines.append(b"Content-Length: %d\r\n" % len(said))
        if head.is_head:
            said = b""
        door.answer(status, self._reason, b"".join(lines), said)
        status, size = got(door, status, len(said))
        head = door.asked or head
        own.given(door, head, status, size, "", identity, self._along.route)

    def foreseen(self, head: RequestHead, peer: Peer) -> str:
        """What a request would get, in words."""
        return f"{self._status}, said here"

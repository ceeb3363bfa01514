"""The kinds of values that name a place: endpoints, hosts, networks, files.

Imports: config.kinds, domain.routing. Used by: commands, config, config.facts,
config.kinds, config.middleware, config.rules, service, service.records,
service.tunnels.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from lolly_tx.config.kinds.plain import TEXT, Word, nearest, plain_text, quoted
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place
from lolly_tx.domain.routing.hosts import BadHost, host_name, valid_host

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_ENDPOINT = re.compile(r"([A-Za-z][A-Za-z0-9_.+-]*)(?::.*)?", re.DOTALL)


class _Endpoint(Word):
    """A Twisted endpoint string. `side`: "server" or "client"."""

    word = "endpoint"

    def __init__(self, side: str) -> None:
        self.side = side

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if text and place.elsewhere:
            raise Rejected(
                "names a socket, which only a file of this machine may; targets are URLs"
            )
        match = _ENDPOINT.fullmatch(text)
        known = place.known(self.side)
        if match is None or (known is not None and self._folded(match[1]) not in known):
            raise Rejected(self._fix(text, match, known))
        if self._folded(match[1]) == "tcp":
            self._check_tcp(text)
        if self.side == "server" and match[1] == "unix":
            _check_mode(text)
        return text

    def _folded(self, name: str) -> str:
        """Twisted folds the case of client endpoint types, but not of server ones."""
        return name.lower() if self.side == "client" else name

    def _fix(self, text: str, match: Any, known: Set[str] | None) -> str:
        guess = nearest(match[1], known) if match and known is not None else ""
        if guess.startswith("; did you"):
            return "no endpoint type has this name" + guess
        address = re.fullmatch(r"\[?([^\[\]/]*?)\]?:([0-9]{1,5})", text)
        if address is not None and (not address[1] or valid_host(address[1])):
            host = address[1].replace(":", "\\:")
            if self.side == "client":
                fix = f"tcp:{host or '127.0.0.1'}:{address[2]}"
            else:
                fix = f"tcp:{address[2]}" + (f":interface={host}" if host else "")
            return f'is no endpoint string; did you mean "{fix}"?'
        if match is None or known is None:
            return 'is no endpoint string such as "tcp:8080:interface=127.0.0.1"'
        return "no endpoint type has this name" + guess

    def _check_tcp(self, text: str) -> None:
        plain, named = endpoint_parts(text)
        at = 1 if self.side == "server" else 2
        port = part_of(plain, named, "port", at)
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            form = "tcp:PORT" if self.side == "server" else "tcp:HOST:PORT"
            raise Rejected(f"needs a port between 0 and 65535, as in {form}")


def _check_mode(text: str) -> None:
    """Refuse a file mode that Twisted would take for another, or fail at when it is too late."""
    mode = _mode_of(text)
    if mode is not None and not re.fullmatch(r"0?[0-7]{3}", mode):
        raise Rejected(
            f'has the mode {quoted(mode)}, and a mode is three octal digits, as in "unix:/run/x.sock:mode=660"'
        )


def _mode_of(text: str) -> str | None:
    """The file mode that a server endpoint of type unix asks for."""
    plain, named = endpoint_parts(text)
    return named.get("mode", plain[2] if len(plain) > 2 else None)


def with_mode(text: str, mode: str) -> str:
    """A server endpoint with that file mode, if it is a UNIX socket and asks for none."""
    if endpoint_parts(text)[0][0] != "unix" or _mode_of(text) is not None:
        return text
    return f"{text}:mode={mode}"


def endpoint_parts(text: str) -> tuple[list[str], dict[str, str]]:
    """The positional and the named parts of an endpoint string."""
    plain: list[str] = []
    named: dict[str, str] = {}
    for part in re.findall(r"(?:\\.|[^:\\])+|(?<=:)(?=:|$)", text, re.DOTALL):
        name, equals, value = part.partition("=")
        if equals and name.isidentifier():
            named[name] = re.sub(r"\\(.)", r"\1", value)
        else:
            plain.append(re.sub(r"\\(.)", r"\1", part))
    return plain, named


def part_of(
    plain: Sequence[str], named: Mapping[str, str], name: str, place: int
) -> str:
    """A part of an endpoint string, by its name or its place; "": it says nothing of it."""
    return named.get(name, plain[place] if len(plain) > place else "")


def service_url(text: str, example: str) -> str:
    """The path of a URL where a service is asked; "" = it has none. Raises `Rejected`, with an `example`."""
    match = _SERVICE.fullmatch(text)
    if match is None or not valid_host(match[1]) or int(match[2] or 1) > 65535:
        raise Rejected(f'must be a URL such as "{example}"')
    return match[3] or ""


class ServiceURL(Word):
    """Where a service is asked: http or https, a host, perhaps a port and a path. `optional`: may be empty."""

    word = "URL"

    def __init__(self, example: str, optional: bool = False) -> None:
        self._example = example
        self._optional = optional

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = plain_text(raw)
        if text or not self._optional:
            service_url(text, self._example)
        return text


class _MaybeFile(Word):
    """A file that may come and go, made absolute. `optional`: may be empty."""

    word = "file"

    def __init__(self, optional: bool = False) -> None:
        self.optional = optional

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not text:
            if self.optional:
                return ""
            raise Rejected("must name a file")
        return place.absolute(text)


class _PathOfFile(_MaybeFile):
    """A file that must exist, made absolute. `optional`: may be empty."""

    def read(self, raw: Any, place: Place) -> str:
        path = super().read(raw, place)
        if path and (trouble := place.why_no_file(path)):
            raise Rejected(trouble)
        return path


class _OptionalFolder(Word):
    """A folder, made absolute, that may not exist yet; or none."""

    word = "folder"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not text:
            return ""
        path = place.absolute(text)
        if not place.why_no_file(path):
            raise Rejected(f"a file, not a folder: {path}")
        return path


class _PathOfPEM(_PathOfFile):
    """The same, or a folder."""

    word = "file or folder"

    def read(self, raw: Any, place: Place) -> str:
        path = place.absolute(TEXT.read(raw, place) or ".")
        if raw and place.why_no_file(path).startswith("a directory"):
            return path
        return super().read(raw, place)


class _LogPath(Word):
    """A file that may not exist yet, or "-"."""

    word = "file"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not text:
            raise Rejected('must name a file, or "-" for standard output')
        return text if text == "-" else place.absolute(text)


_SERVICE = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]\s]+)(?::([0-9]{1,5}))?(/[!-~]*)?"
)
_SYSLOG_UDP = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):([0-9]{1,5})")


class _AccessLogPath(_LogPath):
    """The same, or a syslog daemon."""

    word = "file or syslog"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place)
        if not text.startswith("syslog:"):
            return super().read(raw, place)
        _, kind, where = (*text.split(":", 2), "", "")[:3]
        if kind == "unix" and where:
            return f"syslog:unix:{place.absolute(where)}"
        match = _SYSLOG_UDP.fullmatch(where)
        if kind == "udp" and where and ":" not in where and valid_host(where):
            raise Rejected(f'needs a port; did you mean "{text}:514"?')
        if kind != "udp" or match is None or not valid_host(match[1]):
            raise Rejected(
                'must be as "syslog:unix:/dev/log" or "syslog:udp:192.0.2.9:514"'
            )
        if not 0 < int(match[2]) <= 65535:
            raise Rejected("needs a port between 1 and 65535")
        return text


class _SentHost(Word):
    """The Host for targets: two words, or a literal."""

    word = "host"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if text in ("preserve", "target"):
            return text
        match = _HOST_PORT.fullmatch(text)
        if match is None or not valid_host(match[1]) or int(match[2] or 1) > 65535:
            raise Rejected('must be "preserve", "target" or a host name')
        from difflib import get_close_matches  # only who has made a mistake needs it

        close = get_close_matches(text, ("preserve", "target"), cutoff=0.8)
        if close:
            raise Rejected(f'did you mean "{close[0]}"?')
        return text


class _HostPattern(Word):
    """A host name, or "*." and the rest of one; folded to lower case."""

    word = "host"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        name = text.lower().rstrip(".")
        if not name.isascii():
            try:
                ascii_name = name.encode("idna").decode("ascii")
            except UnicodeError:
                raise Rejected("must be a host name in ASCII") from None
            raise Rejected(f'must be ASCII; did you mean "{ascii_name}"?')
        rest = name[2:] if name.startswith("*.") else name
        if ":" in name and not name.startswith("[") and valid_host(name):
            raise Rejected(f'needs brackets; did you mean "[{name}]"?')
        if valid_host(rest) and (rest is name or not _is_address(rest)):
            return _one_form(name) if name.startswith("[") else name
        match = _HOST_PORT.fullmatch(name)
        if match is not None and match[2] and valid_host(match[1]):
            raise Rejected(f'takes no port; did you mean "{match[1]}"?')
        raise Rejected(
            'must be a host name, or "*." and the rest of one; leave it out for any'
        )


def _one_form(literal: str) -> str:
    """An address in brackets in the form that requests are compared in."""
    try:
        return host_name(literal.encode())
    except BadHost:
        raise Rejected("must be an IPv6 address in the brackets") from None


def _is_address(host: str) -> bool:
    return bool(re.fullmatch(r"[0-9.]+|\[.*|.*:.*", host))


class _Peers:
    """An address, a network in CIDR form, or "unix" for those who come by a UNIX socket."""

    word = "network"

    def read(
        self, raw: Any, place: Place
    ) -> ipaddress.IPv4Network | ipaddress.IPv6Network | str:
        text = plain_text(raw)
        if text == "unix":
            return text
        try:
            return ipaddress.ip_network(text)
        except ValueError:
            pass
        try:
            wider = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise Rejected(
                'must be an address, a network such as "10.0.0.0/8", or "unix"'
            ) from None
        raise Rejected(f'has bits beyond its prefix; did you mean "{wider}"?')

    def show(self, value: Any) -> str:
        return quoted(str(value))


FILE = _PathOfFile()
FILE_OR_FOLDER = _PathOfPEM()
OPTIONAL_FILE = _PathOfFile(optional=True)
MAYBE_FILE = _MaybeFile()
OPTIONAL_MAYBE_FILE = _MaybeFile(optional=True)
OPTIONAL_FOLDER = _OptionalFolder()
LOG_PATH = _LogPath()
ACCESS_LOG_PATH = _AccessLogPath()
LISTEN = _Endpoint("server")
CONNECT = _Endpoint("client")
SENT_HOST = _SentHost()
HOST_PATTERN = _HostPattern()
NETWORK = _Peers()

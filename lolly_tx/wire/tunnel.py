"""How the two ends of a reverse tunnel find out whom they have before them: a line of JSON each way, twice.

    connector                                             server
    {"lolly": 1, "name", "instance", "nonce"}     -->
                                                  <--     {"lolly": 1, "nonce"}
    {"proof", "services", "publish"}              -->
                                                  <--     {"proof", "granted", "refused", ...}, or {"error", ...}

A proof is an HMAC over both nonces, the name and what ties it to this one TLS channel, with another word for each
side: it is of no use on another connection, later, or sent back. Who is not known gets the same answers in the same
time as who has a wrong secret. After the last line both speak HTTP/2 (docs/tunnel.md).

Imports: nothing of ours. Used by: net.tunnels, service.tunnels.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

VERSION = 1
NONCE_BYTES = 32
MOST_LINE_BYTES = 65536
"""Of one line of the handshake, either way."""
MOST_SERVICES = 1000
"""That a connector may offer, and as many that it may ask to have published."""
EXPORTER = b"EXPORTER-lolly-tunnel-1"
"""The label of the secret that a TLS channel gives to both of its ends (RFC 5705, RFC 8446 section 7.5)."""

DENIED = "denied"
BUSY = "busy"
VERSION_UNKNOWN = "version"
MALFORMED = "malformed"

_CONNECTOR, _SERVER = b"connector", b"server"
_NAME_BYTES = 64
_MOST_SECONDS = 1e9


class HandshakeFailed(Exception):
    """There will be no tunnel. `word`: one of those above. `retry`: seconds until it is worth another try; 0: any time.

    `told`: the other side has said so.
    """

    def __init__(
        self, word: str, detail: str, retry: float = 0.0, told: bool = False
    ) -> None:
        super().__init__(f"{word}: {detail}")
        self.word = word
        self.detail = detail
        self.retry = retry
        self.told = told


@attrs.frozen
class Wish:
    """What a connector asks to have published: `service` at `host`, or at `port`; the other one is empty."""

    service: str
    host: str = ""
    port: int = 0

    @property
    def where(self) -> str:
        """The host or the port, for messages."""
        return f"host {self.host}" if self.host else f"port {self.port}"


@attrs.frozen
class Offer:
    """What a connector says once it has proven who it is."""

    services: tuple[str, ...]
    wishes: tuple[Wish, ...] = ()


@attrs.frozen
class Welcome:
    """What a server says. `refused`: by what was asked for, why it is not permitted. `heartbeat`: the server's, s."""

    granted: tuple[str, ...] = ()
    refused: Mapping[str, str] = attrs.field(factory=dict)
    heartbeat: float = 0.0


def proof(
    secret: str, side: bytes, name: str, nonces: tuple[bytes, bytes], channel: bytes
) -> str:
    """That who is on `side` knows `secret`. `nonces`: the server's and the connector's. `channel`: of the TLS."""
    parts = (b"lolly tunnel 1", side, *nonces, name.encode(), channel)
    text = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


class _Lines:
    """What has come, a line at a time. `rest`: behind the last one."""

    def __init__(self) -> None:
        self.rest = b""

    def next(self) -> dict[str, Any] | None:
        """The next line; None: it is not whole. Raises `HandshakeFailed`."""
        line, end, rest = self.rest.partition(b"\n")
        if not end:
            if len(line) > MOST_LINE_BYTES:
                raise HandshakeFailed(MALFORMED, "a line without an end")
            return None
        if len(line) > MOST_LINE_BYTES:
            raise HandshakeFailed(MALFORMED, "a line too long")
        self.rest = rest
        try:
            found = json.loads(line)
            if b"\\u" in line:  # half of a pair is no text, whatever holds it
                json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise HandshakeFailed(MALFORMED, "what came is no line of a handshake")
        return found


def _line(**said: Any) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def _text(said: dict[str, Any], key: str, most: int = _NAME_BYTES) -> str:
    value = said.get(key)
    if not isinstance(value, str) or not 0 < len(value.encode()) <= most:
        raise HandshakeFailed(MALFORMED, f'"{key}" is missing or wrong')
    return value


def _nonce(said: dict[str, Any]) -> bytes:
    try:
        value = bytes.fromhex(_text(said, "nonce", 2 * NONCE_BYTES))
    except ValueError:
        value = b""
    if len(value) != NONCE_BYTES:
        raise HandshakeFailed(MALFORMED, '"nonce" is missing or wrong')
    return value


def _list(said: dict[str, Any], key: str) -> list[Any]:
    value = said.get(key, [])
    if not isinstance(value, list) or len(value) > MOST_SERVICES:
        raise HandshakeFailed(MALFORMED, f'"{key}" is wrong, or too long')
    return value


def _version(said: dict[str, Any]) -> None:
    version = said.get("lolly")
    if version != VERSION:
        raise HandshakeFailed(VERSION_UNKNOWN, f"version {VERSION} is spoken here")


def _seconds(value: object) -> float | None:
    """A number that may be seconds."""
    if isinstance(value, (int, float)) and abs(value) < _MOST_SECONDS:
        return float(value)
    return None


def _told(said: dict[str, Any]) -> None:
    """Raise what the other side says is wrong."""
    if "error" in said:
        seconds = _seconds(said.get("retry", 0)) or 0.0
        detail = _text(said, "detail", 1000)
        word = _text(said, "error")
        raise HandshakeFailed(word, detail, max(0.0, seconds), told=True)


def refusal(failed: HandshakeFailed) -> bytes:
    """The line that says why there will be no tunnel."""
    return _line(error=failed.word, detail=failed.detail, retry=failed.retry)


class ConnectorSide:
    """The handshake of a connector: send `hello`, then what `receive` returns.

    `nonce`: 32 random bytes, used once. `channel`: what TLS exports; b"" without TLS. `secret`: "" where certificates
    do.
    """

    def __init__(
        self,
        name: str,
        secret: str,
        instance: str,
        nonce: bytes,
        channel: bytes,
        offer: Offer,
    ) -> None:
        self._name = name
        self._secret = secret
        self._nonce = nonce
        self._channel = channel
        self._offer = offer
        self._lines = _Lines()
        self._expected = ""
        self.hello = _line(
            lolly=VERSION, name=name, instance=instance, nonce=nonce.hex()
        )
        self.welcome: Welcome | None = None
        """What the server grants, once it has proven who it is."""

    @property
    def rest(self) -> bytes:
        """What came behind the last line."""
        return self._lines.rest

    def receive(self, data: bytes) -> bytes:
        """What to send in answer to `data`. Raises `HandshakeFailed`; then there is nothing more to do here."""
        self._lines.rest += data
        answer = b""
        while self.welcome is None:
            said = self._lines.next()
            if said is None:
                break
            _told(said)
            answer += self._offer_line(said) if not self._expected else self._end(said)
        return answer

    def _offer_line(self, said: dict[str, Any]) -> bytes:
        _version(said)
        nonces = (_nonce(said), self._nonce)
        mine = proof(self._secret, _CONNECTOR, self._name, nonces, self._channel)
        self._expected = proof(self._secret, _SERVER, self._name, nonces, self._channel)
        wishes = [
            {"service": one.service, "host": one.host, "port": one.port}
            for one in self._offer.wishes
        ]
        services = [*self._offer.services]
        return _line(proof=mine, services=services, publish=wishes)

    def _end(self, said: dict[str, Any]) -> bytes:
        if not hmac.compare_digest(
            _text(said, "proof").encode(), self._expected.encode()
        ):
            raise HandshakeFailed(DENIED, "the server does not know the secret")
        refused = said.get("refused", {})
        granted = _list(said, "granted")
        heartbeat = _seconds(said.get("heartbeat", 0))
        if not isinstance(refused, dict) or heartbeat is None:
            raise HandshakeFailed(MALFORMED, "a welcome that says nothing")
        self.welcome = Welcome(
            tuple(str(one) for one in granted),
            {str(key): str(why) for key, why in refused.items()},
            heartbeat,
        )
        return b""


class ServerSide:
    """The handshake of a server: send what `receive` returns until there is an `offer`, then `welcome`.

    `secret_of(name)`: what a connector of that name has to know; "" = its certificate does; None: there is none of
    that name. `nonce`, `channel`: as of a connector. `decoy`: a secret that nobody knows.
    """

    def __init__(
        self,
        secret_of: Callable[[str], str | None],
        nonce: bytes,
        channel: bytes,
        decoy: str,
    ) -> None:
        self._secret_of = secret_of
        self._nonce = nonce
        self._channel = channel
        self._decoy = decoy
        self._lines = _Lines()
        self._nonces = (nonce, b"")
        self._secret = ""
        self._known = False
        self.name = ""
        """What the connector calls itself; proven once there is an `offer`."""
        self.instance = ""
        self.offer: Offer | None = None

    def receive(self, data: bytes) -> bytes:
        """What to send in answer to `data`. Raises `HandshakeFailed`, which is to be told (`refusal`)."""
        self._lines.rest += data
        answer = b""
        while (said := self._lines.next()) is not None:
            if self.offer is not None:
                break
            if self.name:
                self._prove(said)
            else:
                answer += self._challenge(said)
        if self.offer is not None and (said is not None or self._lines.rest):
            raise HandshakeFailed(MALFORMED, "more came than was asked for")
        return answer

    def _challenge(self, said: dict[str, Any]) -> bytes:
        _version(said)
        nonce = _nonce(said)
        self.instance = _text(said, "instance")
        self.name = _text(said, "name")
        self._nonces = (self._nonce, nonce)
        secret = self._secret_of(self.name)
        self._known = secret is not None
        self._secret = self._decoy if secret is None else secret
        return _line(lolly=VERSION, nonce=self._nonce.hex())

    def _prove(self, said: dict[str, Any]) -> None:
        expected = proof(
            self._secret, _CONNECTOR, self.name, self._nonces, self._channel
        )
        same = hmac.compare_digest(_text(said, "proof").encode(), expected.encode())
        if not same or not self._known:
            raise HandshakeFailed(DENIED, "name, secret or certificate is wrong", 30.0)
        self.offer = Offer(
            tuple(_names(_list(said, "services"))),
            tuple(_wishes(_list(said, "publish"))),
        )

    def welcome(self, welcome: Welcome) -> bytes:
        """The last line."""
        mine = proof(self._secret, _SERVER, self.name, self._nonces, self._channel)
        return _line(
            proof=mine,
            granted=[*welcome.granted],
            refused={**welcome.refused},
            heartbeat=welcome.heartbeat,
        )


def _names(found: Iterable[Any]) -> Iterable[str]:
    for one in found:
        if not isinstance(one, str) or not 0 < len(one.encode()) <= _NAME_BYTES:
            raise HandshakeFailed(MALFORMED, "a service without a name")
        yield one


def _wishes(found: Iterable[Any]) -> Iterable[Wish]:
    for one in found:
        if not isinstance(one, dict):
            raise HandshakeFailed(MALFORMED, '"publish" is wrong')
        host, port = one.get("host", ""), one.get("port", 0)
        if not isinstance(host, str) or len(host) > 255 or type(port) is not int:
            raise HandshakeFailed(MALFORMED, '"publish" is wrong')
        if bool(host) == bool(port) or not 0 <= port <= 65535:
            raise HandshakeFailed(MALFORMED, '"publish" needs a host or a port')
        yield Wish(_text(one, "service"), host.lower(), port)

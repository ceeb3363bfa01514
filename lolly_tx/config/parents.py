"""The settings of the ways that clients of a forward proxy go by: direct, another proxy, or a pool of them.

Imports: config.kinds, domain, domain.access. Used by: config.forward, config.rules,
service.forwards.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote

import attrs

from lolly_tx.config.kinds.addresses import (
    HOST_PATTERN,
    OPTIONAL_FILE,
)
from lolly_tx.config.kinds.plain import TEXT, Choice, Word, nearest, plain_text, quoted
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf
from lolly_tx.domain.access.destinations import is_special, literal
from lolly_tx.domain.access.forwarded import Network
from lolly_tx.domain.access.login import login_of
from lolly_tx.domain.target import read_url

DIRECT = "direct"
HTTP, SOCKS5 = "http", "socks5"
_POOL = "pool:"
_SCHEMES = ("http", "https", "socks5")
_USER = re.compile(r"(//)([^/?#]*)@")


class _Target:
    """A network, or the name of a host."""

    word = "network or host"

    def read(self, raw: Any, place: Place) -> Network | str:
        text = plain_text(raw)
        try:
            return ip_network(text)
        except ValueError:
            pass
        try:
            wider = ip_network(text, strict=False)
        except ValueError:
            return HOST_PATTERN.read(text, place)
        raise Rejected(f'has bits beyond its prefix; did you mean "{wider}"?')

    def show(self, value: Any) -> str:
        return quoted(str(value))


TARGET_PATTERNS = ListOf(_Target(), "targets")


@attrs.frozen
class ProxyAddress:
    """What the URL of a proxy says. `user`, `password`: "" for none."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = attrs.field(default="", repr=False)

    @property
    def place(self) -> str:
        """Where it is, without who we are there."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def proxy_address(text: str) -> ProxyAddress:
    """What such a URL says. Raises ValueError, which does not repeat it."""
    said = _USER.search(text)
    plain = _USER.sub(r"\1", text, count=1)
    scheme, host, port = read_url(plain, _SCHEMES)
    user = password = ""
    if said is not None:
        user, _, password = (unquote(one) for one in said[2].partition(":"))
        login_of(user, password)
    return ProxyAddress(scheme, host, port, user, password)


class _Proxy(Word):
    """Direct, the URL of a proxy, or a pool of proxies."""

    word = "proxy"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if text == _POOL:
            raise Rejected("names no pool")
        if text == DIRECT or text.startswith(_POOL):
            return text
        try:
            proxy_address(text)
        except ValueError as error:
            known = (
                f'"{DIRECT}", "{_POOL}NAME", or a URL such as "socks5://10.0.0.9:1080"'
            )
            raise Rejected(f"must be {known}: the URL {error}") from None
        return text


class _Password(Word):
    """A password of ours. Never shown."""

    word = "password"

    def read(self, raw: Any, place: Place) -> str:
        return plain_text(raw)

    def show(self, value: Any) -> str:
        return '"***"' if value else '""'


def _without_login(text: str) -> str:
    return _USER.sub(r"\1***@", text)


@attrs.frozen
class Parent:
    """One rule: where clients go, and the way to there."""

    proxy: str = attrs.field(
        repr=_without_login,
        metadata=about(
            _Proxy(),
            '"direct"; the URL of a proxy, "http://", "https://" or "socks5://", with "USER:PASSWORD@" where it asks'
            ' for that; or "pool:NAME", a pool whose targets are proxies.',
        ),
    )
    match: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            TARGET_PATTERNS,
            'Names such as "*.example.com", and networks; these are for addresses that clients ask for as such. none ='
            " everything.",
        ),
    )
    speaks: str = attrs.field(
        default=HTTP,
        metadata=about(
            Choice(HTTP, SOCKS5),
            "What the proxies of a pool speak; of a URL, it says so.",
        ),
    )
    user: str = attrs.field(
        default="", metadata=about(TEXT, "Who we are there, if the URL does not say.")
    )
    password: str = attrs.field(
        default="",
        repr=False,
        metadata=about(_Password(), 'And our password, as "${PROXY_PASSWORD}".'),
    )
    password_file: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            "A file whose first line it is. Read with the configuration, and again by each reload.",
        ),
    )

    @property
    def pool(self) -> str:
        """The pool that it names; "": none."""
        return self.proxy.removeprefix(_POOL) if self.proxy.startswith(_POOL) else ""

    @property
    def direct(self) -> bool:
        """No proxy."""
        return self.proxy == DIRECT

    @property
    def address(self) -> ProxyAddress:
        """Of the one proxy; there is one where it is neither direct nor a pool."""
        return proxy_address(self.proxy)

    @property
    def socks(self) -> bool:
        """SOCKS5 is spoken there, else HTTP."""
        return self.speaks == SOCKS5 if self.pool else self.address.scheme == SOCKS5

    @property
    def has_login(self) -> bool:
        """We say there who we are."""
        return bool(self.user) or not (
            self.pool or self.direct or not self.address.user
        )


def parent_rules(
    parents: Sequence[Parent],
    pools: Mapping[str, str],
    datagrams: Collection[str],
    place: Place,
) -> None:
    """What must hold for them. `datagrams`: pools whose targets take nothing else."""
    for number, parent in enumerate(parents):
        here = place.at(number)
        if not parent.match and number < len(parents) - 1:
            here.wrong("matches everything, so those behind it are never used")
        if parent.pool:
            if parent.pool not in pools:
                here.at("proxy").wrong(
                    "no pool has this name" + nearest(parent.pool, pools)
                )
            elif parent.pool in datagrams:
                here.at("proxy").wrong(
                    "has targets for datagrams, which are no proxies"
                )
        else:
            _one(parent, here)
        _login(parent, here)


def _one(parent: Parent, here: Place) -> None:
    if here.at("speaks").written:
        here.at("speaks").wrong("is for pools; a URL says what is spoken")


def _login(parent: Parent, here: Place) -> None:
    if parent.direct:
        if parent.user or parent.password or parent.password_file:
            here.wrong("is direct, so nobody asks for a user and a password")
        return
    if not parent.pool and parent.address.user:
        if parent.user or parent.password or parent.password_file:
            here.wrong("has a user and a password in its URL already")
        return
    if parent.password and parent.password_file:
        here.at("password_file").wrong("is a second password")
    elif here.at("password_file").written:
        if not parent.user:
            here.at("password_file").wrong("needs user")
    else:
        try:
            login_of(parent.user, parent.password)
        except ValueError as error:
            here.wrong(str(error))


def parent_facts(parents: Sequence[Parent]) -> Iterator[tuple[str, bool]]:
    """What they imply: a sentence each, and whether it is a doubt."""
    for parent in parents:
        where = ", ".join(map(str, parent.match)) or "everything else"
        if parent.direct:
            yield f"{where}: direct", False
            continue
        name = f"the proxies of pool {parent.pool}"
        if not parent.pool:
            name = parent.address.place
        yield f"{where}: through {name}", False
        if not parent.pool:
            yield from _doubts_of(parent, parent.address)
    if not all(parent.direct for parent in parents):
        yield (
            "what parents connect to is looked up there: here only ports, deny_targets and addresses that clients ask"
            " for as such are refused",
            False,
        )


def _doubts_of(parent: Parent, there: ProxyAddress) -> Iterator[tuple[str, bool]]:
    address = literal(there.host)
    loopback = there.host == "localhost" or (
        address is not None and address.is_loopback
    )
    if parent.has_login and there.scheme != "https" and not loopback:
        yield f"our password goes to {there.place} in the clear; use https://", True
    public = address is None or not is_special(address)
    if not parent.has_login and public and not loopback:
        yield (
            f"{there.place} is used without a login: unless it knows us by our address, it is an open proxy, whose"
            " owner nobody vouches for",
            True,
        )

"""Variables in texts: which there are, and the texts that have some, taken apart.

    "$client ${method} $header_user_agent costs $$5"

Imports: config.kinds. Used by: config, config.kinds.extensions, config.kinds.httpkinds,
config.kinds.templatekinds, config.texts, importing.nginx, proxy, proxy.caching,
proxy.records.

A new one for log lines is a line here, and one in `proxy.variables` that says where its value comes from; a test
compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from lolly_tx.config.kinds.plain import nearest
from lolly_tx.config.kinds.problems import Rejected

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "time": "the end of the exchange, ISO 8601 in UTC with milliseconds",
        "time_local": "the same as Apache and nginx write it, in UTC",
        "client": "the client's address, as far as trusted proxies can be believed",
        "client_port": "the port of the client, where that is who is connected",
        "listener": "the name of the listener",
        "scheme": "http or https",
        "tls_version": "TLSv1.3 ...",
        "tls_cipher": "the suite of ciphers",
        "tls_server_name": "the name that the client asked for (SNI)",
        "tls_alpn": "what ALPN agreed on: h2 or http/1.1",
        "tls_verify": "SUCCESS for a client with a certificate, else NONE",
        "tls_subject": "whose that certificate is",
        "tls_issuer": "who has signed it",
        "tls_serial": "its number, hexadecimal",
        "tls_fingerprint": "its SHA-256, hexadecimal",
        "version": "HTTP/1.1, HTTP/2.0 ...; TCP of a stream",
        "method": "the method",
        "host": "the Host, in lower case; of a stream with `sni` the name in the ClientHello",
        "uri": "path and query as the client sent them",
        "path": "the path, decoded",
        "query": "what stands after the ?",
        "route": "host and path of the route",
        "pool": "the name of the pool",
        "target": "the id of the target that answered, or was asked last",
        "upstream": "the addresses of all that were asked",
        "upstream_status": "what they answered",
        "upstream_seconds": "how long each of them took; of a stream, to connect",
        "tries": "how many attempts there were",
        "status": "the status of the answer",
        "cache": "hit, stale, updating, revalidated, collapsed; miss, expired: a target was asked; else no cache",
        "error": "why the answer is our own, or was cut short: the word that `Proxy-Status` has (RFC 9209)",
        "bytes_sent": "bytes of the body to the client",
        "bytes_received": "bytes of the body from the client",
        "seconds": "the whole exchange",
        "ended": "who or what ended a session of a stream: client, target, client_reset, idle ... (docs/streams.md)",
        "request_id": "the id of the request (`[request_id]`)",
        "trace_id": "the trace it belongs to (`[trace]`)",
        "span_id": "our span in it",
        "sample": "the share of such lines that is written, 1 = each",
    }
)
"""What there is, with what it means."""

PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "header_": "a field of the request, such as $header_user_agent",
        "cookie_": "a cookie of the request",
        "arg_": "a parameter of the query",
    }
)
"""The same of names that go on: there is one for each field, cookie and parameter."""

AT_THE_END = frozenset(
    (
        "upstream",
        "upstream_status",
        "upstream_seconds",
        "tries",
        "cache",
        "error",
        "bytes_sent",
        "bytes_received",
        "seconds",
        "ended",
        "sample",
    )
)
"""Those that an exchange has when it is over, which only log lines are made of."""

NO_NAMES: Mapping[str, str | None] = MappingProxyType({})


class _AnyNames(dict[str, str | None]):
    """What names a configuration has is not known any more, or was looked at before."""

    def __contains__(self, name: object) -> bool:
        return True


ANY_NAMES: Mapping[str, str | None] = _AnyNames()
"""Whatever is no variable is a capture."""

OWN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""How variables of a configuration and captures are called."""

_DOLLAR = re.compile(r"\$(?:(\$)|\{([A-Za-z0-9_]+)\}|([1-9])|([A-Za-z][A-Za-z0-9_]*))?")

Part = tuple[str, str]


def parts_of(text: str, named: Callable[[str], str] | None = None) -> tuple[Part, ...]:
    """`text` as pairs: some plain text, and the variable after it, "" after the last.

    `named`: the one spelling of a name, or `Rejected`; that of log lines, when none is given. Raises `Rejected`
    for names that nobody knows, and for a single dollar.
    """
    named = named or known_name
    parts: list[Part] = []
    plain, at = "", 0
    for match in _DOLLAR.finditer(text):
        plain += text[at : match.start()]
        at = match.end()
        dollar, braced, digit, bare = match.groups()
        if dollar:
            plain += "$"
            continue
        name = braced or digit or bare
        if not name:
            raise Rejected("has a $ without a name; a dollar itself is written $$")
        parts.append((plain, named(name)))
        plain = ""
    return (*parts, (plain + text[at:], ""))


def known_name(name: str) -> str:
    """The variable called `name`, in the one spelling of it. Raises `Rejected`."""
    if name in VARIABLES:
        return name
    folded = name.lower()
    for prefix in PREFIXES:
        if folded.startswith(prefix) and len(name) > len(prefix):
            # Names of cookies and parameters have a case, those of fields have none.
            return folded if prefix == "header_" else prefix + name[len(prefix) :]
    prefixes = [prefix + "NAME" for prefix in PREFIXES]
    raise Rejected(
        f"no variable is called ${name}" + nearest(name, (*VARIABLES, *prefixes))
    )


def value_name(name: str, own: Mapping[str, str | None] = NO_NAMES) -> str:
    """The same for values that are made while an exchange is under way. Raises `Rejected`.

    `own`: what a configuration names itself. "1" to "9" are what an expression captures.
    """
    if not is_taken(name):
        if name in own or re.fullmatch("[1-9]", name):
            return name
        there = [one for one in VARIABLES if one not in AT_THE_END]
        prefixes = [prefix + "NAME" for prefix in PREFIXES]
        raise Rejected(
            f"no variable is called ${name}" + nearest(name, (*own, *there, *prefixes))
        )
    name = known_name(name)
    if name in AT_THE_END:
        raise Rejected(f"${name} is known when an exchange is over, to log lines only")
    return name


def is_taken(name: str) -> bool:
    """Whether a name means something already."""
    return name in VARIABLES or name.lower().startswith(tuple(PREFIXES))


def expanded(text: str, own: Mapping[str, str | None]) -> str:
    """`text` with the variables of its configuration written out.

    Raises `Rejected` as `value_name` does, and for variables that are made of themselves.
    """
    parts = parts_of(text, lambda name: value_name(name, own))
    if not any(own.get(name) for _, name in parts):
        return text
    return _expanded(text, own, ())


def _expanded(text: str, own: Mapping[str, str | None], chain: tuple[str, ...]) -> str:
    out = ""
    for plain, name in parts_of(text, lambda name: value_name(name, own)):
        out += plain.replace("$", "$$")
        inner = own.get(name)
        if inner is None:
            # In braces, so that what follows is no part of it.
            out += f"${{{name}}}" if name else ""
        elif name in chain:
            raise Rejected(f"${name} is made of itself")
        else:
            out += _expanded(inner, own, (*chain, name))
    return out

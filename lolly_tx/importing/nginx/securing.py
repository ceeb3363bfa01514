"""TLS of listeners: what the servers of an address say together.

Imports: importing, importing.nginx. Used by: importing.nginx.convert,
importing.nginx.proxying, importing.nginx.servers, importing.nginx.streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from lolly_tx.importing.draft import Table
from lolly_tx.importing.nginx.listening import Server
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.values import flag
from lolly_tx.importing.nginx.work import Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_SEVERAL = (
    "several certificates are files with chain and key each: cat both into one file, and name all of those files in"
    " tls.certificate"
)
_ONE = "one for a listener: that of its default server"


@attrs.define
class _Secured:
    """A listener with TLS. `pairs`: certificates, keys; `client`: what its default server wants of clients."""

    listener: Table
    pairs: list[tuple[str, str]] = attrs.field(factory=list)
    client: Table | None = None

    @property
    def tls(self) -> Table:
        table: Table = self.listener["tls"]
        return table

    def finish(self) -> None:
        """Write the certificates first."""
        files: Table = {"certificate": [file for file, _ in self.pairs]}
        if len(self.pairs) == 1:
            [(files["certificate"], key)] = self.pairs
            if key != files["certificate"]:
                files["key"] = key
        self.listener["tls"] = {**files, **self.tls}


def secure(work: Work, servers: Sequence[Server]) -> None:
    """Give each listener the TLS that its servers speak of, the default one first."""
    secured: dict[str, _Secured] = {}
    for server in servers:
        old = server.scope.last("ssl")
        if old is not None and old.args == ("on",):
            work.report.take(old)
            for listen in server.listens:
                work.draft.listeners[listen.name].setdefault("tls", {})
    for default in (True, False):
        for server in servers:
            for listen in server.listens:
                if listen.default is not default:
                    continue
                listener = work.draft.listeners[listen.name]
                if "tls" in listener:
                    here = secured.setdefault(listen.name, _Secured(listener))
                    _server(work, server, here)
                elif listener.pop("http2", False):
                    listener["h2c"] = True
                _http2(work, server, listener)
    for here in secured.values():
        here.finish()


def _http2(work: Work, server: Server, listener: Table) -> None:
    key = "http2" if "tls" in listener else "h2c"

    def carry(one: Statement) -> None:
        if flag(one.args[0]) or key == "http2":
            listener[key] = flag(one.args[0])

    work.report.carry(server.scope.nearest("http2")[-1:], carry)


def _server(work: Work, server: Server, here: _Secured) -> None:
    mine: Table = {}
    for name, read in TLS.items():

        def carry(one: Statement, read: _Read = read) -> None:
            mine.update(read(work, one))

        work.report.carry(server.scope.nearest(name)[-1:], carry)
    _certificates(work, server, here)
    client = {key: mine.pop(key) for key in _CLIENT if key in mine}
    if client.get("client", "off") == "off":
        client = {}
    if here.client is None:
        here.client = client
        here.tls.update(mine)
        here.tls.update(client)
        return
    if client != here.client:
        _plain_names(work, server)
    if client != here.client and server.names:
        site = {"host": server.names, "client": "off", **client}
        if site not in here.tls.setdefault("site", []):
            here.tls["site"].append(site)
    for key, name in _SHARED.items():
        if mine.get(key) != here.tls.get(key):
            for one in server.scope.own(name):
                work.report.leave(one, _ONE)


def ended_here(work: Work, scope: Scope) -> Table:
    """What a server says of TLS that ends at it alone. Raises `NotThere`."""
    certificates = scope.nearest("ssl_certificate")
    keys = scope.nearest("ssl_certificate_key") or certificates
    if not certificates:
        raise NotThere("has no ssl_certificate")
    one, key = certificates[0], keys[0]
    found: Table = {"certificate": work.path(one.args[0])}
    if key.args != one.args:
        found["key"] = work.path(key.args[0])
    work.report.take(one, key)
    for other in (*certificates[1:], *keys[1:]):
        if other not in (one, key):
            work.report.leave(other, _SEVERAL)
    for name, read in TLS.items():

        def carry(one: Statement, read: _Read = read) -> None:
            found.update(read(work, one))

        work.report.carry(scope.nearest(name)[-1:], carry)
    if found.get("client") == "off":
        found = {key: value for key, value in found.items() if key not in _CLIENT}
    return found


def _plain_names(work: Work, server: Server) -> None:
    """Take from a server the names that no policy of its own can be bound to: nobody is to get past it."""
    for name in [
        one for one in server.names if one.startswith("~") or one.endswith("*")
    ]:
        server.names.remove(name)
        for one in server.scope.own("server_name"):
            if name in one.args:
                why = "what is asked of clients with certificates is bound to names, not to patterns"
                work.report.leave(one, why, name)


def _certificates(work: Work, server: Server, here: _Secured) -> None:
    certificates = server.scope.nearest("ssl_certificate")
    keys = server.scope.nearest("ssl_certificate_key") or certificates
    for one, key in zip(certificates, keys, strict=False):
        pair = (work.path(one.args[0]), work.path(key.args[0]))
        both_in_one = all(file == key for file, key in (*here.pairs, pair))
        if pair not in here.pairs:
            if here.pairs and not both_in_one:
                work.report.leave(one, _SEVERAL)
                work.report.leave(key, _SEVERAL)
                continue
            here.pairs.append(pair)
        work.report.take(one, key)


def minimum(work: Work, one: Statement) -> str:
    """The oldest version of TLS that a list of them has. Raises `NotThere`."""
    old = [word for word in one.args if word in ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1")]
    if old:
        work.report.leave(
            one, "older than TLS 1.2, with which it begins", " ".join(old)
        )
    if "TLSv1.2" in one.args:
        return "1.2"
    if "TLSv1.3" in one.args:
        return "1.3"
    raise NotThere("none of these is spoken: it begins with TLS 1.2")


def _client(work: Work, one: Statement) -> Table:
    said = {"on": "require", "optional": "request", "off": "off"}
    if one.args[0] not in said:
        raise NotThere("a certificate of a client that nobody has signed is refused")
    return {"client": said[one.args[0]]}


_CLIENT = ("client", "client_ca", "client_crl")
_SHARED = {"minimum": "ssl_protocols", "ocsp": "ssl_stapling"}
_Read = Callable[[Work, Statement], Table]

TLS: dict[str, _Read] = {
    "ssl_protocols": lambda work, one: {"minimum": minimum(work, one)},
    "ssl_stapling": lambda work, one: {"ocsp": flag(one.args[0])},
    "ssl_verify_client": _client,
    "ssl_client_certificate": lambda work, one: {"client_ca": work.path(one.args[0])},
    "ssl_crl": lambda work, one: {"client_crl": work.path(one.args[0])},
}
"""What a server says of TLS, beside its certificates."""

"""Locations: each becomes a route, if there is an end for it.

Imports: domain.routing, importing, importing.nginx. Used by: importing.nginx.servers.

A line of `ENDS` for each statement that answers requests. The first of them that a location has of its own is its end.
"""

from __future__ import annotations

from collections.abc import Callable

from lolly_tx.domain.routing.expressions import BadExpression
from lolly_tx.domain.routing.locations import path_expression
from lolly_tx.domain.routing.routes import BadPath, normal_path
from lolly_tx.importing.draft import plain_name
from lolly_tx.importing.nginx.answers import returned
from lolly_tx.importing.nginx.files import files, named_fallback
from lolly_tx.importing.nginx.proxying import proxied
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.upstreams import address_of, pool_at
from lolly_tx.importing.nginx.values import expression, has_variable
from lolly_tx.importing.nginx.work import Making
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement


def path_of(making: Making) -> str:
    """The path of the route. Raises `NotThere`."""
    if making.statement.name != "location":
        return "/"
    args = making.statement.args
    sign, path = args if len(args) == 2 else ("", args[0] if args else "/")
    if not sign:
        for one in ("^~", "~*", "~", "="):
            if path.startswith(one):
                sign, path = one, path[len(one) :]
                break
    if path.startswith("@"):
        raise NotThere("a named location is only reached from inside of nginx")
    if sign in ("~", "~*"):
        path = expression(path)
        try:
            path_expression(sign + path)
        except BadExpression as error:
            raise NotThere(str(error)) from None
        return sign + path
    try:
        normal = normal_path(path.encode()).decode()
    except (BadPath, UnicodeDecodeError):
        normal = ""
    if normal != path or "?" in path:
        raise NotThere("matches no path in its normal form")
    return sign + path


def whole_segments(making: Making, path: str) -> None:
    """Say what a prefix covers no more."""
    if path[0] in "/^" and not path.endswith("/"):
        path = path.removeprefix("^~")
        why = f"covers {path} and what is below {path}/, not {path}x"
        making.work.report.note(making.statement, why)


def end_of(making: Making) -> None:
    """Give the route its end. Raises `NotThere`."""
    for name, carry in ENDS.items():
        found = making.scope.own(name)
        if found:
            carry(found[-1], making)
            making.work.report.take(found[-1])
            return
    denied = [one for one in making.scope.own("deny") if one.args == ("all",)]
    if denied and not making.scope.own("allow"):
        making.route["respond"] = {"status": 403}
        making.work.report.take(*denied)
        return
    fallback = named_fallback(making)
    if fallback is None:
        files(making)
        return
    making.scope = Scope(fallback.block or (), making.scope.around)
    making.work.report.enter(fallback)
    making.work.report.take(fallback)
    end_of(making)


def _pass(prefix: str) -> Callable[[Statement, Making], None]:
    def carry(one: Statement, making: Making) -> None:
        address = address_of(one.args[0])
        name, making.pool, making.host = pool_at(making.work, address)
        if address.path is not None:
            _path(one, making, address.path)
        proxied(making, prefix)
        found = making.work.draft.pool(name, making.pool)
        making.route["pool"] = found
        if found != plain_name(name):
            first = plain_name(name)
            why = f"not the settings of {first}, so a pool of its own, {found}, that counts for itself"
            making.work.report.note(one, why)

    return carry


def _path(one: Statement, making: Making, path: str) -> None:
    """What follows the address takes the place of the location in the path. Raises `NotThere`."""
    here = making.route["path"]
    if here.startswith("="):
        if here[1:] != path:
            making.way.append({"type": "replace_path", "to": path})
        return
    prefix = here.removeprefix("^~")
    if prefix == path:
        return
    if here.startswith("~") or "?" in path or has_variable(path):
        raise NotThere(f"a path cannot be made of a part of another, as {path} is")
    if prefix.endswith("/") != path.endswith("/"):
        making.work.report.note(one, f"{path}/ is put before the rest, not {path}")
    if prefix.strip("/"):
        making.way.append({"type": "strip_prefix", "prefix": prefix.rstrip("/")})
    if path.strip("/"):
        making.way.append({"type": "add_prefix", "prefix": path.rstrip("/")})


def _elsewhere(what: str) -> Callable[[Statement, Making], None]:
    def carry(one: Statement, making: Making) -> None:
        raise NotThere(what)

    return carry


def _return(one: Statement, making: Making) -> None:
    making.route.update(returned(one, making.scope))
    if one.args[0].isdigit() and "respond" in making.route:
        making.work.report.take(*making.scope.own("default_type"))


ENDS: dict[str, Callable[[Statement, Making], None]] = {
    "internal": _elsewhere("only reached from inside of nginx"),
    "return": _return,
    "proxy_pass": _pass("proxy_"),
    "grpc_pass": _pass("grpc_"),
    "fastcgi_pass": _elsewhere("FastCGI is not spoken"),
    "uwsgi_pass": _elsewhere(
        "uwsgi is not spoken; uWSGI speaks HTTP with --http-socket"
    ),
    "scgi_pass": _elsewhere("SCGI is not spoken"),
    "memcached_pass": _elsewhere("memcached is not spoken"),
    "stub_status": _elsewhere("the admin endpoint has /metrics and /api/pools"),
}

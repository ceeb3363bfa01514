"""What would become of a request, without sending it: its route, its pool, the candidates, the choice.

    query (host, path, client, cookie ...) --> a head, read as a client's would be
        --> the listener's routes, and why not the others --> the pool --> excluded and candidates --> the choice

Nothing is changed by it: no turn is taken, no lease, no budget.

Imports: config, config.kinds, config.middleware, domain, net, proxy, proxy.chains,
proxy.streams, wire. Used by: service.admin, service.service, service.serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import nearest
from lolly_tx.config.middleware.rules import titles
from lolly_tx.config.model import Config
from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.foresight import balancer_name
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.proxy import Proxy
from lolly_tx.proxy.route import NamedRoute, ToPool
from lolly_tx.proxy.split import Split
from lolly_tx.proxy.streams.session import head_of
from lolly_tx.proxy.streams.streamnames import place_name
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import parse_request
from lolly_tx.wire.message import RequestHead


class CannotExplain(Exception):
    """The question makes no sense. The text is for the client; `status`: of the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class Question:
    """A request that nobody has sent.

    `pool`: skip the routes. `listener`: whose routes; "" = the first that has one. `headers`: more field lines,
    "Name: value" each. `stream`: a client of that one, who asks for `host` in its ClientHello; the rest of the request
    means nothing then.
    """

    pool: str = ""
    stream: str = ""
    listener: str = ""
    method: str = "GET"
    host: str = ""
    path: str = "/"
    client: str = "127.0.0.1"
    cookie: str = ""
    headers: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: Mapping[str, list[str]]) -> Question:
        """From the parameters of a query. Raises CannotExplain for unknown or repeated ones."""
        names = {field.name for field in attrs.fields(cls)} - {"headers"} | {"header"}
        values: dict[str, Any] = {}
        for name, given in query.items():
            if name not in names:
                known = ", ".join(sorted(names))
                raise CannotExplain(f"unknown parameter {name!r}; known: {known}")
            if name == "header":
                values["headers"] = tuple(given)
            elif len(given) > 1:
                raise CannotExplain(f"parameter {name!r} is there more than once")
            else:
                values[name] = given[0]
        return cls(**values)

    def head(self) -> RequestHead:
        """Its head, read as strictly as a client's. Raises CannotExplain."""
        # HTTP/1.0 is the one that needs no Host.
        lines = [f"{self.method} {self.path} HTTP/1.{1 if self.host else 0}"]
        if self.host:
            lines.append(f"Host: {self.host}")
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        lines += self.headers
        if any("\r" in line or "\n" in line for line in lines):
            raise CannotExplain("line ends have no place in a request's fields")
        try:
            data = "\r\n".join([*lines, "", ""]).encode("latin-1")
            head = parse_request(data)
        except UnicodeEncodeError:
            raise CannotExplain("only Latin-1 characters can be sent") from None
        except BadMessage as error:
            raise CannotExplain(f"such a request is refused: {error.reason}") from None
        if head is None:
            raise CannotExplain("that is no whole request")
        return head


_RESTING = "; targets that asked for a rest on this path come last (Retry-After)"


def _unsaid(peer: Peer, head: RequestHead) -> bytes:
    return b""  # nobody is sent anything


def dry_run(
    question: Question,
    proxies: Mapping[str, Proxy],
    pools: Mapping[str, Forwarder],
    now: float,
    config: Config,
) -> dict[str, Any]:
    """The whole answer to `question`. `proxies`: by listener; `config`: with the streams. Raises CannotExplain."""
    if question.stream:
        return _by_stream(question, config, pools, now)
    head = question.head()
    if question.pool:
        if question.pool not in pools:
            known = nearest(question.pool[:100], pools)
            raise CannotExplain(
                f"no such pool{known or '; /api/pools lists them'}", 404
            )
        peer = Peer(question.client, question.listener, False, _unsaid)
        choice = explain_choice(pools[question.pool], head, peer, now)
        return {"listener": question.listener, **choice}
    if question.listener and question.listener not in proxies:
        known = ", ".join(proxies)
        raise CannotExplain(f"no such listener; there are: {known}", 404)
    asked = [question.listener] if question.listener else list(proxies)
    last: dict[str, Any] = {}
    for name in asked:
        peer = Peer(question.client, name, False, _unsaid)
        last = _by_routes(name, proxies[name], head, peer, now)
        if last["route"] is not None:
            return last
    return {**last, "listener": question.listener, "routes": last.get("routes", [])}


_NOBODY: dict[str, Any] = {"pool": None, "choice": None, "candidates": []}


def _by_routes(
    listener: str, proxy: Proxy, head: RequestHead, peer: Peer, now: float
) -> dict[str, Any]:
    """Where the routes of `listener` lead a request, and why the others do not."""
    try:
        judged = proxy.table.judge(head.block.host, head.target, head, peer)
    except DownstreamError as error:
        raise CannotExplain(f"bad request: {error}") from None
    said: dict[str, Any] = {"listener": listener, "route": None, "use": []}
    routes = [{"route": one.pattern.name, "why_not": one.why_not} for one in judged]
    found = next((one.pattern for one in judged if not one.why_not), None)
    if found is None:
        block, target = head.block, head.target
        methods = proxy.table.allowed(block.host, target, head, peer)
        why = f"no route for the method: 405, {', '.join(methods)}"
        why = why if methods else "no route: 404"
        return {**said, **_NOBODY, "why": why, "routes": routes}
    said["route"], end = found.name, found.end
    if isinstance(end, Chain):
        said["use"] = [link.name for link in end.links]
        end = end.end
    said |= _at_end(end, head, peer, now)
    return {**said, "routes": routes}


def _by_stream(
    question: Question, config: Config, pools: Mapping[str, Forwarder], now: float
) -> dict[str, Any]:
    """Which target a client of a stream would get."""
    stream = config.streams.get(question.stream)
    if stream is None:
        known = ", ".join(config.streams) or "none"
        raise CannotExplain(f"no such stream; there are: {known}", 404)
    name = question.host.lower()
    pool = stream.pool_of(name)
    said = {
        "listener": place_name(stream.name),
        "stream": stream.name,
        "use": titles(stream.use, config.middlewares),
    }
    if not pool:
        asked = f'asks for "{name}"' if name else "asks for no name"
        why = f"no pool for who {asked}: the connection is closed"
        return {**said, **_NOBODY, "why": why}
    peer = Peer(question.client, place_name(stream.name), False, _unsaid)
    key = question.client.encode()
    return {**said, **explain_choice(pools[pool], head_of(name), peer, now, key)}


def _at_end(end: Any, head: RequestHead, peer: Peer, now: float) -> dict[str, Any]:
    """What the end of a route would do with a request."""
    split: dict[str, Any] = {}
    if isinstance(end, Split):
        shares = dict(zip(end.names, end.weights, strict=True))
        index = end.index_of(head, peer)
        split = {"split": shares, "by_key": index is not None}
        if index is None:
            total = sum(shares.values())
            each = [f"{name} {100 * n / total:.3g} %" for name, n in shares.items()]
            return {**_NOBODY, **split, "why": f"in turn: {', '.join(each)}"}
        end = end.ends[index]
    if isinstance(end, ToPool | NamedRoute):
        return {**split, **explain_choice(end.forwarder, head, peer, now)}
    foreseen = getattr(end, "foreseen", None)
    why = "answered here" if foreseen is None else foreseen(head, peer)
    return {**_NOBODY, "why": why}


def explain_choice(
    forwarder: Forwarder,
    head: RequestHead,
    peer: Peer,
    now: float,
    client: bytes | None = None,
) -> dict[str, Any]:
    """Candidates, what excludes the others, and the choice, for a request with `head` from `peer`.

    `client`: of a session, what hashing balancers go by.
    """
    pool = forwarder.pool
    key = forwarder.key_of(head, peer)
    if client is not None:
        key = client if forwarder.hashes else None
    sticky = forwarder.sticky
    bond = sticky.read(head, pool.nodes) if sticky is not None else None
    seen = pool.foresee(now, key, bond)
    rows = pool.explain(now, key, bond)
    resting = {node.id for node in forwarder.resting(head.target, now)}
    for row in rows:
        row["resting"] = row["id"] in resting
        row["load"] = round((row["in_flight"] + 1) / max(row["weight"], 1e-9), 3)
    budget = forwarder.policy.budget
    return {
        "pool": pool.name,
        "balancer": balancer_name(pool.balancer),
        "key": key.decode("latin-1") if key is not None else None,
        "bound": bond is not None,
        "choice": seen.node.id if seen.node is not None else None,
        "why": seen.why + (_RESTING if resting else ""),
        "candidates": rows,
        "tries": {
            "at_most": forwarder.policy.retry.tries,
            "on": sorted(forwarder.policy.retry.on),
            "budget_left": None if budget is None else round(budget.balance(now), 2),
        },
    }

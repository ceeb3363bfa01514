r"""A world whose pool is what a configuration says.

    world = configured(self, '[pool.app.retry]\ntries = 3\n')

The pool "app" has the targets a, b, c unless told otherwise. Everything but the sockets
is what the service builds from the same settings.
"""

from __future__ import annotations

from random import Random
from typing import Any, cast

from lolly_tx.config.model import PoolSettings
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.net.upstreams import Upstreams
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.sticky import Bonds
from lolly_tx.service.commons import Commons
from lolly_tx.service.policies import key_of, policy_of, sticky_cookie
from lolly_tx.service.pools import make_pool
from lolly_tx.service.surroundings import Surroundings
from tests.config.samples import ROUTE, WEB, read
from tests.domain.pools import Diary
from tests.proxy.world import GET, OK, Line, World, WorldTestCase

ABC = "abc"


def settings_of(text: str, targets: str = ABC, **each: Any) -> PoolSettings:
    """The settings of a pool; `each`: settings of every target."""
    more = "".join(f", {key} = {value}" for key, value in each.items())
    listed = ", ".join(
        f'{{ url = "http://{name}.example:80", id = "{name}"{more} }}'
        for name in targets
    )
    return read(f"{WEB}{ROUTE}[pool.app]\ntargets = [{listed}]\n{text}").pools["app"]


def configured(
    case: WorldTestCase,
    text: str = "",
    targets: str = ABC,
    *,
    trusted: Any = (),
    secure: bool = False,
    each: dict[str, Any] | None = None,
    **more: Any,
) -> World:
    """A world of `case` with the pool of `settings_of`."""
    settings = settings_of(text, targets, **(each or {}))

    def make(world: World) -> Forwarder:
        now, peers = world.clock.seconds, TrustedPeers(trusted)
        around = Surroundings(world.clock, now, now, Random(1))
        pool = make_pool(settings, Commons(around, world.deadlines, Diary()))
        return Forwarder(
            pool,
            upstreams=Upstreams(world.connect_to),
            policy=policy_of(settings, world.deadlines, peers),
            deadlines=world.deadlines,
            clock=world.clock,
            wall=now,
            random=Random(1),
            key=key_of(settings, peers),
            sticky=sticky_cookie(settings, cast(Bonds, pool.balancer), now),
            on_end=world.ended.append,
        )

    return case.world(make=make, trusted=trusted, secure=secure, **more)


def backend_of(world: World, client: Line) -> Line:
    """The backend's end of the attempt that runs for `client`; accepts its connect."""
    exchange: Any = client.protocol.exchange
    if exchange.client is None:
        world.accept(exchange.node.id)
    line: Line = exchange.client.transport
    return line


def ask(
    world: World, request: bytes = GET, reply: bytes = OK, client: Line | None = None
) -> tuple[str, bytes]:
    """One exchange: the node it went to, and what the client got."""
    line = client or world.client()
    line.send(request)
    node: str = line.protocol.exchange.node.id
    backend_of(world, line).send(reply)
    return node, line.take()

r"""A world whose only route is behind middleware, made of its settings as a service does.

    world = behind(self, 'type = "headers"\nrequest.set = { X-A = "1" }')

The tables are [middleware.m0], [middleware.m1] and so on, the outermost first. What is answered here is in
`world.refusals`. The route leads to the pool of the world unless `end` is given; `pool(name)` of the dependencies is
that pool, whatever the name.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import execute
from twisted.logger import Logger

from lolly_tx.config.model import Config
from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.link import Link
from lolly_tx.proxy.middleware.deps import MiddlewareDeps
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.route import ToPool
from lolly_tx.service.registry import Registry
from tests.config.samples import read
from tests.proxy.world import World, WorldTestCase

REST = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""


def settings(*tables: str, rest: str = REST, **files: str) -> Config:
    """The configuration with these middlewares. `files`: by absolute path."""
    named = [f"[middleware.m{n}]\n{one}\n" for n, one in enumerate(tables)]
    return read(rest + "".join(named), None, **files)


def deps_of(world: World, config: Config, name: str, **more: Any) -> MiddlewareDeps:
    """What a factory gets in `world`."""
    end = ToPool(world.forwarder)
    return MiddlewareDeps(
        name=name,
        reactor=world.clock,
        clock=world.clock,
        now=world.clock.seconds,
        wall=world.clock.seconds,
        random=Random(1),
        log=Logger("lolly_tx.middleware.test"),
        config=config,
        pool=lambda _: end,
        client_of=world.proxy.introduction.client_of,
        **{"in_thread": execute, **more},
    )


def behind(
    case: WorldTestCase,
    *tables: str,
    end: RouteEnd | None = None,
    config: Config | None = None,
    deps: dict[str, Any] | None = None,
    **more: Any,
) -> World:
    """See the module. `config`: in place of the tables. `deps`: others of `MiddlewareDeps`. `more`: of `World`."""
    world = case.world(**more)
    config = config or settings(*tables)
    registry = Registry()
    links = []
    for name, one in config.middlewares.items():
        given = deps_of(world, config, name, **(deps or {}))
        links.append(Link(name, registry.middleware(one.type, one.settings, given)))
    own = world.proxy.own
    along = Along(
        "* /",
        client_of=world.proxy.introduction.client_of,
        wall=world.clock.seconds,
        pool="app",
    )
    chain = Chain(
        links, end or ToPool(world.forwarder), own.given, along, own.identity_of
    )
    world.proxy.table = RouteTable([Pattern((), "/", chain)])
    return world

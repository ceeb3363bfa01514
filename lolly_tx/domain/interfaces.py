"""The extension points: what a third party can supply and a test may fake.

Imports: domain, domain.accruals. Used by: domain, domain.balancers, domain.retries,
net.checks, net.discovery, net.library, proxy.caching, proxy.chains, proxy.forwards,
proxy.middleware, service, service.checks, service.forwards, service.providers,
service.records, service.workers, simulate, testing.

Each interface has 1-4 methods; a plugin factory has `name`, `settings` and `build(settings, deps)`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from zope.interface import Attribute, Interface

from lolly_tx.domain.accruals.interfaces import IAccrual as IAccrual
from lolly_tx.domain.accruals.interfaces import IOutcomeAccrual as IOutcomeAccrual
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.node import Node


class IBalancer(Interface):
    """Chooses one of several available nodes."""

    def pick(candidates: Sequence[Node], key: bytes | None) -> Node:
        """Choose.

        `candidates`: a non-empty tuple of available nodes. The same tuple object is passed until the set or a
        weight changes, so an implementation may keep what it computed for it. `key`: what the exchange is
        hashed by (client address, URI, ...), or None.
        """


class IRankingBalancer(IBalancer):
    """A balancer that knows who is next when its first choice is full or was tried.

    Balancers that go by a key should offer this; others are simply asked again.
    """

    def ranked(candidates: Sequence[Node], key: bytes | None) -> Iterator[Node]:
        """All of `candidates` in order of preference."""


class IPreviewBalancer(IBalancer):
    """A balancer that can say whom it would choose without doing so."""

    def preview(candidates: Sequence[Node], key: bytes | None) -> Node | None:
        """What `pick` would answer now, leaving the next answer of `pick` as it is; None when chance decides."""


class IReleaseListener(Interface):
    """A balancer that wants to know when an exchange ends."""

    def released(node: Node) -> None:
        """`node` has one exchange less in flight."""


class IOutcomeListener(Interface):
    """A balancer that goes by how exchanges ended.

    It may have an attribute `whole`, a `bool`: true to be told at the end of answers, not at their heads.
    """

    def finished(node: Node, seconds: float, ok: bool, now: float) -> None:
        """`node` took `seconds` from having the whole request; `ok` is false for errors and server errors.

        An answer that breaks off after its head is told a second time, as an error.
        """


class IBindingBalancer(IBalancer):
    """A balancer that binds clients to nodes by a value the client brings back (a cookie)."""

    def bound(bond: bytes, ids: Collection[str]) -> str | None:
        """The one of the target `ids` that `bond` stands for, or None when it is none of ours."""

    def bond(target_id: str, until: int = 0) -> bytes:
        """The value that binds a client to that target, until then (seconds since the epoch) if that is not 0."""


class IEventSink(Interface):
    """Receives every change of availability."""

    def emit(event: Event) -> None:
        """Take note of `event`. Must not raise."""


class IHealthCheck(Interface):
    """One way to probe a target."""

    def check(target: Any) -> Any:
        """Probe `target` once. A Deferred of `domain.checks.health.Observation`; never errbacks but when cancelled."""


class IDiscovery(Interface):
    """Says which targets a pool has, and says it again when that changes."""

    def start(found: Any, failed: Any) -> None:
        """Begin. `found(entries)`: all there are now, each a URL or a table as in `targets` of a pool.

        `failed(why)`: nothing could be learned, in one line; what was found before stays. Both may be called at any
        time and as often as need be, but not from within this method; the same answer again costs little.
        """

    def stop() -> None:
        """End: neither is called any more, and nothing of one's own is left."""


class IRetryPolicy(Interface):
    """Decides whether another attempt is made."""

    def decide(
        failure: ProxyError | int,
        *,
        attempts: int,
        method: bytes | str,
        replayable: bool,
        response_started: bool,
        idempotency_key: bool = False,
    ) -> bool:
        """Whether to try again, from the failure (an error or a status) and the facts of the exchange."""


class IPluginFactory(Interface):
    """Makes one of the above from the settings of a configuration file."""

    name = Attribute("The name used in configuration files, `str`.")
    settings = Attribute("An attrs class: the accepted keys with their defaults.")

    def build(settings: Any, deps: Any) -> Any:
        """Build from validated `settings`, of the class above. `deps`: see `service.registry.PluginDeps`."""


class IBalancerFactory(IPluginFactory):
    """Builds an `IBalancer`, one for each tier of a pool."""


class IHealthCheckFactory(IPluginFactory):
    """Builds an `IHealthCheck`, for `health.type` and its `health.settings`."""


class IAccrualFactory(IPluginFactory):
    """Builds an `IAccrual`, one for each target."""


class IEventSinkFactory(IPluginFactory):
    """Builds an `IEventSink`."""


class IMiddlewareFactory(IPluginFactory):
    """Builds an `IMiddleware`, one for each table and each `use` that has one on the spot."""


class IDiscoveryFactory(IPluginFactory):
    """Builds an `IDiscovery`, one for each pool that names it."""


class IMiddleware(Interface):
    """Stands between a route and its end; one object for all requests, so whatever is one's own is in `passage`.

    What raises, or errbacks, is logged with the middleware's name, and its client gets a 500.
    """

    touches: frozenset[str] = Attribute(
        """Which of its methods are asked: names in `proxy.chains.link`.

        It may have three attributes more. `answer_fields`: where all that it does to answers is a function of their
        field lines (CRLF, then lines that each end with CRLF), that function. It is asked once of lines that repeat, in
        place of `response`, so it depends on nothing else and leaves Content-Length alone; None: there is no such one.
        In the same way `request_gate(client)` stands for a `request` that goes by nothing but the client's address, and
        `request_edit(head)` for one that only makes another head of the request's. A chain of none but such has no
        passages, and costs a fraction.
        """
    )

    def request(passage: Any) -> Any:
        """The head of a request is there (`proxy.chains.passage.Passage`); assign `passage.head` to change it.

        Returns None to let it pass; whatever answers in place of what comes next, a `proxy.answer.Answer` or another
        route's end; or a Deferred of either, which is cancelled when the client goes.
        """

    def response(passage: Any, answer: Any) -> Any:
        """The head of an answer is there (`proxy.answer.AnswerHead`), also of one of our own; change it in place.

        Asked of those whose `request` has been reached, the innermost first. Returns None, or an `Answer` in its place.
        """

    def request_body(passage: Any) -> Any:
        """A `proxy.chains.filters.BodyFilter` for the body of this request, whose length stays; or None."""

    def response_body(passage: Any, answer: Any) -> Any:
        """A filter for the body of this answer, or None. Asked right after `response`."""

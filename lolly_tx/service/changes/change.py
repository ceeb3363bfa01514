"""A change of the settings of a running service: prepared first, where everything may fail, then committed.

    Change(service, config)
      prepare()   step by step, the event loop has its turn between the steps; may raise, then nothing has happened
      ready()     listens where it is new; the last thing that may raise
      commit()    only assigns
      settle()    step by step, when it is in force: who is new begins to ask, who has left ends
      forget()    in place of commit: close what was opened

It is long because every kind of part has a line in each of these, in an order that is only to be seen together.

Imports: config, domain.access, domain.routing, net, proxy, proxy.streams, service,
service.changes, service.forwards, service.process, service.records, service.stores,
service.tunnels, Twisted. Used by: service.changes.reload, service.changes.settling,
service.workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from lolly_tx.config.model import Config, Listener
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.routing.routes import RouteTable
from lolly_tx.net.upstreams import Upstream
from lolly_tx.proxy.own_answers import OwnAnswers
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.proxy.streams.streamnames import place_name
from lolly_tx.service.changes.reshaping import Reshape, reshape
from lolly_tx.service.listening import Place
from lolly_tx.service.middlewares import Made
from lolly_tx.service.parts import (
    connection_cap,
    identities_of,
    in_pairs,
    make_place,
    make_resource,
    spans_of,
    traces_of,
    write_down,
)
from lolly_tx.service.pools import Circumstances, RunningPool, run_pool
from lolly_tx.service.process.housekeeping import no_collection
from lolly_tx.service.records.flight import told
from lolly_tx.service.records.logchoice import wanted_logs
from lolly_tx.service.routing import Routing
from lolly_tx.service.service import ADMIN, LollyService
from lolly_tx.service.stores.running import MadeStores
from lolly_tx.service.tunnels.running import tunnel_place_name

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.forward import Forward as Settings
    from lolly_tx.config.streams import Stream
    from lolly_tx.service.forwards.places import Forward, Prepared


POOLS_AT_ONCE = 50
"""Pools compared, or ended, in one turn of the event loop, some 2 ms."""


class Change:
    """See the module. `config`: what is to be in force. `by`: who changes targets; "" for the configuration."""

    log = Logger()

    def __init__(self, service: LollyService, config: Config, by: str = "") -> None:
        self.service = service
        self._by = by
        self.config = config
        self._old = service.config
        self._pools: dict[str, RunningPool | Reshape] = {}
        self._resources: dict[str, ReverseProxyResource] = {}
        self._tables: dict[str, RouteTable[RouteEnd]] = {}
        self._in_place: dict[str, Place] = {}
        self._sinks: Sequence[Any] | None = None
        self._logs = service.logs
        self._recorder = service.recorder
        self._circumstances = service.circumstances
        self._spans = service.spans
        self._middleware: Made | None = None
        self._stores: MadeStores | None = None
        self._forwards: dict[str, Forward] = {}
        self._changed: dict[str, Prepared] = {}
        self._joined: list[RunningPool] = []
        self._gone: list[RunningPool] = []

    # -- where everything may fail

    def prepare(self) -> Iterator[None]:
        """Make all that is new. Raises what building a service raises."""
        self._observers()
        yield
        yield from self._prepare_pools()
        ends = {
            name: one.old.end if isinstance(one, Reshape) else one.end
            for name, one in self._pools.items()
        }
        service = self.service
        self._stores = stores = service.stores.prepare(self.config)
        self._middleware = made = service.middlewares.prepare(
            self.config, ends, stores.store
        )
        routing = Routing(
            self.config,
            ends,
            service.introduction,
            service.surroundings,
            made,
            service.commons.files,
        )
        for name, listener in self.config.listeners.items():
            resource = service.resources.get(name)
            # Counted on, whatever becomes of the listener.
            own = OwnAnswers() if resource is None else resource.proxy.own
            self._tables[name] = yield from routing.table(name, own)
            self._prepare_listener(name, listener, self._tables[name], own)
            yield
        for stream in self.config.streams.values():
            self._prepare_stream(stream)
        self._prepare_tunnels()
        for settings in self.config.forwards.values():
            self._prepare_forward(settings)
        self._prepare_admin()

    def _observers(self) -> None:
        """Who is told of exchanges and events."""
        service, old, new = self.service, self._old, self.config
        around = service.surroundings
        if old.events != new.events:
            self._sinks = service.commons.registry.sinks(new.events, around)
        wanted = wanted_logs(new)
        ids = [(one.request_id is None, one.trace is None) for one in (old, new)]
        same = wanted_logs(old) == wanted and ids[0] == ids[1]
        if not same and around.part.serves:
            self._logs = None
            if wanted:
                from lolly_tx.service.records.recording import AccessLogs, Recorder

                tell = service.commons.endings.tell
                self._logs = AccessLogs(new, around, tell)
                self._recorder = self._recorder or Recorder(
                    None, service.introduction, around.wall, service.now, tell
                )
        before = service.circumstances
        trusted = before.trusted
        if old.trusted_proxies != new.trusted_proxies:
            trusted = TrustedPeers(new.trusted_proxies)
        traces = before.traces
        if (old.explain, _token(old)) != (new.explain, _token(new)):
            traces = traces_of(new, around)
        if _exporting(old) != _exporting(new):
            self._spans = spans_of(new, around)
        exemplars = service.commons.exemplars if new.trace is not None else None
        on_end = told(self._spans, exemplars)
        writes = self._logs is not None or service.commons.flight is not None
        identities = before.identities
        if trusted is not before.trusted or (old.request_id, old.trace) != (
            new.request_id,
            new.trace,
        ):
            identities = identities_of(new, trusted, around.random)
        self._circumstances = Circumstances.of(
            new,
            trusted,
            traces,
            on_end,
            identities,
            service.commons.endings if writes else None,
        )

    def _prepare_pools(self) -> Iterator[None]:
        commons, around = self.service.commons, self._circumstances
        for number, (name, settings) in enumerate(self.config.pools.items(), 1):
            old = self.service.running_pools.get(name)
            if old is None:
                self._pools[name] = old = run_pool(settings, commons, around)
                yield from old.targets_tried()
                yield
                continue
            if old.settings == settings and old.circumstances == around:
                self._pools[name] = old
                if not number % POOLS_AT_ONCE:
                    yield
                continue
            change = reshape(old, settings, commons, around)
            self._pools[name] = change
            yield from change.targets_tried()
            yield

    def _prepare_listener(
        self,
        name: str,
        listener: Listener,
        table: RouteTable[RouteEnd],
        own: OwnAnswers,
    ) -> None:
        service, before = self.service, self._old.listeners.get(name)
        resource = service.resources.get(name)
        same_kind = before is not None and before.health is listener.health
        if resource is None or not same_kind:
            resource = make_resource(service, listener, table, own, self._on_refusal)
        self._resources[name] = resource
        if before == listener and (self._old.limits, self._old.timeouts) == (
            self.config.limits,
            self.config.timeouts,
        ):
            return
        place = make_place(service, self.config, listener, resource)
        there = service.listeners.places.get(name)
        if (
            there is not None
            and same_kind
            and there.text == place.text
            and there.secure is place.secure
        ):
            self._in_place[name] = place
        else:
            service.listeners.prepare(name, place)

    def _prepare_stream(self, stream: Stream) -> None:
        old, new, service = self._old, self.config, self.service
        same = (old.limits, old.timeouts) == (new.limits, new.timeouts)
        if same and old.streams.get(stream.name) == stream:
            return
        from lolly_tx.service.streamplaces import stream_place

        self._prepare_place(place_name(stream.name), stream_place(service, new, stream))

    def _prepare_tunnels(self) -> None:
        old, new, service = self._old, self.config, self.service
        servers = service.tunnels.prepare(old, new)
        same = (old.limits, old.timeouts) == (new.limits, new.timeouts)
        for name, tunnel in new.tunnels.items():
            before = old.tunnels.get(name)
            if same and before is not None:
                if (before.endpoint, before.tls) == (tunnel.endpoint, tunnel.tls):
                    continue
            from lolly_tx.service.tunnelplaces import tunnel_place

            place = tunnel_place(service, new, tunnel, servers[name])
            self._prepare_place(tunnel_place_name(name), place)

    def _prepare_forward(self, settings: Settings) -> None:
        from lolly_tx.service.forwards.places import forward_place

        service, old, new = self.service, self._old, self.config
        name = settings.name
        forward = service.forwards.get(name)
        before = old.forwards.get(name)
        if forward is None:
            forward = service.make_forward(settings, self._circumstances)
        elif (
            before != settings
            # Files may say something else by now.
            or settings.users_file
            or any(parent.password_file for parent in settings.parents)
            or self._circumstances != service.circumstances
        ):
            self._changed[name] = forward.prepare(settings, self._circumstances)
        self._forwards[name] = forward
        same = (old.limits, old.timeouts) == (new.limits, new.timeouts)
        if before != settings or not same:
            place = forward_place(forward, new, settings, service.census)
            self._prepare_place(forward.place_name, place)

    def _prepare_place(self, name: str, place: Place) -> None:
        """Serve there as `place` says: where clients come in already, or anew."""
        service = self.service
        there = service.listeners.places.get(name)
        if (
            there is not None
            and there.text == place.text
            and there.secure is place.secure
        ):
            self._in_place[name] = place
        else:
            service.listeners.prepare(name, place)

    @property
    def _on_refusal(self) -> Any:
        recorder = self._recorder
        return None if recorder is None or self._logs is None else recorder.refused

    def _prepare_admin(self) -> None:
        old, new = self._old.admin, self.config.admin
        if new is None or old == new or not self.service.surroundings.part.admin:
            return
        place = self.service.admin_place(new)
        if old is not None and old.endpoint == new.endpoint:
            self._in_place[ADMIN] = place
        else:
            self.service.listeners.prepare(ADMIN, place)

    @property
    def leaving(self) -> list[str]:
        """Listeners that are to be no more."""
        admin = self._old.admin is not None and self.config.admin is None
        admin = admin and self.service.surroundings.part.admin
        gone = [
            name for name in self._old.listeners if name not in self.config.listeners
        ]
        gone += [
            place_name(name)
            for name in self._old.streams
            if name not in self.config.streams
        ]
        gone += [
            tunnel_place_name(name)
            for name in self._old.tunnels
            if name not in self.config.tunnels
        ]
        gone += [
            one.place_name
            for name, one in self.service.forwards.items()
            if name not in self.config.forwards
        ]
        return [*gone, ADMIN] if admin else gone

    def ready(self) -> None:
        """Listen where it is new. Raises `CannotListen`; then nobody has noticed."""
        self.service.listeners.ready(self.leaving)

    def forget(self) -> None:
        """Nothing of this is to be."""
        self.service.listeners.forget()
        if self._middleware is not None:
            self.service.middlewares.forget(self._middleware)
        for name, forward in self._forwards.items():
            if name not in self.service.forwards:
                forward.stop()
        for prepared in self._changed.values():
            prepared.stop()
        if self._sinks is not None:
            _end(self._sinks)
        if self._logs is not self.service.logs and self._logs:
            self._logs.stop()

    # -- where nothing may

    def commit(self) -> list[Upstream]:
        """Let it be in force; the connections in use to targets that have left."""
        with no_collection():  # it would be half of the time, with many targets
            return self._commit()

    def _commit(self) -> list[Upstream]:
        service, new, now = self.service, self.config, self.service.now()
        self._commit_observers()
        limits = new.limits
        most = service.census.total
        if _caps(new) != _caps(self._old):
            most = connection_cap(new)
        addresses = (door.address for door in service.listeners.doors)
        service.census.go_by(most, limits.connections_per_client, addresses)
        left = self._commit_pools(now)
        for name, place in self._in_place.items():
            service.listeners.places[name].go_by(place)
        service.listeners.commit(self.leaving)
        self._commit_resources()
        self._commit_forwards()
        assert self._middleware is not None and self._stores is not None
        service.stores.commit(self._stores)
        service.shared_purges.go_by(new.caches, service.stores)
        service.middlewares.commit(self._middleware)
        service.tunnels.commit()
        service.commons.local_faults.go_by(new.local_fault)
        service.circumstances = self._circumstances
        service.config = new
        return left

    def _commit_observers(self) -> None:
        service, new = self.service, self.config
        service.commons.endings.tell()  # by what they went by
        service.introduction.go_by(self._circumstances.trusted, new.forwarded, new.via)
        if self._sinks is not None:
            gone, service.sinks = service.sinks, tuple(self._sinks)
            stay = [one for one in service.every_sink.sinks if one not in gone]
            service.every_sink.sinks = (*stay, *service.sinks)
            _end(gone)
        spans, service.spans = service.spans, self._spans
        if spans is not None and spans is not self._spans:
            spans.stop()  # what it fires is for those who wait
            if self._spans is not None:
                self._spans.goes_on_from(spans)
        before, after = service.logs, self._logs
        if before is after:
            if after is not None:
                after.go_by(new)
            return
        service.recorder, service.logs = self._recorder, after
        if self._recorder is not None:
            self._recorder.logs = after
        write_down(service.commons.endings, self._recorder, service.commons.flight)
        if before is not None:
            before.stop()
            if after is not None:
                after.goes_on_from(before)
        if after is not None:
            after.start()

    def _commit_pools(self, now: float) -> list[Upstream]:
        service = self.service
        before = dict(service.running_pools)
        left: list[Upstream] = []
        after: dict[str, RunningPool] = {}
        for name, one in self._pools.items():
            if isinstance(one, Reshape):
                after[name], gone = one.commit(now, self._by)
                left += gone
                continue
            after[name] = one
            if name not in before:
                one.publish()
                self._joined.append(one)
        for name, running in before.items():
            if name not in after:
                service.past.add(running)
                self._gone.append(running)
        service.settings_changed(after)
        return left

    def _commit_resources(self) -> None:
        resources = self.service.resources
        for name, table in self._tables.items():
            # Clients of a listener that was there before keep what they are connected to.
            for one in {resources.get(name), self._resources[name]}:
                if one is not None:
                    one.proxy.go_by(table, self._on_refusal)
                    one.proxy.own.identities = self._circumstances.identities
        resources.clear()
        resources.update(self._resources)

    def _commit_forwards(self) -> None:
        there = self.service.forwards
        for name, forward in there.items():
            if name not in self._forwards:
                forward.stop()
        for name, prepared in self._changed.items():
            there[name].commit(prepared)
        there.clear()
        there.update(self._forwards)
        for forward in there.values():
            forward.proxy.own.on_refusal = self._on_refusal
            forward.proxy.own.identities = self._circumstances.identities

    # -- when it is in force

    def settle(self) -> Iterator[list[Upstream]]:
        """Have new pools ask their targets, and end those that have left; at each step the connections in use to these.

        A service that stops meanwhile has stopped its pools: none of them begins any more.
        """
        for one in self._joined:
            if self.service.draining:
                break
            one.probing.start()
            yield []
        for number in range(0, len(self._gone), POOLS_AT_ONCE):
            gone = self._gone[number : number + POOLS_AT_ONCE]
            for one in gone:
                one.stop()
            upstreams = (each for one in gone for _, each in one.forwarder.upstreams)
            yield [each for each in upstreams if each.open]


def _exporting(config: Config) -> tuple[str, str]:
    """Where spans are sent, and as whose."""
    trace = config.trace
    return ("", "") if trace is None else (trace.export, trace.service)


def _token(config: Config) -> str:
    return config.admin.token if config.admin is not None else ""


def _end(sinks: Sequence[Any]) -> None:
    for sink in sinks:
        end = getattr(sink, "end", None)
        if end is not None:
            end()


def _caps(config: Config) -> tuple[int, bool]:
    """What the cap on client connections goes by."""
    return config.limits.connections, in_pairs(config)

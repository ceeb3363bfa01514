"""Tests of providers: what a cluster says gets into force as other settings do, and statuses are written back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import execute
from twisted.logger import capturedLogs, formatEvent

from lolly_tx.net.kubernetes.access import Access, Place
from lolly_tx.net.kubernetes.api import Api
from lolly_tx.service.admin.answers import unready
from lolly_tx.service.certificates.secretfolders import put_secrets
from lolly_tx.service.providers.bringing import FOUND_SECONDS
from lolly_tx.service.providers.discovering import Discoveries
from lolly_tx.service.providers.gathering import RETRY_SECONDS
from lolly_tx.service.providers.provider import why_unusable
from lolly_tx.service.providers.running import Providers
from lolly_tx.service.providers.words import SHOWN
from lolly_tx.service.registry import Registry
from tests.kubernetes import things
from tests.kubernetes.cluster import Cluster, MemoryAgent
from tests.kubernetes.things import (
    backend,
    gateway,
    gateway_class,
    listener,
    prefix,
    route,
    rule,
    secret,
    service,
)
from tests.net.kubernetes.test_mirror import certificate
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import TWO, ReloadTestCase

TEXT = (
    TWO.replace('pool = "app"', 'pool = "app"\npath = "/own/"')
    + '[provider.cluster]\ntype = "kubernetes"\napi = "http://127.0.0.1:8001"\nlisteners = { http = "web" }\n'
)
GATEWAY = "gateway.networking.k8s.io/v1"
ROUTES = f"{GATEWAY}/httproutes"
STATUSES = (
    "GatewayClass",
    "Gateway",
    "HTTPRoute",
    "GRPCRoute",
    "TLSRoute",
    "TCPRoute",
    "Ingress",
)
"""The kinds of objects that have words of ours written to them."""


class ProviderTestCase(ReloadTestCase):
    text_at_start = TEXT

    def setUp(self) -> None:
        """A cluster with a Gateway and two Services, and a proxy that is told of it."""
        super().setUp()
        self.cluster = Cluster()
        self.cluster.put(f"{GATEWAY}/gatewayclasses", gateway_class())
        self.cluster.put(f"{GATEWAY}/gateways", gateway())
        for name in ("api", "web"):
            self.cluster.put("v1/services", service(name))
            one = things.endpoints(name, f"10.0.0.{len(name) + ord(name[0]) % 3}")
            self.cluster.put("discovery.k8s.io/v1/endpointslices", one)
        self.start(self.text_at_start)
        self.patch(Discoveries, "_in_thread", lambda _, work: execute(work))
        self.patch(Providers, "_in_thread", lambda _, work: execute(work))
        self.providers = Providers(self.reloader, self.api_of)
        self.service.providers = self.providers

    def api_of(self, settings: Any) -> Api:
        place = Place("http://127.0.0.1:8001")
        agent = MemoryAgent(self.cluster)
        return Api(Access(place, self.reactor, execute, agent), self.reactor)

    def begin(self) -> None:
        """The provider asks, and what it is told is in force."""
        self.providers.start()
        self.wait(0.5)

    def wait(self, seconds: float) -> None:
        """So much time, in small steps."""
        for _ in range(20):
            self.reactor.advance(seconds / 20)
            for _ in range(5):
                self.reactor.advance(0)

    def put(self, item: Any, kind: str = ROUTES) -> None:
        """An object, and the time it takes to get into force."""
        self.cluster.put(kind, item)
        self.wait(0.5)

    def pools(self, listener: str = "web") -> dict[str, str]:
        """Where paths lead to."""
        config = self.service.config
        return {one.path: one.pool for one in config.routes}

    def status(self, name: str = "route", kind: str = ROUTES) -> dict[str, str]:
        """The conditions of a route, as they were written."""
        item = self.cluster.get(kind, name, "default")
        [parent] = item["status"]["parents"]
        return {
            one["type"]: f"{one['status']} {one['reason']}"
            for one in parent["conditions"]
        }


class ProviderTests(ProviderTestCase):
    def test_routes_come_and_go(self) -> None:
        """What a route says is in force half a second later, beside the file's, and gone as soon."""
        self.begin()
        self.assertEqual(self.pools(), {"/own/": "app"})
        self.put(route(rule(prefix("/a"))))
        self.assertEqual(self.pools(), {"/own/": "app", "/a": "k8s_default_api_80"})
        self.assertIn("k8s_default_api_80", self.service.pools)
        self.assertEqual(
            self.status(),
            {"Accepted": "True Accepted", "ResolvedRefs": "True ResolvedRefs"},
        )
        self.put(route(rule(prefix("/a"), to=[backend("web")])))
        self.assertEqual(self.pools()["/a"], "k8s_default_web_80")
        self.assertNotIn("k8s_default_api_80", self.service.pools)
        self.cluster.delete(ROUTES, "route", "default")
        self.wait(0.5)
        self.assertEqual(self.pools(), {"/own/": "app"})

    def test_many_that_are_refused(self) -> None:
        """Of many routes that cannot be served the log names the first, and how many more there are."""
        for index in range(SHOWN + 3):
            wrong = {"metadata": things.named(f"r{index}"), "spec": [7]}
            self.cluster.put(ROUTES, wrong)
        with capturedLogs() as said:
            self.begin()
        lines = [formatEvent(one) for one in said]
        named = [one for one in lines if " does not serve HTTPRoute default/" in one]
        self.assertEqual(len(named), SHOWN)
        self.assertEqual(sum(" does not serve 3 more" in one for one in lines), 1)

    def test_identity(self) -> None:
        """Another route leaves pools, targets and connections of the others as they are."""
        self.put(route(rule(prefix("/a"))))
        self.begin()
        pool = self.service.pools["k8s_default_api_80"]
        client = self.client()
        self.served(client, "/own/")
        self.put(route(rule(prefix("/b"), to=[backend("web")]), name="other"))
        self.assertIs(self.service.pools["k8s_default_api_80"], pool)
        self.assertEqual(len(self.pools()), 3)
        self.assertFalse(client.disconnecting)

    def test_status_is_written_once(self) -> None:
        """What is said already is not written again, so that our own word wakes nobody up for long."""
        self.put(route())
        self.begin()
        self.wait(5.0)
        written = [one for one in self.cluster.asked if one[0] == "PATCH"]
        paths = sorted(one[1].split("/")[-3] for one in written)
        self.assertEqual(paths, ["gatewayclasses", "gateways", "httproutes"])
        number = self.service.generation.number
        self.put(service("unused"), "v1/services")
        self.assertEqual(self.service.generation.number, number)
        self.assertEqual(len([o for o in self.cluster.asked if o[0] == "PATCH"]), 3)

    def test_bad_objects(self) -> None:
        """A route that cannot be served, in whatever way, takes no other down, and its status says why."""
        self.begin()
        self.put(route(rule(prefix("/good")), name="good"))
        bad = {"path": {"type": "RegularExpression", "value": "(("}}
        header = {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {"set": [{"name": "Host", "value": "x"}]},
        }
        for index, one in enumerate(
            (rule(bad), rule(filters=[header]), rule(prefix("no slash")))
        ):
            self.put(route(one, name=f"bad{index}"))
            self.assertEqual(
                self.status(f"bad{index}")["Accepted"], "False UnsupportedValue"
            )
        self.cluster.put(ROUTES, {"metadata": things.named("worse"), "spec": [7]})
        self.put(route(rule(prefix("/also")), name="also"))
        self.assertEqual(set(self.pools()), {"/own/", "/good", "/also"})
        shown = self.providers.shown()[0]
        names = {one["name"] for one in shown["refused"]}
        self.assertEqual(
            names, {f"default/bad{index}" for index in range(3)} | {"default/worse"}
        )
        json.dumps(shown)

    def test_the_file_has_the_first_word(self) -> None:
        """What the file has a route for stays as it is there."""
        self.begin()
        self.put(route(rule(prefix("/own"), prefix("/own/"))))
        self.assertEqual(self.pools(), {"/own/": "app", "/own": "k8s_default_api_80"})

    def test_server_away(self) -> None:
        """While nobody answers everything stays, and it is shown; afterwards changes come as ever."""
        self.put(route(rule(prefix("/a"))))
        self.begin()
        self.cluster.down = True
        self.cluster.cut()
        self.wait(20.0)
        self.assertEqual(self.providers.shown()[0]["state"], "stale")
        self.assertIn("/a", self.pools())
        self.assertEqual(self.providers.unready(), [])
        self.cluster.down = False
        self.cluster.put(ROUTES, route(rule(prefix("/b"))))
        self.wait(3.0)
        self.assertEqual(self.providers.shown()[0]["state"], "current")
        self.assertEqual(set(self.pools()), {"/own/", "/b"})

    def test_ready(self) -> None:
        """It is not ready before all was read; a Service without endpoints does not make it unready again."""
        self.cluster.refusing = 403
        self.begin()
        now = self.service.surroundings.now()
        [said] = [one for one in unready(self.service, now) if "provider" in one]
        self.assertIn("status 403", said)
        self.cluster.refusing = 0
        self.put(route())
        self.wait(3.0)
        self.assertEqual(self.providers.unready(), [])
        self.assertIn("k8s_default_api_80", self.service.pools)
        reasons = unready(self.service, self.service.surroundings.now())
        self.assertEqual([one for one in reasons if "k8s" in one], [])

    def test_reload_of_the_file(self) -> None:
        """What was provided stays over a reload, goes with its provider, and comes back with it."""
        self.put(route(rule(prefix("/a"))))
        self.begin()
        self.reload(TEXT.replace("/own/", "/mine/"))
        self.wait(0.5)
        self.assertEqual(set(self.pools()), {"/mine/", "/a"})
        self.reload(TWO)
        self.assertEqual(set(self.pools()), {"/"})
        self.assertEqual(self.cluster.watchers, [])
        self.reload(TEXT)
        self.wait(0.5)
        self.assertEqual(set(self.pools()), {"/own/", "/a"})

    def test_change_that_is_refused(self) -> None:
        """What cannot be put into force is tried again; the proxy serves on as before."""
        self.begin()
        whole = self.reloader.amend
        refused = self.reloader.amend

        def failing(revise: Any, by: str) -> Any:
            return execute(self._raise)

        self.patch(self.reloader, "amend", failing)
        self.put(route(rule(prefix("/a"))))
        self.assertEqual(set(self.pools()), {"/own/"})
        self.assertIn("cannot be put into force", self.providers.shown()[0]["error"])
        self.patch(self.reloader, "amend", whole)
        self.assertIsNotNone(refused)
        self.wait(RETRY_SECONDS + 1.0)
        self.assertEqual(set(self.pools()), {"/own/", "/a"})

    def _raise(self) -> None:
        raise OSError("no room")

    def test_stop(self) -> None:
        """Nothing is asked any more."""
        self.begin()
        self.providers.stop()
        self.assertEqual(self.cluster.watchers, [])


class PoolSettingsTests(ProviderTestCase):
    text_at_start = (
        TEXT + 'pool = { balance = "least_conn" }\nnamespaces = ["default"]\n'
    )

    def test_settings_of_pools(self) -> None:
        """Each pool has the settings that the provider's table says; one namespace is watched."""
        self.put(route())
        self.begin()
        pool = self.service.config.pools["k8s_default_api_80"]
        self.assertEqual(pool.balance, "least_conn")
        assert pool.discover is not None
        self.assertEqual(pool.discover.settings.watch, "namespace")
        paths = {one[1] for one in self.cluster.asked}
        self.assertIn("/api/v1/namespaces/default/services", paths)
        self.assertNotIn("/api/v1/services", paths)


class EndpointsTests(ProviderTestCase):
    def test_requests(self) -> None:
        """Requests reach the endpoints of the Service that the route names."""
        registry = Registry()
        discoveries = Discoveries(self.reloader, registry)
        found: list[Any] = []
        self.patch(registry, "discovery", lambda *args: _Fed(found))
        self.service.discoveries = discoveries
        discoveries.start()
        self.put(route(rule(prefix("/a"))))
        self.begin()
        found[-1](["http://127.0.0.1:9009"])
        self.wait(0.5)
        client = self.client()
        client.send(get("/a"))
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("127.0.0.1", 9009))
        self.backend(9009).send(OK)
        self.assertEqual(client.take(), OK)

    def test_new_pools_come_first(self) -> None:
        """A route leads to another Service only once its endpoints are found, or were waited for in vain."""
        registry = Registry()
        discoveries = Discoveries(self.reloader, registry)
        found: list[Any] = []
        self.patch(registry, "discovery", lambda *args: _Fed(found))
        self.service.discoveries = discoveries
        discoveries.start()
        self.put(route(rule(prefix("/a"))))
        self.begin()
        self.assertIn("k8s_default_api_80", self.service.pools)
        self.assertEqual(set(self.pools()), {"/own/"})
        found[-1](["http://127.0.0.1:9009"])
        self.wait(0.5)
        self.assertEqual(self.pools()["/a"], "k8s_default_api_80")
        self.put(route(rule(prefix("/a"), to=[backend("web")])))
        self.assertEqual(self.pools()["/a"], "k8s_default_api_80")
        self.wait(FOUND_SECONDS + 0.5)
        self.assertEqual(self.pools()["/a"], "k8s_default_web_80")
        self.assertNotIn("k8s_default_api_80", self.service.pools)


class _Fed:
    """A discovery that is told by the test what it found."""

    def __init__(self, found: list[Any]) -> None:
        self._found = found

    def start(self, found: Any, failed: Any) -> None:
        self._found.append(found)

    def stop(self) -> None:
        """Nothing more."""


class SecretTests(ProviderTestCase):
    def setUp(self) -> None:
        self.text_at_start = TEXT  # the folder is only known to the test
        super().setUp()

    def test_certificates(self) -> None:
        """Those of Secrets are in the folder of the listener, for nobody else to read, and go again."""
        folder = Path(str(self.folder)) / "certs"
        text = (
            TEXT.replace(
                'listeners = { http = "web" }',
                'listeners = { http = "web", https = "secure" }',
            )
            + f'folder = "{folder}"\n[listener.secure]\nendpoint = "tcp:8443"\n[listener.secure.tls]\n'
        )
        self.reload(text)
        chain, key = certificate()
        door = listener(
            "s", protocol="HTTPS", port=443, tls={"certificateRefs": [{"name": "site"}]}
        )
        self.cluster.put(f"{GATEWAY}/gateways", gateway(listener(), door))
        self.cluster.put("v1/secrets", secret("site", chain, key))
        self.cluster.put("v1/secrets", secret("broken", b"x", b"y"))
        self.begin()
        place = folder / "cluster" / "secure"
        self.assertEqual(
            sorted(one.name for one in place.iterdir()),
            ["default_site.pem", "~none-yet.pem"],
        )
        path = place / "default_site.pem"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(path.read_bytes(), chain + key)
        self.cluster.delete("v1/secrets", "site", "default")
        self.wait(0.5)
        self.assertEqual([one.name for one in place.iterdir()], ["~none-yet.pem"])

    def test_usable(self) -> None:
        """A chain and a key have to be some, and to belong together."""
        chain, key = certificate()
        self.assertEqual(why_unusable(chain, key), "")
        self.assertIn("not that of", why_unusable(chain, certificate()[1]))
        self.assertIn("PEM", why_unusable(b"x", key))

    def test_only_what_differs_is_written(self) -> None:
        """A file that is right stays as it is."""
        folder = Path(self.mktemp())
        put_secrets(folder, {"a": "A", "b": "B"})
        before = (folder / "a.pem").stat().st_mtime_ns
        put_secrets(folder, {"a": "A"})
        self.assertEqual((folder / "a.pem").stat().st_mtime_ns, before)
        self.assertFalse((folder / "b.pem").exists())

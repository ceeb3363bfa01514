"""Tests of lolly_tx.kubernetes: GRPCRoutes, TLSRoutes, TCPRoutes and Ingresses."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.kubernetes.conditions import CONTROLLER
from lolly_tx.kubernetes.translation import Outcome, translate
from tests.kubernetes.things import (
    TERMS,
    backend,
    gateway,
    listener,
    named,
    route,
    rule,
    secret,
    service,
    world,
)

NOW = "2026-11-28T12:00:00Z"
SERVICES = [service("api"), service("db", {"name": "pg", "port": 5432})]


def said_of(outcome: Outcome, kind: str) -> dict[str, str]:
    """The conditions of the one route of a kind."""
    [status] = [one for one in outcome.statuses({}, NOW) if one.kind == kind]
    conditions = status.value["parents"][0]["conditions"]
    return {one["type"]: f"{one['status']} {one['reason']}" for one in conditions}


class GRPCTests(SynchronousTestCase):
    def outcome(self, *rules: Any) -> Outcome:
        """Of a GRPCRoute."""
        kinds = {
            "GRPCRoute": [route(*rules)],
            "Gateway": [gateway()],
            "Service": SERVICES,
        }
        return translate(world(**kinds), TERMS)

    def path(self, **method: str) -> str:
        [(_, table)] = self.outcome(rule({"method": method})).draft.settled()
        return str(table["path"])

    def test_methods(self) -> None:
        """Service and method, either alone, and expressions for both."""
        self.assertEqual(self.path(service="a.B", method="Get"), "=/a.B/Get")
        self.assertEqual(self.path(service="a.B"), "/a.B")
        self.assertEqual(self.path(method="Get"), "~^/[^/]+/Get$")
        self.assertEqual(
            self.path(type="RegularExpression", service="a[.].+", method="Get|Set"),
            "~^/(?:a[.].+)/(?:Get|Set)$",
        )
        [(_, table)] = self.outcome(rule()).draft.settled()
        self.assertEqual(table["path"], "/")

    def test_backends_speak_http2(self) -> None:
        """The pool of a GRPCRoute speaks HTTP/2 without TLS, and is another than that of an HTTPRoute."""
        outcome = self.outcome(rule({"headers": [{"name": "a", "value": "b"}]}))
        [(name, pool)] = outcome.draft.pools.items()
        self.assertEqual(pool["protocol"], "h2c")
        self.assertNotEqual(name, "k8s_default_api_80")
        [(_, table)] = outcome.draft.settled()
        self.assertEqual(table["header"], {"a": "b"})

    def test_unknown(self) -> None:
        """A type of match that is not served refuses the route."""
        outcome = self.outcome(rule({"method": {"type": "Glob", "service": "a"}}))
        self.assertEqual(
            said_of(outcome, "GRPCRoute")["Accepted"], "False UnsupportedValue"
        )


class StreamTests(SynchronousTestCase):
    def outcome(self, kind: str, *routes: Any, **more: Any) -> Outcome:
        """Of routes of one kind, at a Gateway with a listener for each."""
        doors = [
            listener(
                "tls", protocol="TLS", port=443, tls={"mode": "Passthrough"}, **more
            ),
            listener("tcp", protocol="TCP", port=5432),
        ]
        kinds = {kind: routes, "Gateway": [gateway(*doors)], "Service": SERVICES}
        return translate(world(**kinds), TERMS)

    def test_tls(self) -> None:
        """Names lead to the pools of Services, TLS goes through."""
        one = route(rule(to=[backend("db", 5432)]), hosts=["db.test", "*.b.test"])
        outcome = self.outcome("TLSRoute", one)
        owner = "TLSRoute", ("default", "route")
        pool = next(iter(outcome.draft.pools))
        self.assertEqual(
            outcome.draft.streams,
            {"pass": {"db.test": (owner, pool), "*.b.test": (owner, pool)}},
        )
        discover = outcome.draft.pools[pool]["discover"]
        self.assertEqual((discover["scheme"], discover["port"]), ("tcp", "pg"))
        self.assertEqual(said_of(outcome, "TLSRoute")["Accepted"], "True Accepted")

    def test_tcp(self) -> None:
        """A listener for TCP leads all its clients to one pool; the older of two routes has it."""
        old = route(rule(to=[backend("db", 5432)]), name="z")
        new = route(name="a", creationTimestamp="2026-02-01T00:00:00Z")
        outcome = self.outcome("TCPRoute", new, old)
        [(name, hosts)] = outcome.draft.streams.items()
        self.assertEqual((name, hosts[""][0]), ("raw", ("TCPRoute", ("default", "z"))))

    def test_wrong_backends(self) -> None:
        """What is not there is said, and leads nowhere; several at once are not served."""
        outcome = self.outcome("TCPRoute", route(rule(to=[backend("nope")])))
        self.assertEqual(
            said_of(outcome, "TCPRoute")["ResolvedRefs"], "False BackendNotFound"
        )
        self.assertEqual(outcome.draft.streams, {})
        both = [backend("api"), backend("db", 5432)]
        outcome = self.outcome("TCPRoute", route(rule(to=both)))
        self.assertEqual(
            said_of(outcome, "TCPRoute")["Accepted"], "False UnsupportedValue"
        )
        both[0]["weight"] = 0
        outcome = self.outcome("TCPRoute", route(rule(to=both)))
        self.assertEqual(len(outcome.draft.streams), 1)

    def test_listeners_of_other_kinds(self) -> None:
        """An HTTPRoute has no place at a listener for TCP, nor a TCPRoute at one for HTTP."""
        outcome = self.outcome("HTTPRoute", route())
        self.assertEqual(
            said_of(outcome, "HTTPRoute")["Accepted"], "False NotAllowedByListeners"
        )


def ingress_of(
    *rules: Any, name: str = "ing", of_class: Any = "lolly", **spec: Any
) -> Any:
    """An Ingress."""
    out = {"rules": list(rules), **spec}
    if of_class is not None:
        out["ingressClassName"] = of_class
    return {"metadata": named(name), "spec": out}


def path_of(path: str, to: str = "api", port: Any = 80, type: str = "Prefix") -> Any:
    """A path of a rule."""
    wanted = {"number": port} if isinstance(port, int) else {"name": port}
    return {
        "path": path,
        "pathType": type,
        "backend": {"service": {"name": to, "port": wanted}},
    }


class IngressTests(SynchronousTestCase):
    def outcome(self, *ingresses: Any, terms: Any = TERMS, **kinds: Any) -> Outcome:
        return translate(world(Ingress=ingresses, Service=SERVICES, **kinds), terms)

    def tables(self, *ingresses: Any, **kinds: Any) -> list[tuple[Any, ...]]:
        """Listener, host, path and pool of each route."""
        return [
            (one["listener"], one.get("host"), one["path"], one.get("pool"))
            for _, one in self.outcome(*ingresses, **kinds).draft.settled()
        ]

    def test_rules(self) -> None:
        """Hosts and paths, exact or by prefix, on both listeners; ports by number or name."""
        paths = [path_of("/a/"), path_of("/b", port="http", type="Exact")]
        found = self.tables(ingress_of({"host": "A.test", "http": {"paths": paths}}))
        self.assertEqual(
            sorted(found),
            [
                (listener, "a.test", path, "k8s_default_api_80")
                for listener in ("secure", "web")
                for path in ("/a", "=/b")
            ],
        )

    def test_default_backend(self) -> None:
        """It has what no rule is for."""
        backend = path_of("/")["backend"]
        found = self.tables(ingress_of(defaultBackend=backend))
        self.assertEqual(
            [one[1:] for one in found], [(None, "/", "k8s_default_api_80")] * 2
        )

    def test_wrong_backends(self) -> None:
        """What is not there gets 503, is said, and takes no other path down."""
        paths = [path_of("/a"), path_of("/b", to="nope")]
        paths.append({"path": "/c", "backend": {"resource": {}}})
        outcome = self.outcome(ingress_of({"http": {"paths": paths}}))
        ends = [
            one.get("respond", {}).get("status", 200)
            for _, one in outcome.draft.settled()
        ]
        self.assertEqual(sorted(ends), [200, 200, 503, 503, 503, 503])
        [said] = outcome.wrong.values()
        self.assertIn("no Service default/nope", said)

    def test_classes(self) -> None:
        """Ours are those that name our class, or a class of our controller, or none where ours is the default."""
        rules = {"http": {"paths": [path_of("/")]}}
        ours = {"metadata": named("edge", ""), "spec": {"controller": CONTROLLER}}
        default = {"ingressclass.kubernetes.io/is-default-class": "true"}
        theirs = {"metadata": named("lolly", ""), "spec": {"controller": "x.test/y"}}
        for of_class, classes, count in (
            ("lolly", [], 2),
            ("other", [], 0),
            ("edge", [ours], 2),
            ("lolly", [theirs], 0),
            (None, [], 0),
            (None, [ours], 0),
            (None, [{**ours, "metadata": named("edge", "", annotations=default)}], 2),
        ):
            found = self.tables(
                ingress_of(rules, of_class=of_class), IngressClass=classes
            )
            self.assertEqual(len(found), count, (of_class, classes))

    def test_certificates(self) -> None:
        """Those that it names are put at the listener for HTTPS; what cannot be used is said."""
        tls = [{"hosts": ["a.test"], "secretName": "site"}, {"secretName": "nope"}, {}]
        outcome = self.outcome(ingress_of(tls=tls), Secret=[secret()])
        self.assertEqual(list(outcome.draft.certificates["secure"]), ["default_site"])
        self.assertIn("Secret default/nope", next(iter(outcome.wrong.values())))

    def test_status(self) -> None:
        """Its status says where we are reached, where that is known."""
        one = ingress_of()
        self.assertEqual(self.outcome(one).statuses({}, NOW)[1:], [])
        terms = attrs.evolve(TERMS, addresses=("203.0.113.7", "a.test"))
        [status] = self.outcome(one, terms=terms).statuses({}, NOW)[1:]
        said = {"ingress": [{"ip": "203.0.113.7"}, {"hostname": "a.test"}]}
        self.assertEqual(status.value, {"loadBalancer": said})

    def test_malformed(self) -> None:
        """One that cannot be read takes no other down."""
        good = ingress_of({"http": {"paths": [path_of("/")]}}, name="z")
        for wrong in (
            3,
            [3],
            [{"http": 3}],
            [{"http": {"paths": [{"path": "/"}]}}],
            [{"host": 3}],
        ):
            bad = {
                "metadata": named("a"),
                "spec": {"ingressClassName": "lolly", "rules": wrong},
            }
            outcome = self.outcome(bad, good)
            self.assertEqual(len(outcome.draft.settled()), 2, wrong)
            self.assertEqual(len(outcome.wrong), 1)

    def test_beside_routes(self) -> None:
        """Of an Ingress and an HTTPRoute that match the same the older has it."""
        young = ingress_of({"http": {"paths": [path_of("/")]}})
        young["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
        old = route(rule(to=[backend("db", 5432)]))
        objects = world(
            Ingress=[young], HTTPRoute=[old], Gateway=[gateway()], Service=SERVICES
        )
        found = {
            one["listener"]: one["pool"]
            for _, one in translate(objects, TERMS).draft.settled()
        }
        self.assertEqual(
            found, {"web": "k8s_default_db_5432", "secure": "k8s_default_api_80"}
        )

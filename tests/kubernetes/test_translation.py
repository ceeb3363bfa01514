"""Tests of lolly_tx.kubernetes: what Gateways and routes become, and what is said of them.

The cases are those of the conformance profile GATEWAY-HTTP of the Gateway API, in our own words.
"""

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
    gateway_class,
    grant,
    listener,
    named,
    prefix,
    route,
    rule,
    secret,
    service,
    world,
)

NOW = "2026-11-28T12:00:00Z"
TWO = [service("api"), service("web")]


class TranslationTestCase(SynchronousTestCase):
    def outcome(self, *routes: Any, **kinds: Any) -> Outcome:
        """Of these HTTPRoutes, beside a Gateway and two Services."""
        kinds.setdefault("Gateway", [gateway()])
        kinds.setdefault("Service", TWO)
        return translate(world(HTTPRoute=routes, **kinds), TERMS)

    def tables(self, *routes: Any, **kinds: Any) -> list[dict[str, Any]]:
        """The routes in their order, without what they all have."""
        settled = self.outcome(*routes, **kinds).draft.settled()
        return [
            {k: v for k, v in one.items() if k not in ("listener", "rank")}
            for _, one in settled
        ]

    def conditions(
        self, outcome: Outcome, kind: str = "HTTPRoute", at: int = 0
    ) -> dict[str, Any]:
        """Those of the first object of a kind, as "Accepted": "True Accepted"."""
        found = [one for one in outcome.statuses({}, NOW) if one.kind == kind][at].value
        said = (
            found["parents"][0]["conditions"]
            if "parents" in found
            else found["conditions"]
        )
        return {one["type"]: f"{one['status']} {one['reason']}" for one in said}

    def doors(self, outcome: Outcome) -> dict[str, dict[str, str]]:
        """The conditions of each listener of the first Gateway."""
        [found] = [one for one in outcome.statuses({}, NOW) if one.kind == "Gateway"]
        return {
            door["name"]: {
                one["type"]: f"{one['status']} {one['reason']}"
                for one in door["conditions"]
            }
            for door in found.value["listeners"]
        }


class MatchTests(TranslationTestCase):
    def test_simple(self) -> None:
        """A route without anything leads everything to its Service; the pool is fed by its endpoints."""
        outcome = self.outcome(route())
        [(owner, table)] = outcome.draft.settled()
        self.assertEqual(owner, ("HTTPRoute", ("default", "route")))
        self.assertEqual(
            table,
            {"listener": "web", "path": "/", "pool": "k8s_default_api_80", "rank": 1},
        )
        pool = outcome.draft.pools["k8s_default_api_80"]
        self.assertEqual(pool["discover"]["service"], "api")
        self.assertEqual(
            (pool["discover"]["port"], pool["discover"]["least"]), ("http", 0)
        )
        self.assertEqual(
            self.conditions(outcome),
            {"Accepted": "True Accepted", "ResolvedRefs": "True ResolvedRefs"},
        )

    def test_paths(self) -> None:
        """Exact, prefix by whole segments, and expression for the whole path."""
        matches = [
            {"path": {"type": type, "value": value}}
            for type, value in (
                ("Exact", "/one"),
                ("PathPrefix", "/two/"),
                ("RegularExpression", "/v[0-9]+"),
            )
        ]
        found = [one["path"] for one in self.tables(route(rule(*matches)))]
        self.assertEqual(found, ["=/one", "/two", "~^(?:/v[0-9]+)$"])

    def test_conditions(self) -> None:
        """Headers by name without case (the first of a name counts), parameters, method."""
        match = {
            "method": "GET",
            "headers": [
                {"name": "Color", "value": "blue"},
                {"name": "COLOR", "value": "red"},
                {"name": "x", "value": "v[0-9]", "type": "RegularExpression"},
                {"name": "y", "value": "~1"},
            ],
            "queryParams": [{"name": "animal", "value": "whale"}],
        }
        [table] = self.tables(route(rule(match)))
        self.assertEqual(table["method"], ["GET"])
        self.assertEqual(
            table["header"],
            {"color": "blue", "x": "~^(?:v[0-9])$", "y": r"~^\~1$"},
        )
        self.assertEqual(table["query"], {"animal": "whale"})

    def test_precedence_within_a_path(self) -> None:
        """For a method first, then more headers, then more parameters, then the older, then by name."""

        def one(name: str, created: str = "2026-01-01T00:00:00Z", **match: Any) -> Any:
            return route(rule(match), name=name, creationTimestamp=created)

        header = [{"name": "a", "value": "1"}, {"name": "b", "value": "1"}]
        query = [{"name": "q", "value": "1"}]
        outcome = self.outcome(
            one("e-old", "2025-01-01T00:00:00Z", queryParams=query),
            one("d-headers", headers=header),
            one("c-header", headers=header[:1]),
            one("b-method", method="GET"),
            one("a-none"),
            one("g-other", queryParams=[{"name": "z", "value": "1"}]),
        )
        found = [
            (owner[1][1], table["rank"]) for owner, table in outcome.draft.settled()
        ]
        names = ["b-method", "d-headers", "c-header", "e-old", "g-other", "a-none"]
        self.assertEqual(found, [(name, index + 1) for index, name in enumerate(names)])

    def test_conflicts(self) -> None:
        """Of two that match the same the older has it; of the same age the first by namespace and name."""
        young = route(
            rule(to=[backend("web")]),
            name="a",
            creationTimestamp="2026-02-01T00:00:00Z",
        )
        old = route(name="b", creationTimestamp="2026-01-01T00:00:00Z")
        [table] = self.tables(young, old)
        self.assertEqual(table["pool"], "k8s_default_api_80")
        same = route(
            rule(to=[backend("web")]),
            name="a",
            creationTimestamp="2026-01-01T00:00:00Z",
        )
        [table] = self.tables(old, same)
        self.assertEqual(table["pool"], "k8s_default_web_80")

    def test_rules_in_order(self) -> None:
        """Within a route the first rule that matches the same has it."""
        [table] = self.tables(route(rule(), rule(to=[backend("web")])))
        self.assertEqual(table["pool"], "k8s_default_api_80")

    def test_unknown_types(self) -> None:
        """What is not served is said, and nothing of the route is served."""
        matches: list[Any] = [
            {"path": {"type": "Glob", "value": "/"}},
            {"headers": [{"name": "a", "value": "b", "type": "Glob"}]},
        ]
        for match in matches:
            outcome = self.outcome(route(rule(), rule(match)))
            self.assertEqual(outcome.draft.settled(), [])
            self.assertEqual(
                self.conditions(outcome)["Accepted"], "False UnsupportedValue"
            )


class HostTests(TranslationTestCase):
    def hosts(self, at: str, *wanted: str) -> list[str]:
        tables = self.tables(
            route(hosts=wanted),
            Gateway=[gateway(listener(hostname=at) if at else listener())],
        )
        return [one.get("host", "") for one in tables]

    def test_common_hosts(self) -> None:
        """A route is for the hosts that it and the listener are both for."""
        self.assertEqual(self.hosts("", "a.test", "*.b.test"), ["a.test", "*.b.test"])
        self.assertEqual(self.hosts("a.test"), ["a.test"])
        self.assertEqual(self.hosts("a.test", "a.test", "b.test"), ["a.test"])
        self.assertEqual(
            self.hosts("*.test", "a.test", "x.y.test", "test"), ["a.test", "x.y.test"]
        )
        self.assertEqual(self.hosts("a.test", "*.test"), ["a.test"])
        self.assertEqual(self.hosts("*.b.test", "*.test"), ["*.b.test"])
        self.assertEqual(self.hosts("*.b.test", "*.a.b.test"), ["*.a.b.test"])

    def test_none_in_common(self) -> None:
        """A route without such a host is not accepted there."""
        outcome = self.outcome(
            route(hosts=["b.test"]), Gateway=[gateway(listener(hostname="a.test"))]
        )
        self.assertEqual(
            self.conditions(outcome)["Accepted"], "False NoMatchingListenerHostname"
        )
        self.assertEqual(outcome.draft.entries, [])


class AttachTests(TranslationTestCase):
    def test_other_namespaces(self) -> None:
        """Routes of the Gateway's own namespace attach, those of others where they are allowed."""
        away = route(
            rule(to=[backend(namespace="default")]),
            namespace="far",
            parent={"name": "gate", "namespace": "default"},
        )
        grants = [grant("HTTPRoute", "far", "Service", "default")]
        places = [{"metadata": named("far", "", labels={"team": "a"}), "spec": {}}]
        cases: list[tuple[Any, str]] = [
            ({}, "False NotAllowedByListeners"),
            ({"from": "Same"}, "False NotAllowedByListeners"),
            ({"from": "All"}, "True Accepted"),
            (
                {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}},
                "True Accepted",
            ),
            (
                {"from": "Selector", "selector": {"matchLabels": {"team": "b"}}},
                "False NotAllowedByListeners",
            ),
        ]
        for values, said in (
            (("In", ["a"]), True),
            (("NotIn", ["a"]), False),
            (("Exists", None), True),
            (("DoesNotExist", None), False),
        ):
            one = {"key": "team", "operator": values[0], "values": values[1]}
            word = "True Accepted" if said else "False NotAllowedByListeners"
            cases.append(
                ({"from": "Selector", "selector": {"matchExpressions": [one]}}, word)
            )
        for allowed, said_of_it in cases:
            door = listener(allowedRoutes={"namespaces": allowed})
            outcome = self.outcome(
                away, Gateway=[gateway(door)], ReferenceGrant=grants, Namespace=places
            )
            self.assertEqual(self.conditions(outcome)["Accepted"], said_of_it, allowed)
            self.assertEqual(len(outcome.draft.entries), said_of_it.startswith("True"))

    def test_sections(self) -> None:
        """A route may name the listener, or the port, that it is for; one that is not there is said."""
        doors = gateway(listener("a", hostname="a.test"), listener("b", port=8080))
        for parent, count in (
            ({"name": "gate", "sectionName": "a"}, 1),
            ({"name": "gate", "port": 8080}, 1),
            ({"name": "gate"}, 2),
            ({"name": "gate", "sectionName": "x"}, 0),
        ):
            outcome = self.outcome(route(parent=parent), Gateway=[doors])
            self.assertEqual(len(outcome.draft.settled()), count, parent)
            if not count:
                self.assertEqual(
                    self.conditions(outcome)["Accepted"], "False NoMatchingParent"
                )

    def test_parents_of_others(self) -> None:
        """Gateways of other classes, and other kinds of parents, are nobody of ours: nothing is written."""
        other = gateway(name="other")
        other["spec"]["gatewayClassName"] = "theirs"
        for parent in (
            {"name": "other"},
            {"name": "nowhere"},
            {"name": "api", "kind": "Service", "group": ""},
        ):
            outcome = self.outcome(route(parent=parent), Gateway=[gateway(), other])
            self.assertEqual(
                [one for one in outcome.statuses({}, NOW) if one.kind == "HTTPRoute"],
                [],
            )

    def test_class_of_others(self) -> None:
        """A class with our name and another controller is not ours."""
        outcome = self.outcome(
            route(), GatewayClass=[gateway_class(controller="x.test/y")]
        )
        self.assertEqual(outcome.statuses({}, NOW), [])
        self.assertEqual(outcome.draft.settled(), [])


class BackendTests(TranslationTestCase):
    def end(self, *refs: Any, **kinds: Any) -> tuple[dict[str, Any], str]:
        """Where a route with these backends leads, and what is said of them."""
        outcome = self.outcome(route(rule(to=list(refs))), **kinds)
        [(_, table)] = outcome.draft.settled()
        table = {k: table[k] for k in ("pool", "split", "respond") if k in table}
        return table, self.conditions(outcome)["ResolvedRefs"]

    def test_weights(self) -> None:
        """Several backends share by weight; one of weight 0 gets nothing."""
        found, _ = self.end(backend(weight=8), backend("web", weight=2))
        shares = [("k8s_default_api_80", 8), ("k8s_default_web_80", 2)]
        self.assertEqual(found["split"], [{"pool": p, "weight": w} for p, w in shares])
        found, _ = self.end(backend(weight=0), backend("web"))
        self.assertEqual(found, {"pool": "k8s_default_web_80"})
        found, _ = self.end(backend(weight=1_000_000), backend("web", weight=1))
        self.assertEqual([one["weight"] for one in found["split"]], [1000, 1])

    def test_none(self) -> None:
        """Without any backend that could answer it is 500."""
        for refs in ((), (backend(weight=0),)):
            found, said = self.end(*refs)
            self.assertEqual(
                (found["respond"]["status"], said), (500, "True ResolvedRefs")
            )

    def test_unresolved(self) -> None:
        """What is not there, of another kind, or of a namespace that does not allow it, is 500 and said."""
        far = [service("api", namespace="far")]
        cases = [
            (backend("nope"), "False BackendNotFound"),
            (backend(port=81), "False BackendNotFound"),
            (backend(kind="Thing"), "False InvalidKind"),
            (backend(group="x.test"), "False InvalidKind"),
            (backend(namespace="far"), "False RefNotPermitted"),
        ]
        for ref, said in cases:
            found, told = self.end(ref, Service=[*TWO, *far])
            self.assertEqual((found["respond"]["status"], told), (500, said))
        name = service("out")
        name["spec"]["type"] = "ExternalName"
        found, told = self.end(backend("out"), Service=[name])
        self.assertEqual(told, "False BackendNotFound")

    def test_one_of_two(self) -> None:
        """A backend that cannot be keeps its share, which fails; the other has its own."""
        found, said = self.end(backend(weight=3), backend("nope", weight=1))
        self.assertEqual(
            [(one["pool"], one["weight"]) for one in found["split"]],
            [("k8s_default_api_80", 3), ("k8s_none", 1)],
        )
        self.assertEqual(said, "False BackendNotFound")

    def test_grants(self) -> None:
        """A ReferenceGrant allows a namespace, for all names or for one."""
        far = [service("api", namespace="far")]
        ref = backend(namespace="far")
        for given, holds in (
            (grant("HTTPRoute", "default", "Service", "far"), True),
            (grant("HTTPRoute", "default", "Service", "far", "api"), True),
            (grant("HTTPRoute", "default", "Service", "far", "other"), False),
            (grant("GRPCRoute", "default", "Service", "far"), False),
            (grant("HTTPRoute", "else", "Service", "far"), False),
            ({"metadata": named("x", "far"), "spec": 3}, False),
        ):
            _, said = self.end(ref, Service=far, ReferenceGrant=[given])
            self.assertEqual(said == "True ResolvedRefs", holds, given)

    def test_protocols(self) -> None:
        """AppProtocol says what the endpoints speak."""
        ports = {"name": "x", "port": 80, "appProtocol": "kubernetes.io/h2c"}
        outcome = self.outcome(route(), Service=[service("api", ports)])
        self.assertEqual(outcome.draft.pools["k8s_default_api_80"]["protocol"], "h2c")
        outcome = self.outcome(
            route(), Service=[service("api", {**ports, "appProtocol": "https"})]
        )
        [pool] = outcome.draft.pools.values()
        self.assertEqual(pool["discover"]["scheme"], "https")

    def test_long_names(self) -> None:
        """A name of a pool is no longer than one may be, and no other's."""
        names = ["a" * 60 + "1", "a" * 60 + "2"]
        outcome = self.outcome(
            *(
                route(
                    rule(to=[backend(name)]),
                    name=name[-1:],
                    hosts=[f"{name[-1:]}.test"],
                )
                for name in names
            ),
            Service=[service(name) for name in names],
        )
        self.assertEqual(len(outcome.draft.pools), 2)
        self.assertTrue(all(len(name) <= 64 for name in outcome.draft.pools))


class FilterTests(TranslationTestCase):
    def table(self, *filters: Any, match: Any = None, **more: Any) -> dict[str, Any]:
        matches = [match] if match else []
        [found] = self.tables(route(rule(*matches, filters=list(filters), **more)))
        return found

    def test_headers(self) -> None:
        """Set, add and remove of requests and answers; nothing in them is a variable."""
        change = {
            "set": [{"name": "A", "value": "$x"}],
            "add": [{"name": "B", "value": "2"}],
            "remove": ["C"],
        }
        found = self.table(
            {"type": "RequestHeaderModifier", "requestHeaderModifier": change},
            {
                "type": "ResponseHeaderModifier",
                "responseHeaderModifier": {"remove": ["D"]},
            },
        )
        wanted = {"set": {"A": "$$x"}, "add": {"B": "2"}, "remove": ["C"]}
        self.assertEqual(
            found["use"],
            [
                {"type": "headers", "request": wanted},
                {"type": "headers", "response": {"remove": ["D"]}},
            ],
        )

    def redirect(self, match: Any = None, **asked: Any) -> Any:
        found = self.table(
            {"type": "RequestRedirect", "requestRedirect": asked}, match=match
        )
        if "redirect" in found:
            return found["redirect"]["to"], found["redirect"]["status"]
        [made] = found["use"][0]["rules"]
        return made["match"], made["to"], made["flag"]

    def test_redirects(self) -> None:
        """Scheme, host, port and status; a port that is usual for the scheme is left out."""
        self.assertEqual(self.redirect(hostname="b.test"), ("http://b.test$uri", 302))
        self.assertEqual(
            self.redirect(scheme="https", statusCode=301), ("https://$host$uri", 301)
        )
        self.assertEqual(self.redirect(port=8080), ("http://$host:8080$uri", 302))
        self.assertEqual(
            self.redirect(scheme="https", port=443), ("https://$host$uri", 302)
        )

    def test_redirects_of_paths(self) -> None:
        """The whole path, or the prefix that was matched."""
        full = {"type": "ReplaceFullPath", "replaceFullPath": "/new"}
        self.assertEqual(
            self.redirect(path=full), ("^/", "http://$host/new", "redirect")
        )
        part = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}
        self.assertEqual(
            self.redirect(prefix("/old"), path=part, statusCode=301),
            ("^/old(/.*)?$", "http://$host/new$1", "permanent"),
        )

    def test_port_of_the_listener(self) -> None:
        """A redirect that says neither scheme nor port leads to the port of the listener."""
        asked = {"type": "RequestRedirect", "requestRedirect": {"hostname": "b.test"}}
        [found] = self.tables(
            route(rule(filters=[asked])), Gateway=[gateway(listener(port=8080))]
        )
        self.assertEqual(found["redirect"]["to"], "http://b.test:8080$uri")

    def test_rewrites(self) -> None:
        """Host and path of what the backends are asked for."""

        def rewrite(match: Any = None, **path: str) -> dict[str, Any]:
            kind = next(iter(path))
            asked = {"path": {"type": kind[0].upper() + kind[1:], **path}}
            return self.table({"type": "URLRewrite", "urlRewrite": asked}, match=match)

        def rules(found: dict[str, Any]) -> tuple[str, str]:
            [one] = found["use"][0]["rules"]
            self.assertEqual(one["flag"], "break")
            return one["match"], one["to"]

        self.assertEqual(rules(rewrite(replaceFullPath="/new")), ("^/", "/new"))
        old = prefix("/old/")
        self.assertEqual(
            rules(rewrite(old, replacePrefixMatch="/new/")), ("^/old(/.*)?$", "/new$1")
        )
        self.assertEqual(
            rules(rewrite(old, replacePrefixMatch="/")), ("^/old/?(.*)$", "/$1")
        )
        self.assertEqual(
            rules(rewrite(replacePrefixMatch="/new")), ("^/?(.*)$", "/new/$1")
        )
        host = {"type": "URLRewrite", "urlRewrite": {"hostname": "in.test"}}
        outcome = self.outcome(route(rule(filters=[host])))
        [(name, pool)] = outcome.draft.pools.items()
        self.assertEqual(pool["host"], "in.test")
        self.assertNotEqual(name, "k8s_default_api_80")

    def test_mirror(self) -> None:
        """Copies go to another backend; one that cannot be is said, and the request is served all the same."""

        def mirror(name: str, **more: Any) -> Any:
            return {
                "type": "RequestMirror",
                "requestMirror": {"backendRef": backend(name), **more},
            }

        found = self.table(mirror("web"))
        self.assertEqual(
            found["use"],
            [{"type": "mirror", "pool": "k8s_default_web_80", "percent": 100.0}],
        )
        found = self.table(mirror("web", fraction={"numerator": 1, "denominator": 8}))
        self.assertEqual(found["use"][0]["percent"], 12.5)
        outcome = self.outcome(route(rule(filters=[mirror("nope")])))
        self.assertEqual(
            self.conditions(outcome)["ResolvedRefs"], "False BackendNotFound"
        )
        [(_, table)] = outcome.draft.settled()
        self.assertEqual(table["pool"], "k8s_default_api_80")

    def test_not_served(self) -> None:
        """Filters that are not served, or do not go together, refuse the route."""
        part = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}
        exact = {"path": {"type": "Exact", "value": "/x"}}
        for filters, match in (
            ([{"type": "ExtensionRef", "extensionRef": {}}], None),
            ([{"type": "URLRewrite", "urlRewrite": {"path": part}}], exact),
            ([{"type": "URLRewrite", "urlRewrite": {"path": {"type": "X"}}}], None),
            (
                [
                    {
                        "type": "RequestRedirect",
                        "requestRedirect": {"path": part, "statusCode": 308},
                    }
                ],
                prefix("/"),
            ),
            ([{"type": "RequestHeaderModifier"}], None),
        ):
            matches = [match] if match else []
            outcome = self.outcome(route(rule(*matches, filters=filters)))
            self.assertEqual(
                self.conditions(outcome)["Accepted"], "False UnsupportedValue"
            )
            self.assertEqual(outcome.draft.settled(), [])

    def test_timeouts(self) -> None:
        """Those of a rule are those of a pool of its own."""
        asked = {"request": "1m", "backendRequest": "1s500ms"}
        outcome = self.outcome(route(rule(timeouts=asked)))
        [pool] = outcome.draft.pools.values()
        self.assertEqual(pool["timeout"], {"total": 60.0, "try": 1.5, "read": 60.0})
        outcome = self.outcome(route(rule(timeouts={"request": "0s"})))
        [pool] = outcome.draft.pools.values()
        self.assertEqual(pool["timeout"], {"total": 0.0, "read": 0.0})
        outcome = self.outcome(route(rule(timeouts={"request": "soon"})))
        self.assertEqual(self.conditions(outcome)["Accepted"], "False UnsupportedValue")


class GatewayTests(TranslationTestCase):
    def test_class(self) -> None:
        """A class of ours is accepted."""
        self.assertEqual(
            self.conditions(self.outcome(), "GatewayClass"),
            {"Accepted": "True Accepted"},
        )

    def test_fine(self) -> None:
        """A Gateway whose listeners are served is programmed, and counts its routes."""
        outcome = self.outcome(route(), route(name="b", hosts=["b.test"]))
        self.assertEqual(
            self.conditions(outcome, "Gateway"),
            {"Accepted": "True Accepted", "Programmed": "True Programmed"},
        )
        [status] = [one for one in outcome.statuses({}, NOW) if one.kind == "Gateway"]
        [door] = status.value["listeners"]
        self.assertEqual(door["attachedRoutes"], 2)
        kinds = [one["kind"] for one in door["supportedKinds"]]
        self.assertEqual(kinds, ["HTTPRoute", "GRPCRoute"])
        self.assertEqual(
            self.doors(outcome)["http"],
            {
                "Accepted": "True Accepted",
                "Programmed": "True Programmed",
                "ResolvedRefs": "True ResolvedRefs",
                "Conflicted": "False NoConflicts",
            },
        )

    def test_protocols(self) -> None:
        """A protocol that is not served, and a listener that nothing of ours is meant for, are said."""
        doors = [
            listener("a", protocol="UDP"),
            listener("b", protocol="TLS", port=443, tls={"mode": "Terminate"}),
            listener("c", protocol="HTTPS", port=8443, tls={"mode": "Passthrough"}),
            listener("d", port=81),
        ]
        found = self.doors(self.outcome(Gateway=[gateway(*doors)]))
        for name in "abc":
            self.assertEqual(found[name]["Accepted"], "False UnsupportedProtocol")
            self.assertEqual(found[name]["Programmed"], "False Invalid")
        self.assertEqual(found["d"]["Accepted"], "True Accepted")
        only = attrs.evolve(TERMS, listeners={"https": "secure", "tcp": "web"})
        doors = [listener("a"), listener("b", protocol="TCP", port=9)]
        outcome = translate(world(Gateway=[gateway(*doors)]), only)
        for one in self.doors(outcome).values():
            self.assertEqual(one["Accepted"], "False PortUnavailable")
        self.assertEqual(
            self.conditions(outcome, "Gateway")["Accepted"], "False ListenersNotValid"
        )

    def test_route_kinds(self) -> None:
        """A listener may allow some kinds of routes; those that do not go with it are said."""
        door = listener(allowedRoutes={"kinds": [{"kind": "GRPCRoute"}]})
        outcome = self.outcome(route(), Gateway=[gateway(door)])
        self.assertEqual(
            self.conditions(outcome)["Accepted"], "False NotAllowedByListeners"
        )
        door = listener(
            allowedRoutes={"kinds": [{"kind": "TCPRoute"}, {"kind": "HTTPRoute"}]}
        )
        outcome = self.outcome(route(), Gateway=[gateway(door)])
        self.assertEqual(
            self.doors(outcome)["http"]["ResolvedRefs"], "False InvalidRouteKinds"
        )
        self.assertEqual(len(outcome.draft.entries), 1)

    def test_conflicts(self) -> None:
        """Listeners that nothing tells apart are not served, nor those of two protocols on one port."""
        doors = [listener("a"), listener("b"), listener("c", hostname="c.test")]
        found = self.doors(self.outcome(Gateway=[gateway(*doors)]))
        said = {name: one["Conflicted"] for name, one in found.items()}
        hostname = "True HostnameConflict"
        self.assertEqual(said, {"a": hostname, "b": hostname, "c": "False NoConflicts"})
        doors = [listener("a"), listener("b", protocol="HTTPS", hostname="b.test")]
        found = self.doors(self.outcome(Gateway=[gateway(*doors)]))
        self.assertEqual(found["a"]["Conflicted"], "True ProtocolConflict")

    def secure(self, *refs: Any, **kinds: Any) -> tuple[Outcome, str]:
        door = listener(
            "s", protocol="HTTPS", port=443, tls={"certificateRefs": list(refs)}
        )
        outcome = self.outcome(Gateway=[gateway(door)], **kinds)
        return outcome, self.doors(outcome)["s"]["ResolvedRefs"]

    def test_certificates(self) -> None:
        """Those of Secrets that a listener names are put at ours."""
        outcome, said = self.secure({"name": "site"}, Secret=[secret()])
        self.assertEqual(said, "True ResolvedRefs")
        self.assertEqual(
            outcome.draft.certificates, {"secure": {"default_site": "chain\nkey\n"}}
        )

    def test_wrong_certificates(self) -> None:
        """One that is not there, is none, or is of a namespace that does not allow it, is said."""
        bad = {"metadata": named("bad"), "data": {"tls.crt": "%"}}
        far = secret("far", namespace="far")
        for ref, reason in (
            ({"name": "nope"}, "InvalidCertificateRef"),
            ({"name": "bad"}, "InvalidCertificateRef"),
            ({"name": "site", "kind": "Thing"}, "InvalidCertificateRef"),
            ({"name": "far", "namespace": "far"}, "RefNotPermitted"),
        ):
            outcome, said = self.secure(ref, Secret=[secret(), bad, far])
            self.assertEqual(
                (said, outcome.draft.certificates), (f"False {reason}", {})
            )
        grants = [grant("Gateway", "default", "Secret", "far")]
        ref = {"name": "far", "namespace": "far"}
        _, said = self.secure(ref, Secret=[far], ReferenceGrant=grants)
        self.assertEqual(said, "True ResolvedRefs")
        _, said = self.secure()
        self.assertEqual(said, "False InvalidCertificateRef")

    def test_one_of_two_certificates(self) -> None:
        """What can be used of several is; the listener says what cannot."""
        outcome, said = self.secure(
            {"name": "site"}, {"name": "nope"}, Secret=[secret()]
        )
        self.assertEqual(said, "False InvalidCertificateRef")
        self.assertEqual(len(outcome.draft.certificates["secure"]), 1)
        terms = attrs.evolve(TERMS, unusable=lambda chain, key: "expired")
        door = listener(
            "s", protocol="HTTPS", port=443, tls={"certificateRefs": [{"name": "site"}]}
        )
        outcome = translate(world(Gateway=[gateway(door)], Secret=[secret()]), terms)
        self.assertEqual(outcome.draft.certificates, {})

    def test_addresses(self) -> None:
        """Where we are reached is said, if it is known."""
        terms = attrs.evolve(TERMS, addresses=("203.0.113.7", "a.test"))
        outcome = translate(world(Gateway=[gateway()]), terms)
        [status] = [one for one in outcome.statuses({}, NOW) if one.kind == "Gateway"]
        types = [one["type"] for one in status.value["addresses"]]
        self.assertEqual(types, ["IPAddress", "Hostname"])


class StatusTests(TranslationTestCase):
    def test_times(self) -> None:
        """The time of a condition is that of its last change; words of other controllers stay."""
        theirs = {
            "parentRef": {"name": "x"},
            "controllerName": "x.test/y",
            "conditions": [],
        }
        before = route(generation=4)
        [status] = self.outcome(before).statuses({}, NOW)[1:2]
        self.assertEqual(status.value["parents"][0]["controllerName"], CONTROLLER)
        again = {**before, "status": {"parents": [theirs, *status.value["parents"]]}}
        [status] = self.outcome(again).statuses({}, "2027-01-01T00:00:00Z")[1:2]
        self.assertEqual(status.value["parents"], again["status"]["parents"])
        owner = "HTTPRoute", ("default", "route")
        [status] = self.outcome(again).statuses({owner: "bad"}, "2027-01-01T00:00:00Z")[
            1:2
        ]
        accepted, resolved = status.value["parents"][1]["conditions"]
        self.assertEqual((accepted["status"], accepted["message"]), ("False", "bad"))
        self.assertEqual(accepted["lastTransitionTime"], "2027-01-01T00:00:00Z")
        self.assertEqual(resolved["lastTransitionTime"], NOW)
        self.assertEqual(resolved["observedGeneration"], 4)

    def test_malformed(self) -> None:
        """An object that is none takes no other down, whatever is in it."""
        bad: list[Any] = [None, 3, "x", [], {}, {"parentRefs": 3}, {"parentRefs": [{}]}]
        parents = [{"name": "gate"}]
        for rules in (
            3,
            [3],
            [{"matches": 3}],
            [{"matches": [{"path": 3}]}],
            [{"backendRefs": [3]}],
        ):
            bad.append({"parentRefs": parents, "rules": rules})
        bad.append({"parentRefs": parents, "hostnames": [3]})
        bad.append(
            {
                "parentRefs": parents,
                "rules": [
                    {"backendRefs": [{"name": "api", "port": 80, "weight": "x"}]}
                ],
            }
        )
        for index, spec in enumerate(bad):
            one = {"metadata": named(f"bad{index}"), "spec": spec}
            outcome = self.outcome(one, route())
            self.assertEqual(len(outcome.draft.settled()), 1, spec)
            outcome.statuses({}, NOW)
            gate = {"metadata": named("bad"), "spec": spec}
            outcome = self.outcome(route(), Gateway=[gate, gateway()])
            self.assertEqual(len(outcome.draft.settled()), 1, spec)
        wrong: tuple[Any, ...] = (
            3,
            [3],
            [{}],
            [{"name": "a", "port": "x", "protocol": "HTTP"}],
        )
        for listeners in wrong:
            gate = {
                "metadata": named("bad"),
                "spec": {"gatewayClassName": "lolly", "listeners": listeners},
            }
            outcome = self.outcome(route(), Gateway=[gate, gateway()])
            self.assertEqual(len(outcome.draft.settled()), 1, listeners)
            self.assertEqual(
                self.conditions(outcome, "Gateway")["Accepted"], "False Invalid"
            )

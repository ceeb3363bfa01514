"""Cases of the conformance suite of the Gateway API that `test_translation` has not, in our own words.

Each class is named after what the suite calls the case, or the group of cases.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.kubernetes.translation import Outcome, translate
from tests.kubernetes.test_translation import NOW, TWO, TranslationTestCase
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

FAR = service("api", namespace="far")


class ObservedGenerationBump(TranslationTestCase):
    def test_all_kinds(self) -> None:
        """Every condition says of which generation it is, once an object has another one."""
        first = {"Gateway": [gateway()], "HTTPRoute": [route()], "GRPCRoute": [route()]}
        kinds: dict[str, Any] = {**first, "GatewayClass": [gateway_class()]}
        before = translate(world(Service=TWO, **kinds), TERMS)
        for status in before.statuses({}, NOW):
            [item] = kinds[status.kind]
            item["status"] = status.value
            item["metadata"]["generation"] = 2
        after = translate(world(Service=TWO, **kinds), TERMS)
        seen = []
        for status in after.statuses({}, "2026-11-28T13:00:00Z"):
            value = status.value
            groups = [value, *value.get("listeners", ()), *value.get("parents", ())]
            for condition in (c for one in groups for c in one.get("conditions", ())):
                seen.append(condition["observedGeneration"])
                # It says the same: the time is that of its last change.
                self.assertEqual(condition["lastTransitionTime"], NOW)
        self.assertGreaterEqual(len(seen), 10)
        self.assertEqual(set(seen), {2})


class GatewayWithAttachedRoutes(TranslationTestCase):
    def count(self, *routes: Any, **more: Any) -> int:
        """The routes that a listener says it has."""
        outcome = self.outcome(*routes, Gateway=[gateway(listener(**more))])
        [found] = [one for one in outcome.statuses({}, NOW) if one.kind == "Gateway"]
        [door] = found.value["listeners"]
        attached: int = door["attachedRoutes"]
        return attached

    def test_counted(self) -> None:
        """Those that are accepted, whether their backends are there or not; no others."""
        lost = route(rule(to=[backend("nope")]), name="lost")
        self.assertEqual(self.count(), 0)
        self.assertEqual(self.count(route(), lost), 2)
        away = route(name="away", hosts=["b.test"])
        self.assertEqual(self.count(route(), away, hostname="a.test"), 1)
        far = route(name="far", parent={"name": "gate", "namespace": "default"})
        far["metadata"]["namespace"] = "far"
        self.assertEqual(self.count(route(), far), 1)


class ListenerHostnameMatching(TranslationTestCase):
    def test_by_section(self) -> None:
        """A route without hosts has those of the listener it names."""
        doors = [
            listener("one", hostname="bar.com"),
            listener("two", hostname="foo.bar.com"),
            listener("three", hostname="*.bar.com"),
            listener("four", hostname="*.foo.com"),
        ]
        for name, host in (
            ("one", "bar.com"),
            ("two", "foo.bar.com"),
            ("three", "*.bar.com"),
            ("four", "*.foo.com"),
        ):
            one = route(parent={"name": "gate", "sectionName": name})
            [table] = self.tables(one, Gateway=[gateway(*doors)])
            self.assertEqual(table["host"], host)


class HostnameIntersection(TranslationTestCase):
    def hosts(self, listens: str, *hosts: str) -> list[str]:
        """Those that a route is served for."""
        door = listener(hostname=listens)
        tables = self.tables(route(hosts=hosts), Gateway=[gateway(door)])
        return sorted(table["host"] for table in tables)

    def test_common(self) -> None:
        """The more specific of the two, in either direction; a wildcard is for one label at least."""
        specific = self.hosts("very.specific.com", "non.matching.com", "*.specific.com")
        self.assertEqual(specific, ["very.specific.com"])
        wild = self.hosts(
            "*.wildcard.io", "wildcard.io", "foo.wildcard.io", "foo.bar.wildcard.io"
        )
        self.assertEqual(wild, ["foo.bar.wildcard.io", "foo.wildcard.io"])
        both = self.hosts("*.anotherwildcard.io", "*.anotherwildcard.io")
        self.assertEqual(both, ["*.anotherwildcard.io"])
        self.assertEqual(self.hosts("specific.but.wrong.com", "specific.com"), [])


class PartiallyInvalidViaInvalidReferenceGrant(TranslationTestCase):
    def test_one_rule(self) -> None:
        """A rule whose backend may not be named gets 500; the other rule is served, and the reason is said."""
        wrong = grant("HTTPRoute", "default", "Service", "far", "another")
        one = route(
            rule(prefix("/v2"), to=[backend(namespace="far")]), rule(prefix("/"))
        )
        outcome = self.outcome(one, Service=[*TWO, FAR], ReferenceGrant=[wrong])
        said = self.conditions(outcome)
        self.assertEqual(said["Accepted"], "True Accepted")
        self.assertEqual(said["ResolvedRefs"], "False RefNotPermitted")
        ends = {table["path"]: table for _, table in outcome.draft.settled()}
        self.assertEqual(ends["/"]["pool"], "k8s_default_api_80")
        self.assertEqual(ends["/v2"]["respond"]["status"], 500)


class MatchingAcrossRoutes(TranslationTestCase):
    def test_merged(self) -> None:
        """Routes of one host are one: each path leads where the route that has it says."""
        part1 = route(
            rule(prefix("/")),
            rule({"headers": [{"name": "version", "value": "one"}]}),
            name="part1",
            hosts=["example.com", "example.net"],
        )
        part2 = route(
            rule(prefix("/v2"), to=[backend("web")]),
            name="part2",
            hosts=["example.com"],
        )
        tables = self.tables(part1, part2)
        led = {
            (table["host"], table["path"], bool(table.get("header"))): table["pool"]
            for table in tables
        }
        api, web = "k8s_default_api_80", "k8s_default_web_80"
        self.assertEqual(
            led,
            {
                ("example.com", "/", False): api,
                ("example.net", "/", False): api,
                ("example.com", "/", True): api,
                ("example.net", "/", True): api,
                ("example.com", "/v2", False): web,
            },
        )


class NamedRule(TranslationTestCase):
    def test_served(self) -> None:
        """Rules that have names are served as others are."""
        [table] = self.tables(route(rule(prefix("/named"), name="first")))
        self.assertEqual(table["path"], "/named")


class SecretReferenceGrants(TranslationTestCase):
    def test_which(self) -> None:
        """All Secrets of a namespace, or one; another one's, or another kind's, is none."""
        tls = {"certificateRefs": [{"name": "site", "namespace": "far"}]}
        door = listener("s", protocol="HTTPS", port=443, tls=tls)
        for given, holds in (
            (grant("Gateway", "default", "Secret", "far"), True),
            (grant("Gateway", "default", "Secret", "far", "site"), True),
            (grant("Gateway", "default", "Secret", "far", "other"), False),
            (grant("Gateway", "else", "Secret", "far"), False),
            (grant("HTTPRoute", "default", "Secret", "far"), False),
            (grant("Gateway", "default", "Service", "far"), False),
        ):
            outcome = self.outcome(
                Gateway=[gateway(door)],
                Secret=[secret(namespace="far")],
                ReferenceGrant=[given],
            )
            said = self.doors(outcome)["s"]
            wanted = "True ResolvedRefs" if holds else "False RefNotPermitted"
            self.assertEqual(said["ResolvedRefs"], wanted, given)
            self.assertEqual(bool(outcome.draft.certificates), holds)


class ModifyListeners(TranslationTestCase):
    def test_more_and_fewer(self) -> None:
        """Listeners that are added are served and said, those that are taken away are neither."""
        http = listener(hostname="a.test")
        https = listener("https", protocol="HTTPS", port=443)
        https["tls"] = {"certificateRefs": [{"name": "site"}]}
        found: list[tuple[set[str], int]] = []
        for doors in ([http], [http, https], [https]):
            outcome = self.outcome(
                route(), Gateway=[gateway(*doors)], Secret=[secret()]
            )
            found.append((set(self.doors(outcome)), len(outcome.draft.certificates)))
        self.assertEqual(found, [({"http"}, 0), ({"http", "https"}, 1), ({"https"}, 1)])


class GRPCRoutes(TranslationTestCase):
    def grpc(self, *routes: Any, **kinds: Any) -> Outcome:
        """Of GRPCRoutes."""
        kinds.setdefault("Gateway", [gateway()])
        kinds.setdefault("Service", TWO)
        return translate(world(GRPCRoute=routes, **kinds), TERMS)

    def test_weight(self) -> None:
        """Backends share by weight; one of 0 gets nothing."""
        refs = [backend(weight=7), backend("web", weight=3), backend("web", weight=0)]
        [(_, table)] = self.grpc(route(rule(to=refs))).draft.settled()
        self.assertEqual([one["weight"] for one in table["split"]], [7, 3])

    def test_listener_hostnames(self) -> None:
        """A route has the hosts that it and the listener are both for; without any it is not accepted."""
        doors = [gateway(listener(hostname="*.bar.com"))]
        [(_, table)] = self.grpc(
            route(hosts=["foo.bar.com", "x.com"]), Gateway=doors
        ).draft.settled()
        self.assertEqual(table["host"], "foo.bar.com")
        outcome = self.grpc(route(hosts=["x.com"]), Gateway=doors)
        self.assertEqual(
            self.conditions(outcome, "GRPCRoute")["Accepted"],
            "False NoMatchingListenerHostname",
        )


class TLSRoutes(TranslationTestCase):
    def passed(self, *routes: Any, **kinds: Any) -> Outcome:
        """Of TLSRoutes, at a listener that lets TLS through."""
        door = listener(
            "tls",
            protocol="TLS",
            port=443,
            hostname="*.b.test",
            tls={"mode": "Passthrough"},
        )
        return translate(
            world(TLSRoute=routes, Gateway=[gateway(door)], **kinds), TERMS
        )

    def test_reference_grants(self) -> None:
        """A Service of another namespace leads nowhere without a grant, and somewhere with one."""
        one = route(rule(to=[backend(namespace="far")]), hosts=["a.b.test"])
        outcome = self.passed(one, Service=[FAR])
        said = self.conditions(outcome, "TLSRoute")
        self.assertEqual(said["ResolvedRefs"], "False RefNotPermitted")
        self.assertEqual(outcome.draft.streams, {})
        given = grant("TLSRoute", "default", "Service", "far")
        outcome = self.passed(one, Service=[FAR], ReferenceGrant=[given])
        self.assertEqual(list(outcome.draft.streams["pass"]), ["a.b.test"])

    def test_hostnames(self) -> None:
        """Only names that the listener is for; a route without such a name is not accepted."""
        outcome = self.passed(route(hosts=["a.b.test", "x.test"]), Service=TWO)
        self.assertEqual(list(outcome.draft.streams["pass"]), ["a.b.test"])
        outcome = self.passed(route(hosts=["x.test"]), Service=TWO)
        said = self.conditions(outcome, "TLSRoute")["Accepted"]
        self.assertEqual(said, "False NoMatchingListenerHostname")


class InvalidCrossNamespaceParentRef(TranslationTestCase):
    def test_not_allowed(self) -> None:
        """A route of another namespace at a Gateway for its own is not accepted, and serves nothing."""
        one = route(parent={"name": "gate", "namespace": "default"})
        one["metadata"] = named("route", "far")
        outcome = self.outcome(one)
        said = self.conditions(outcome)["Accepted"]
        self.assertEqual(said, "False NotAllowedByListeners")
        self.assertEqual(outcome.draft.settled(), [])

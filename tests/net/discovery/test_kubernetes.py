"""Tests of discovery by Kubernetes: what EndpointSlices mean, and how pools hear of them."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.discoveries import Kubernetes
from lolly_tx.net.discovery import kubernetes
from lolly_tx.net.discovery.endpointslices import entries_of, taken
from lolly_tx.net.discovery.kubernetes import KubernetesFactory, Service
from lolly_tx.net.kubernetes.access import Access
from lolly_tx.testing.discoveries import DiscoveryContract
from tests.kubernetes.cluster import SLICES, Cluster, MemoryAgent, endpoint_slice
from tests.net.discovery.asked import deps

URL = "http://127.0.0.1:8001"


def made(cluster: Cluster, settings: Kubernetes, given: Any) -> Service:
    """A feed that asks this cluster."""

    def access(place: Any, reactor: Any, in_thread: Any) -> Access:
        return Access(place, reactor, in_thread, MemoryAgent(cluster))

    with mock.patch.object(kubernetes, "Access", access):
        feed = KubernetesFactory().build(settings, given)
        make, feed._make = feed._make, None  # type: ignore[assignment]

        def shared() -> Any:
            with mock.patch.object(kubernetes, "Access", access):
                return make()

        feed._make = shared
    return feed


class KubernetesContractTests(DiscoveryContract, SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster = Cluster(self.clock)

    def make_discovery(self) -> Service:
        """See the contract."""
        return made(self.cluster, Kubernetes("api", url=URL), self.deps())

    def one(self) -> None:
        """See the contract."""
        self.cluster.put(SLICES, endpoint_slice("a", addresses=["10.0.0.1"]))

    def two(self) -> None:
        """See the contract."""
        self.cluster.refusing = 0
        addresses = ["10.0.0.1", "10.0.0.2"]
        self.cluster.put(SLICES, endpoint_slice("a", addresses=addresses))

    def broken(self) -> None:
        """See the contract."""
        self.cluster.refusing = 500
        self.cluster.cut()


class EntriesTests(SynchronousTestCase):
    def entries(self, *slices: Any, port: str = "", **more: str) -> list[Any]:
        found = [taken(one) for one in slices]
        return entries_of([one for one in found if one], port, **more)

    def test_slices_are_merged(self) -> None:
        """All slices of a service count, each address once."""
        one = endpoint_slice("a", addresses=["10.0.0.2", "10.0.0.1"])
        two = endpoint_slice("b", addresses=["10.0.0.3", "10.0.0.1"])
        found = [f"http://10.0.0.{last}:8080" for last in (1, 2, 3)]
        self.assertEqual(self.entries(one, two), found)
        self.assertEqual(self.entries(), [])

    def test_conditions(self) -> None:
        """Who is ready is a target; who ends or is not ready is none, who does not say is."""

        def one(address: str, **conditions: Any) -> Any:
            return {"addresses": [address], "conditions": conditions}

        slices = endpoint_slice(
            "a",
            addresses=[
                one("10.0.0.1", ready=True, serving=True, terminating=False),
                one("10.0.0.2", ready=False, serving=True, terminating=True),
                one("10.0.0.3", ready=False, serving=False),
                one("10.0.0.4"),
                {"addresses": ["10.0.0.5"]},
                one("10.0.0.6", ready=True, terminating=True),
            ],
        )
        found = [f"http://10.0.0.{last}:8080" for last in (1, 4, 5)]
        self.assertEqual(self.entries(slices), found)

    def test_all_end(self) -> None:
        """Where nobody is ready, those that still serve while they end are better than none."""
        ends = {"ready": False, "serving": True, "terminating": True}
        gone = {"ready": False, "serving": False, "terminating": True}
        slices = endpoint_slice(
            "a",
            addresses=[
                {"addresses": ["10.0.0.1"], "conditions": ends},
                {"addresses": ["10.0.0.2"], "conditions": gone},
            ],
        )
        self.assertEqual(self.entries(slices), ["http://10.0.0.1:8080"])

    def test_twice_in_different_states(self) -> None:
        """An endpoint that moves from slice to slice is what the better of them says."""
        no = {"addresses": ["10.0.0.1"], "conditions": {"ready": False}}
        one = endpoint_slice("a", addresses=[no])
        two = endpoint_slice("b", addresses=["10.0.0.1"])
        for slices in ((one, two), (two, one)):
            self.assertEqual(self.entries(*slices), ["http://10.0.0.1:8080"])

    def test_ports(self) -> None:
        """By name, by number, or the only one; ports of other protocols are none."""
        ports = (("http", 8080), ("admin", 9090))
        slices = endpoint_slice("a", addresses=["10.0.0.1"], ports=ports)
        slices["ports"].append({"name": "dns", "port": 53, "protocol": "UDP"})
        admin = ["tls://10.0.0.1:9090"]
        self.assertEqual(self.entries(slices, port="admin", scheme="tls"), admin)
        self.assertEqual(self.entries(slices, port="9090", scheme="tls"), admin)
        for port, part in (("", "has to name one"), ("x", "no port x")):
            (entry,) = self.entries(slices, port=port)
            self.assertIn(part, str(entry))
            self.assertEqual(entry["url"], "")

    def test_ipv6_and_names(self) -> None:
        """IPv6 has its brackets; slices of names are left out, and said."""
        six = endpoint_slice("a", addresses=["fd00::1"], addressType="IPv6")
        names = endpoint_slice("b", addresses=["a.test"], addressType="FQDN")
        found = self.entries(six, names)
        self.assertEqual(found[1:], ["http://[fd00::1]:8080"])
        self.assertIn("FQDN", str(found[0]))

    def test_zones(self) -> None:
        """With a zone of ours: those meant for it first, as long as all say what they are meant for."""

        def one(address: str, *zones: str) -> Any:
            hints = {"forZones": [{"name": zone} for zone in zones]}
            return {"addresses": [address], "hints": hints if zones else None}

        hinted = [one("10.0.0.1", "a"), one("10.0.0.2", "b"), one("10.0.0.3", "a", "b")]
        slices = endpoint_slice("a", addresses=hinted)
        near = ["http://10.0.0.1:8080", "http://10.0.0.3:8080"]
        self.assertEqual(
            self.entries(slices, zone="a"),
            [near[0], {"url": "http://10.0.0.2:8080", "priority": 1}, near[1]],
        )
        all_the_same = self.entries(slices)
        self.assertTrue(all(isinstance(each, str) for each in all_the_same))
        some = endpoint_slice("a", addresses=[*hinted, one("10.0.0.4")])
        self.assertEqual(
            len([e for e in self.entries(some, zone="a") if isinstance(e, str)]), 4
        )

    def test_how_deep_it_goes(self) -> None:
        """Lists within lists where a text belongs make no target, and hinder nobody, whatever they hold."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        where, name, port = (endpoint_slice(n, addresses=["10.0.0.1"]) for n in "abc")
        where["endpoints"][0]["addresses"] = [deep]
        name["ports"][0]["name"] = deep
        port["ports"][0]["port"] = deep
        found = self.entries(where, name, port)
        good = "http://10.0.0.1:8080"
        self.assertEqual(found, [good, "http://10.0.0.1:?", "http://?:8080"])
        while deep:  # else its end would be as deep
            deep = deep[0]

    def test_what_is_kept(self) -> None:
        """Slices without a service are left out; what is no slice raises what a copy expects."""
        self.assertIsNone(taken({"metadata": {"labels": {}}}))
        for wrong in ({"metadata": 3}, {**endpoint_slice("a"), "endpoints": [3]}):
            self.assertRaises((LookupError, TypeError, AttributeError), taken, wrong)


class SharedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cluster = Cluster(self.clock)
        self.deps = deps(self.clock)
        for name in ("api", "web"):
            one = endpoint_slice(name, name, ["10.0.0.1"])
            self.cluster.put(SLICES, one)

    def feed(self, service: str, **more: Any) -> tuple[Service, list[Any]]:
        feed = made(self.cluster, Kubernetes(service, url=URL, **more), self.deps)
        found: list[Any] = []
        feed.start(found.append, found.append)
        self.clock.pump([0.05] * 6)
        return feed, found

    def test_one_watch(self) -> None:
        """Pools of one namespace share a watch; each hears of its own service only, and the last one ends it."""
        api, of_api = self.feed("api")
        web, of_web = self.feed("web")
        self.assertEqual(of_web, [["http://10.0.0.1:8080"]])
        self.assertEqual(len(self.cluster.watchers), 1)
        self.cluster.put(SLICES, endpoint_slice("web", "web", ["10.0.0.2"]))
        self.clock.pump([0.05] * 4)
        self.assertEqual((len(of_api), len(of_web)), (1, 2))
        api.stop()
        self.assertEqual(len(self.cluster.watchers), 1)
        web.stop()
        self.assertEqual((self.cluster.watchers, self.deps.shared), ([], {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_namespaces(self) -> None:
        """Another namespace has another watch, but for pools that watch all of the cluster."""
        other = endpoint_slice("x", "api", ["10.0.9.9"], namespace="other")
        self.cluster.put(SLICES, other)
        feeds = [self.feed("api"), self.feed("api", namespace="other")]
        self.assertEqual(len(self.cluster.watchers), 2)
        self.assertEqual(feeds[1][1], [["http://10.0.9.9:8080"]])
        feeds += [
            self.feed("api", namespace=n, watch="all") for n in ("default", "other")
        ]
        self.assertEqual(len(self.cluster.watchers), 3)
        self.assertEqual(feeds[3][1], [["http://10.0.9.9:8080"]])
        for feed, _ in feeds:
            feed.stop()

    def test_service_moves(self) -> None:
        """A slice that comes to another service leaves the first."""
        api, found = self.feed("api")
        self.cluster.put(SLICES, endpoint_slice("api", "web", ["10.0.0.1"]))
        self.clock.pump([0.05] * 4)
        self.assertEqual(found[-1], [])
        api.stop()

    def test_said_again(self) -> None:
        """What is so is said again within the interval, so that its age is known; not while nobody answers."""
        api, found = self.feed("api")
        self.clock.pump([1.0] * 31)
        self.assertGreaterEqual(len(found), 2)
        self.cluster.down = True
        self.cluster.cut()
        self.clock.pump([1.0] * 5)
        found.clear()
        self.clock.pump([1.0] * 31)
        self.assertTrue(found)
        self.assertTrue(all(isinstance(each, str) for each in found), found)
        self.cluster.down = False
        self.clock.pump([0.5] * 5)
        self.assertEqual(found[-1], ["http://10.0.0.1:8080"])
        api.stop()

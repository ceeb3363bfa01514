"""Tests of lolly_tx.net.kubernetes: the copy of what a cluster has, how it is asked, and what lets us in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from lolly_tx.net.failures import BadAnswer
from lolly_tx.net.kubernetes import mirror as mirror_module
from lolly_tx.net.kubernetes.access import Access, Place, place_of
from lolly_tx.net.kubernetes.api import (
    ANSWER_SECONDS,
    MOST_LINE,
    Api,
    ApiError,
    Lines,
)
from lolly_tx.net.kubernetes.mirror import (
    ABSENT_RETRY,
    GATHER_SECONDS,
    LAST_RETRY,
    Kind,
    Mirror,
    key_of,
    kind_path,
)
from lolly_tx.service.acme.folders import pem_of
from tests.kubernetes.cluster import SLICES, Cluster, MemoryAgent, endpoint_slice
from tests.net.discovery.asked import FakeAgent

PATH = "/apis/discovery.k8s.io/v1/endpointslices"
URL = "http://127.0.0.1:8001"


class ClusterTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A cluster, a clock, and what a copy of its slices tells."""
        self.clock = Clock()
        self.cluster = Cluster()
        self.told: list[set[Any]] = []
        self.failed: list[str] = []

    def api(self, agent: Any = None, **place: str) -> Api:
        access = Access(
            Place(URL, **place), self.clock, execute, agent or MemoryAgent(self.cluster)
        )
        return Api(access, self.clock)

    def mirror(
        self,
        kind: Kind | None = None,
        api: Api | None = None,
        taken: Callable[[Any], Any] = lambda item: item.get("endpoints"),
    ) -> Mirror:
        """One that runs."""
        mirror = Mirror(
            api or self.api(),
            kind or Kind(PATH),
            clock=self.clock,
            random=Random(1),
            interval=30.0,
            taken=taken,
            changed=self.told.append,
            failed=self.failed.append,
        )
        mirror.start()
        self.addCleanup(mirror.stop)
        self.wait(0.3)
        return mirror

    def wait(self, seconds: float) -> None:
        self.clock.pump([seconds / 20] * 20)

    def kinds(self) -> list[str]:
        """What the cluster was asked, in words."""
        return [
            "watch" if "watch" in query else "list"
            for _, _, query, _ in self.cluster.asked
        ]


class MirrorTests(ClusterTestCase):
    def test_list_and_watch(self) -> None:
        """All are read, then each change is, by a watch from the version of the list on."""
        self.cluster.put(SLICES, endpoint_slice("a", addresses=["10.0.0.1"]))
        mirror = self.mirror()
        self.assertEqual(list(mirror.objects), [("default", "a")])
        self.assertEqual(self.told, [{("default", "a")}])
        self.assertEqual(self.kinds(), ["list", "watch"])
        watch = self.cluster.asked[-1][2]
        self.assertEqual(watch["resourceVersion"], str(self.cluster.version))
        self.assertEqual(watch["allowWatchBookmarks"], "true")
        self.cluster.put(SLICES, endpoint_slice("b", addresses=["10.0.0.2"]))
        self.cluster.delete(SLICES, "a", "default")
        self.wait(GATHER_SECONDS * 2)
        self.assertEqual(list(mirror.objects), [("default", "b")])
        self.assertEqual(self.told[1:], [{("default", "a"), ("default", "b")}])
        self.assertEqual((self.kinds(), self.failed), (["list", "watch"], []))

    def test_pages(self) -> None:
        """A long list is read in pages, and told as one."""
        self.cluster.page = 2
        for index in range(5):
            self.cluster.put(SLICES, endpoint_slice(f"s{index}"))
        mirror = self.mirror()
        self.assertEqual(len(mirror.objects), 5)
        self.assertEqual(self.kinds(), ["list"] * 3 + ["watch"])
        self.assertEqual(len(self.told), 1)

    def test_pages_without_end(self) -> None:
        """A list that always goes on is given up after as many pages as all objects could take."""
        self.patch(mirror_module, "MOST_PAGES", 20)
        self.cluster.page = 1
        for index in range(20):
            self.cluster.put(SLICES, endpoint_slice(f"s{index}"))
        self.assertEqual(len(self.mirror().objects), 20)
        self.cluster.put(SLICES, endpoint_slice("s20"))
        self.assertEqual(self.mirror().objects, {})
        self.assertEqual(set(self.failed), {f"{PATH}: more than 20 pages"})

    def test_too_many_objects(self) -> None:
        """There is an end to what is copied, whether a list brings it or a watch; what there was stays."""
        self.patch(mirror_module, "MOST_OBJECTS", 2)
        for index in range(2):
            self.cluster.put(SLICES, endpoint_slice(f"s{index}"))
        mirror = self.mirror()
        self.cluster.put(SLICES, endpoint_slice("s2"))
        self.wait(3.0)
        self.assertEqual(set(self.failed), {f"{PATH}: more than 2 objects"})
        self.assertEqual(self.kinds()[2:], ["list"] * len(self.kinds()[2:]))
        self.assertFalse(mirror.current)
        self.cluster.delete(SLICES, "s0", "default")
        self.wait(3.0)
        self.assertTrue(mirror.current)
        self.assertEqual(len(mirror.objects), 2)

    def test_event_of_too_many_values(self) -> None:
        """An event that would take long to read is refused as it comes."""
        self.patch(mirror_module, "AT_ONCE", 50)
        mirror = self.mirror()
        self.cluster.put(SLICES, endpoint_slice("a", addresses=["10.0.0.1"] * 60))
        self.wait(GATHER_SECONDS * 2)
        self.assertIn("has more than 50 values", self.failed[0])
        self.assertEqual(mirror.objects, {})

    def test_watch_ends(self) -> None:
        """The next watch begins where the last one was; a bookmark counts for that, and changes nothing."""
        self.cluster.put(SLICES, endpoint_slice("a"))
        mirror = self.mirror()
        self.cluster.put("v1/pods", {"metadata": {"name": "p"}})
        self.cluster.bookmark()
        self.cluster.cut()
        self.cluster.put(SLICES, endpoint_slice("b"))
        self.wait(3.0)
        self.assertEqual(self.kinds(), ["list", "watch", "watch"])
        begun = self.cluster.asked[-1][2]["resourceVersion"]
        self.assertEqual(begun, str(self.cluster.version - 1))
        self.assertEqual(len(mirror.objects), 2)
        self.assertEqual(self.failed, [])

    def test_gone(self) -> None:
        """A version that is gone is no failure: all are listed again, and what went meanwhile is gone."""
        for name in ("a", "b"):
            self.cluster.put(SLICES, endpoint_slice(name))
        mirror = self.mirror()
        self.told.clear()
        self.cluster.cut()
        self.cluster.delete(SLICES, "a", "default")
        self.cluster.compact()
        self.cluster.put("v1/pods", {"metadata": {"name": "p"}})
        self.cluster.oldest = self.cluster.version
        self.wait(3.0)
        self.assertEqual(self.kinds(), ["list", "watch", "watch", "list", "watch"])
        self.assertEqual(self.told, [{("default", "a")}])
        self.assertEqual((list(mirror.objects), self.failed), ([("default", "b")], []))

    def test_gone_within_a_watch(self) -> None:
        """So it is when a watch itself says that the version is gone."""
        self.mirror()
        error = {"kind": "Status", "code": 410, "message": "too old"}
        self.cluster.watchers[0].say("ERROR", error)
        self.wait(3.0)
        self.assertEqual(self.kinds(), ["list", "watch", "list", "watch"])
        self.assertEqual(self.failed, [])

    def test_server_away(self) -> None:
        """What was copied stays while nobody answers; the retries come soon, and what comes back is told."""
        self.cluster.put(SLICES, endpoint_slice("a"))
        mirror = self.mirror()
        self.told.clear()
        self.cluster.down = True
        self.cluster.cut()
        self.wait(30.0)
        self.assertEqual((len(mirror.objects), mirror.current), (1, False))
        self.assertGreaterEqual(len(self.failed), 30 / LAST_RETRY)
        self.assertEqual(self.told, [])
        self.cluster.down = False
        self.wait(LAST_RETRY + 0.2)
        self.assertEqual((self.told, mirror.current), ([set()], True))

    def test_refusals(self) -> None:
        """What the server says is told in one line, shortened."""
        self.cluster.token = "t0k"
        mirror = self.mirror()
        self.assertEqual(self.failed[0], f"{PATH}: status 401: Unauthorized")
        self.assertFalse(mirror.complete)
        self.assertEqual(self.told, [])

    def test_silent_server(self) -> None:
        """A question without an answer is given up; so is a watch that nobody ends."""
        agent = FakeAgent()
        self.mirror(api=self.api(agent))
        self.clock.advance(ANSWER_SECONDS)
        self.assertIn("no answer within 5 s", self.failed[0])
        self.failed.clear()
        self.wait(2.0)
        agent.answer({"metadata": {"resourceVersion": "7"}, "items": []})
        self.wait(0.1)
        agent.begin()
        self.wait(30.0 + ANSWER_SECONDS)
        self.assertIn("no answer within 35 s", self.failed[0])

    def test_too_deep(self) -> None:
        """An object that goes too deep to be looked at is left out like any other that is none."""

        def taken(item: dict[str, Any]) -> Any:
            if item["metadata"]["name"] == "deep":
                raise RecursionError
            return 1

        for name in ("deep", "good"):
            self.cluster.put(SLICES, endpoint_slice(name))
        mirror = self.mirror(taken=taken)
        self.assertEqual(list(mirror.objects), [("default", "good")])
        self.assertEqual((mirror.unusable, self.failed), (1, []))

    def test_foreign_text(self) -> None:
        """Objects that are none are left out and counted; the others stand."""
        self.cluster.put(SLICES, endpoint_slice("good", addresses=["10.0.0.1"]))
        for index, wrong in enumerate(([], "x", {"name": 3}, {"name": "n" * 300})):
            self.cluster.objects[SLICES]["", f"x{index}"] = {"metadata": wrong}
        del self.cluster.objects[SLICES]["", "x0"]
        agent = FakeAgent()
        items = [7, {"metadata": []}, {"metadata": {"name": 3}}, endpoint_slice("good")]
        mirror = self.mirror(api=self.api(agent))
        agent.answer({"metadata": {"resourceVersion": "1"}, "items": items})
        self.wait(0.3)
        self.assertEqual((len(mirror.objects), mirror.unusable), (1, 3))
        watch = agent.begin()
        watch.body.dataReceived(b'{"type": "ADDED", "object": {"metadata": {}}}\n\n')
        self.assertEqual(mirror.unusable, 4)
        for line in (
            b"nonsense",
            b"[]",
            b'{"type": "ADDED"}',
            b'{"type":"?","object":{}}',
        ):
            self.failed.clear()
            watch.body.dataReceived(line + b"\n")
            self.assertEqual(len(self.failed), 1, line)
            self.wait(LAST_RETRY + 0.2)
            watch = agent.begin()

    def test_wrong_lists(self) -> None:
        """What is no list is no answer."""
        agent = FakeAgent()
        self.mirror(api=self.api(agent))
        wrong: list[Any] = [[], {}, {"metadata": {}}]
        for value in [*wrong, {"metadata": {"resourceVersion": 3}}]:
            agent.answer(value)
            self.wait(LAST_RETRY + 0.2)
        self.assertEqual(len(self.failed), 4)
        self.assertIn("no list of objects", self.failed[-1])

    def test_kinds_that_are_not_known(self) -> None:
        """An optional one is empty until it is known; any other is a failure."""
        self.cluster.absent.add(SLICES)
        mirror = self.mirror(Kind(PATH, optional=True))
        self.assertEqual((self.told, self.failed, mirror.current), ([set()], [], True))
        self.cluster.absent.clear()
        self.cluster.put(SLICES, endpoint_slice("a"))
        self.wait(ABSENT_RETRY + 1.0)
        self.assertEqual(len(mirror.objects), 1)
        self.cluster.absent.add(SLICES)
        self.mirror()
        self.assertIn("status 404", self.failed[0])

    def test_stop(self) -> None:
        """Nothing is left of it, and nothing is told."""
        mirror = self.mirror()
        self.cluster.put(SLICES, endpoint_slice("a"))
        before = list(self.told)
        mirror.stop()
        mirror.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.told), ([], before))
        self.assertEqual(self.cluster.watchers, [])

    def test_paths(self) -> None:
        """Of a kind of the core or of a group; of a namespace, or of all."""
        self.assertEqual(
            kind_path("v1", "secrets", "a"), "/api/v1/namespaces/a/secrets"
        )
        self.assertEqual(kind_path("discovery.k8s.io/v1", "endpointslices"), PATH)
        self.assertEqual(key_of({"metadata": {"name": "a"}}), ("", "a"))
        self.assertIsNone(key_of({"metadata": {"name": "a", "namespace": 3}}))


class LinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.got: list[bytes] = []
        self.lines = Lines(MOST_LINE, self.got.append)
        self.lines.makeConnection(StringTransport())

    def test_pieces(self) -> None:
        """Lines come however they were cut; the end is an end."""
        for piece in (b"a", b"b\nc\n", b"d", b"\n"):
            self.lines.dataReceived(piece)
        self.assertEqual(self.got, [b"ab", b"c", b"d"])
        self.lines.connectionLost(Failure(ResponseDone()))
        self.assertEqual(self.successResultOf(self.lines.done), b"")

    def test_cut(self) -> None:
        """A connection that breaks is told."""
        self.lines.connectionLost(Failure(Exception()))
        self.assertIn(
            "cut short", str(self.failureResultOf(self.lines.done, BadAnswer))
        )
        self.lines.connectionLost(Failure(Exception()))
        self.lines.dataReceived(b"x\n")
        self.assertEqual(self.got, [])

    def test_bound(self) -> None:
        """A line as long as may be is taken, a longer one ends it."""
        self.lines.dataReceived(b"x" * (MOST_LINE - 1) + b"\n")
        self.assertEqual(len(self.got), 1)
        self.lines.dataReceived(b"x" * (MOST_LINE + 1))
        self.failureResultOf(self.lines.done, BadAnswer)


class AccessTests(ClusterTestCase):
    def test_token_file(self) -> None:
        """Read again when it changes, also when it is replaced."""
        path = Path(self.mktemp())
        path.write_text("one\n")
        self.cluster.token = "one"
        api = self.api(token_file=str(path))
        self.asked(api)
        other = path.with_suffix(".new")
        other.write_text("two")
        os.replace(other, path)
        self.cluster.token = "two"
        self.asked(api)
        path.unlink()
        self.assertIn(str(path), self.refused(api))

    def test_no_tokens(self) -> None:
        """What can be none is said without being shown."""
        path = Path(self.mktemp())
        path.write_text("a\nb")
        said = self.refused(self.api(token_file=str(path)))
        self.assertIn("is no token", said)
        path.write_bytes(b"x" * (2 << 20))
        self.assertIn("more than", self.refused(self.api(token_file=str(path))))

    def test_text(self) -> None:
        """A token may be a text; it is shown nowhere."""
        self.cluster.token = "s3cret"
        self.asked(self.api(token="s3cret"))
        self.assertNotIn("s3cret", repr(Place(URL, "s3cret")))

    def test_in_the_clear(self) -> None:
        """A token does not leave this machine unencrypted."""
        place = Place("http://10.0.0.1:8080", "s3cret")
        access = Access(place, self.clock, execute, MemoryAgent(self.cluster))
        said = self.refused(Api(access, self.clock))
        self.assertIn("not sent in the clear", said)
        self.assertNotIn("s3cret", said)

    def test_in_a_cluster(self) -> None:
        """Without settings: what Kubernetes gives each pod; outside of any it is said."""
        environ = {
            "KUBERNETES_SERVICE_HOST": "fd00::1",
            "KUBERNETES_SERVICE_PORT": "6443",
        }
        found = place_of("", "", "", "", environ)
        self.assertEqual(found.url, "https://[fd00::1]:6443")
        self.assertTrue(found.token_file.endswith("/serviceaccount/token"))
        self.assertTrue(found.ca.endswith("/serviceaccount/ca.crt"))
        self.assertEqual(place_of("", "t", "", "/ca", environ).token_file, "")
        given = place_of("https://a:1/", "", "/t", "", environ)
        self.assertEqual(given, Place("https://a:1", "", "/t", ""))
        nowhere = Access(place_of("", "", "", "", {}), self.clock, execute)
        said = self.refused(Api(nowhere, self.clock))
        self.assertIn("KUBERNETES_SERVICE_HOST", said)

    def test_authority(self) -> None:
        """Its file has certificates, or is said to have none; new ones mean new connections."""
        path = Path(self.mktemp())
        path.write_text("none")
        place = Place("https://127.0.0.1:1", ca=str(path))
        access = Access(place, self.clock, execute)
        said = self.failureResultOf(Deferred.fromCoroutine(access.ready()), BadAnswer)
        self.assertIn("no certificates", str(said.value))
        path.write_bytes(certificate()[0])
        first, _ = self.successResultOf(Deferred.fromCoroutine(access.ready()))
        same, _ = self.successResultOf(Deferred.fromCoroutine(access.ready()))
        self.assertIs(first, same)
        path.write_bytes(certificate()[0] * 2)
        other, _ = self.successResultOf(Deferred.fromCoroutine(access.ready()))
        self.assertIsNot(first, other)
        access.close()

    def asked(self, api: Api) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(api.ask(PATH)))

    def refused(self, api: Api) -> str:
        failed = self.failureResultOf(Deferred.fromCoroutine(api.ask(PATH)), ApiError)
        return str(failed.value)


def certificate() -> tuple[bytes, bytes]:
    """A certificate of its own, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM), pem_of(key)


class AskTests(ClusterTestCase):
    def test_bodies(self) -> None:
        """What is sent is JSON of the kind that is asked for."""
        agent = FakeAgent()
        asking = self.api(agent).ask(
            PATH, method=b"PATCH", body={"a": 1}, kind="application/merge-patch+json"
        )
        done = Deferred.fromCoroutine(asking)
        method, url, fields, body = agent.asked[0]
        self.assertEqual((method, url), (b"PATCH", (URL + PATH).encode()))
        sent = fields.getRawHeaders("Content-Type")
        self.assertEqual((body, sent), ({"a": 1}, ["application/merge-patch+json"]))
        agent.answer({"kind": "X"}, 201)
        self.assertEqual(self.successResultOf(done), {"kind": "X"})

    def test_wrong_answers(self) -> None:
        """Text that is no object is none; a status stands without its reason as well."""
        for data, code, part in (
            (b"no", 200, "no JSON"),
            (b"[]", 200, "no object"),
            (b"no", 500, "status 500"),
            (json.dumps({"message": "m" * 999}).encode(), 403, "status 403: mm"),
        ):
            agent = FakeAgent()
            done = Deferred.fromCoroutine(self.api(agent).ask(PATH))
            response = agent.begin(code)
            response.body.dataReceived(data)
            response.end()
            failed = self.failureResultOf(done, ApiError).value
            self.assertIn(part, str(failed))
            self.assertLess(len(str(failed)), 300)

"""The manifests in etc/kubernetes: what they allow, run and configure is what the proxy needs, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.config.model import Config
from lolly_tx.config.providers import clusters_of
from lolly_tx.kubernetes.conditions import CONTROLLER
from lolly_tx.kubernetes.gateways import is_ours
from lolly_tx.kubernetes.objects import KINDS
from lolly_tx.net.discovery.kubernetes import PLURAL, VERSION
from tests.service.providers.test_provider import STATUSES

FOLDER = Path(__file__).parents[1] / "etc" / "kubernetes"


def manifests() -> list[dict[str, Any]]:
    """All of them, in the order in which `kubectl apply -f` takes them."""
    return [
        item
        for path in sorted(FOLDER.glob("*.yaml"))
        for item in yaml.safe_load_all(path.read_text())
    ]


def one(kind: str) -> dict[str, Any]:
    """The only one of a kind."""
    [found] = [item for item in manifests() if item["kind"] == kind]
    return found


class ManifestTests(SynchronousTestCase):
    def config(self) -> Config:
        """The settings that the ConfigMap has."""
        return parse(one("ConfigMap")["data"]["lolly.toml"])

    def container(self) -> dict[str, Any]:
        """That of the Deployment."""
        [found] = one("Deployment")["spec"]["template"]["spec"]["containers"]
        return dict(found)

    def test_objects(self) -> None:
        """Each has a kind, a version and a name; the namespace that others are in comes first."""
        found = manifests()
        self.assertEqual(found[0]["kind"], "Namespace")
        for item in found:
            self.assertTrue(item["apiVersion"] and item["metadata"]["name"], item)
            namespace = item["metadata"].get("namespace")
            self.assertIn(namespace, (None, found[0]["metadata"]["name"]))

    def test_rights(self) -> None:
        """What is listed and watched may be, statuses may be patched, and nothing else."""
        allowed = {
            (group, resource, verb)
            for rule in one("ClusterRole")["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        needed = {
            (version.rpartition("/")[0], plural, verb)
            for version, plural in [
                (VERSION, PLURAL),
                *((kind.version, kind.plural) for kind in KINDS.values()),
            ]
            for verb in ("list", "watch")
        }
        for name in STATUSES:
            group = KINDS[name].version.rpartition("/")[0]
            needed.add((group, f"{KINDS[name].plural}/status", "patch"))
        self.assertEqual(allowed, needed)
        binding, account = one("ClusterRoleBinding"), one("ServiceAccount")
        self.assertEqual(
            binding["roleRef"]["name"], one("ClusterRole")["metadata"]["name"]
        )
        [subject] = binding["subjects"]
        self.assertEqual(subject["name"], account["metadata"]["name"])
        self.assertEqual(subject["namespace"], account["metadata"]["namespace"])
        pod = one("Deployment")["spec"]["template"]["spec"]
        self.assertEqual(pod["serviceAccountName"], account["metadata"]["name"])

    def test_settings(self) -> None:
        """They are right, and name a provider whose class the manifests have."""
        [provider] = clusters_of(self.config().providers).values()
        for kind, key in (
            ("GatewayClass", "controllerName"),
            ("IngressClass", "controller"),
        ):
            self.assertEqual(one(kind)["metadata"]["name"], provider.of_class)
            self.assertEqual(one(kind)["spec"][key], CONTROLLER)
        self.assertTrue(is_ours(one("GatewayClass")))

    def test_ports(self) -> None:
        """Where the proxy listens is where the container says, the probes ask and the Service leads."""
        config, container = self.config(), self.container()
        listened = {one.endpoint.split(":")[1] for one in config.listeners.values()}
        ports = {
            each["name"]: str(each["containerPort"]) for each in container["ports"]
        }
        self.assertEqual(set(ports.values()), listened)
        service = one("Service")["spec"]
        self.assertEqual({each["targetPort"] for each in service["ports"]}, set(ports))
        selector = one("Deployment")["spec"]["selector"]["matchLabels"]
        labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
        self.assertEqual((service["selector"], labels), (selector, selector))
        for probe, path in (
            ("readinessProbe", "/readyz"),
            ("livenessProbe", "/healthz"),
            ("startupProbe", "/healthz"),
        ):
            asked = container[probe]["httpGet"]
            self.assertEqual(asked["path"], path)
            port = ports[asked["port"]]
            [listener] = [
                each
                for each in config.listeners.values()
                if each.endpoint.split(":")[1] == port
            ]
            self.assertTrue(listener.health)

    def test_files(self) -> None:
        """The settings are where the command reads them, and what is written has a place that may be written."""
        container = self.container()
        mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
        self.assertTrue(mounts[str(Path(container["args"][1]).parent)]["readOnly"])
        self.assertIn(self.config().state_dir, mounts)
        volumes = one("Deployment")["spec"]["template"]["spec"]["volumes"]
        self.assertEqual(
            {each["name"] for each in volumes}, {m["name"] for m in mounts.values()}
        )

    def test_confined(self) -> None:
        """Not root, without rights, and nothing of the image may be written."""
        pod = one("Deployment")["spec"]["template"]["spec"]["securityContext"]
        self.assertTrue(pod["runAsNonRoot"])
        self.assertEqual(pod["seccompProfile"], {"type": "RuntimeDefault"})
        own = self.container()["securityContext"]
        self.assertTrue(own["readOnlyRootFilesystem"])
        self.assertFalse(own["allowPrivilegeEscalation"])
        self.assertEqual(own["capabilities"], {"drop": ["ALL"]})
        user = f"--uid {pod['runAsUser']}"
        self.assertIn(user, (FOLDER.parents[1] / "Dockerfile").read_text())

    def test_end(self) -> None:
        """There is time to end: the lame duck's and that of exchanges."""
        timeouts = self.config().timeouts
        grace = one("Deployment")["spec"]["template"]["spec"][
            "terminationGracePeriodSeconds"
        ]
        self.assertGreater(grace, timeouts.lame_duck + timeouts.shutdown)

"""The proxy in a process of its own beside an API server of ours, with pods that come and go."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.served import served
from tests.kubernetes.things import route
from tests.system.engines import program
from tests.system.kubernetes_scenario import ROUTES, scenario


class RollingUpdateTests(SynchronousTestCase):
    def test_under_load(self) -> None:
        """Ten pods are replaced without a failed request; a route comes, and nonsense harms no other."""
        figures = asyncio.run(asyncio.wait_for(scenario(), 120))
        self.assertEqual((figures.failed, figures.why), (0, ""))
        self.assertGreater(figures.requests, 100)
        self.assertEqual((figures.leftovers, figures.switch_failed), (0, 0))
        self.assertEqual((figures.others_failed, figures.refused), (0, "False"))
        self.assertEqual(figures.bad_lines, [])


class KubectlTests(SynchronousTestCase):
    def test_real_client(self) -> None:
        """What kubectl applies, lists and deletes is what our API server has: it speaks as a real one."""
        kubectl = program("kubectl", "kubernetes-client")
        asyncio.run(asyncio.wait_for(self._act(kubectl), 60))

    async def _act(self, kubectl: str) -> None:
        cluster = Cluster()
        with tempfile.TemporaryDirectory() as folder:
            async with served(cluster) as serving:

                async def run(*words: str, given: Any = None) -> str:
                    process = await asyncio.create_subprocess_exec(
                        kubectl,
                        f"--server={serving.url}",
                        f"--cache-dir={folder}",
                        *words,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        env={
                            **os.environ,
                            "HOME": folder,
                            "KUBECONFIG": str(Path(folder) / "none"),
                        },
                    )
                    text = json.dumps(given).encode() if given is not None else None
                    out, err = await process.communicate(text)
                    self.assertEqual(process.returncode, 0, err)
                    return out.decode()

                item = {
                    "apiVersion": "gateway.networking.k8s.io/v1",
                    "kind": "HTTPRoute",
                    **route(),
                }
                await run("apply", "--validate=false", "-f", "-", given=item)
                there = cluster.get(ROUTES, "route", "default")
                self.assertEqual(there["spec"], item["spec"])
                item["spec"]["hostnames"] = ["a.test"]
                await run("apply", "--validate=false", "-f", "-", given=item)
                there = cluster.get(ROUTES, "route", "default")
                self.assertEqual(there["spec"]["hostnames"], ["a.test"])
                found = await run("get", "httproutes", "-o", "name")
                self.assertEqual(
                    found.split(), ["httproute.gateway.networking.k8s.io/route"]
                )
                await run("delete", "httproute", "route", "--wait=false")
                self.assertEqual(cluster.objects[ROUTES], {})

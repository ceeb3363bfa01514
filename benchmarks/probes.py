"""What active checks cost: CPU time per probe, and the share of a core for a rate.

    python benchmarks/probes.py [--targets 1000] [--interval 1] [--type http] [--client treq]

Starts an origin in a process of its own (nginx if there is one, else a small Python
server), probes it as so many targets with the production checker, check and reactor, and
reads the CPU time of this process only. Prints one line; exits 1 beyond the goal of 25 %
of a core for 1,000 probes a second. `--client treq` asks with treq and a `twisted.web` Agent
through the same endpoints instead, for comparison.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

GOAL_SECONDS_PER_PROBE = 0.25 / 1000

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 200 "ok"; }}
    }}
}}
"""

PYTHON = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
while True:
    peer, _ = listener.accept()
    try:
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    except OSError:
        pass
    peer.close()
"""


def cpu_seconds() -> float:
    """CPU time of this process, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def start_origin(port: int, folder: str) -> tuple[subprocess.Popen[bytes], str]:
    """An HTTP server that always answers 200."""
    nginx = shutil.which("nginx")
    if nginx:
        config = Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port))
        command = [nginx, "-p", folder, "-c", str(config)]
    else:
        command = [sys.executable, "-c", PYTHON, str(port)]
    origin = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return origin, "nginx" if nginx else "python"
        except OSError:
            time.sleep(0.05)
    origin.kill()
    raise SystemExit("the origin did not start")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def treq_check(reactor: Any, connect_to: Any, timeout: float) -> Any:
    """The least that an HTTP check must do, with treq: ask, look at the status, read the body, in time."""
    import treq
    from treq.client import HTTPClient
    from twisted.internet.defer import Deferred
    from twisted.web.client import Agent, HTTPConnectionPool
    from twisted.web.iweb import IAgentEndpointFactory
    from zope.interface import implementer

    from lolly_tx.domain.checks.health import Observation
    from lolly_tx.domain.target import Target

    @implementer(IAgentEndpointFactory)
    class Endpoints:
        target: Target

        def endpointForURI(self, uri: object) -> Any:
            return connect_to(self.target)

    endpoints = Endpoints()
    agent = Agent.usingEndpointFactory(
        reactor, endpoints, HTTPConnectionPool(reactor, False)
    )
    client = HTTPClient(agent)

    class TreqCheck:
        def check(self, target: Target) -> Any:
            endpoints.target = target  # asked for before `get` returns
            began = time.monotonic()
            asked = client.get(
                target.address + "/health", headers={"User-Agent": "bench"}
            )

            async def observed() -> Observation:
                response = await asked
                await treq.content(response)
                ok = response.code == 200
                return Observation(ok, str(response.code), time.monotonic() - began)

            return Deferred.fromCoroutine(observed()).addTimeout(timeout, reactor)

    return TreqCheck()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--reactor", default="lolly", choices=("lolly", "epoll"))
    parser.add_argument("--type", default="http", choices=("http", "tcp", "script"))
    parser.add_argument("--client", default="own", choices=("own", "treq"))
    asked = parser.parse_args()

    if asked.reactor == "lolly":
        from lolly_tx.net.sockets.reactor import install

        install()
    from twisted.internet import reactor

    from lolly_tx.config.checks import Health, Step
    from lolly_tx.config.pools import UpstreamTLS
    from lolly_tx.domain.balancers.round_robin import RoundRobin
    from lolly_tx.domain.checks.health import Thresholds
    from lolly_tx.domain.pool import Pool
    from lolly_tx.domain.target import Target
    from lolly_tx.net.checks.kinds import health_check
    from lolly_tx.net.sockets.endpoints import TargetEndpoints
    from lolly_tx.service.checks.checker import HealthChecker
    from lolly_tx.service.checks.shared_checks import SharedChecks

    class Silence:
        def emit(self, event: object) -> None:
            print(event, file=sys.stderr)

    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        origin, kind = start_origin(port, folder)
        try:
            steps = (Step(send="GET / HTTP/1.0\r\n\r\n", expect=" 200 "),)
            settings = Health(
                interval=asked.interval,
                type=asked.type,
                concurrency=256,
                steps=steps if asked.type == "script" else (),
            )
            pool = Pool(
                "bench",
                [
                    Target(
                        f"t{n}", f"http://127.0.0.1:{port}", host="127.0.0.1", port=port
                    )
                    for n in range(asked.targets)
                ],
                balancer=RoundRobin(),
                accrual=None,
                thresholds=Thresholds(),
                now=time.monotonic(),
                events=Silence(),  # type: ignore[arg-type]  # a fake
                random=random.Random(1),
            )
            own = partial(health_check, reactor, settings, now=time.monotonic)
            theirs = partial(
                treq_check, reactor, TargetEndpoints(reactor), settings.timeout
            )
            checker = HealthChecker(
                pool,
                SharedChecks().seat(
                    settings,
                    UpstreamTLS(),
                    own if asked.client == "own" else theirs,
                ),
                settings,
                clock=reactor,
                now=time.monotonic,
                random=random.Random(1),
            )
            marks: list[tuple[float, float, int]] = []
            ups: list[int] = []

            def mark() -> None:
                marks.append((time.monotonic(), cpu_seconds(), checker.probes))
                # Now: the end of the reactor cuts the probes in flight.
                ups.append(sum(node.health.up for node in pool.nodes.values()))

            checker.start()
            # The first round makes the endpoints; measured is what follows.
            reactor.callLater(2 * asked.interval, mark)
            reactor.callLater(2 * asked.interval + asked.seconds, mark)
            reactor.callLater(2 * asked.interval + asked.seconds, reactor.stop)
            reactor.run()
            checker.stop()
        finally:
            origin.terminate()
            origin.wait(10)
    (began, cpu_before, probes_before), (ended, cpu_after, probes_after) = marks
    probes = probes_after - probes_before
    each = (cpu_after - cpu_before) / probes
    up = min(ups)
    print(
        f"{asked.type} probes ({asked.client}) of {asked.targets} targets ({kind}, reactor {asked.reactor}): "
        f"{probes / (ended - began):.0f}/s, {each * 1e6:.0f} us of CPU each, "
        f"{each * 1000:.1%} of a core at 1,000/s (goal 25 %), {up} up"
    )
    return 0 if each <= GOAL_SECONDS_PER_PROBE and up == asked.targets else 1


if __name__ == "__main__":
    sys.exit(main())

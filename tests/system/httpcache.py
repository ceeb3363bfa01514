"""The public suite for HTTP caches (npm `http-cache-tests`) against the proxy, and against nginx in the same run.

    npm install --prefix /tmp/suite http-cache-tests
    python -m tests.system.httpcache /tmp/suite/node_modules/http-cache-tests [--json FILE]

Prints a row for each cache and the required tests that the proxy does not pass, each with its reason; ends with 1 if
there is one without. Needs node; without nginx there is one row. It takes half a minute for each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

REASONS = {
    "age-parse-prefix": "an Age with several values is no number, so the answer is stale; the suite's own words for it"
    ' are "should consider ... to be stale", and it wants that of `0, 0`',
    "headers-store-Set-Cookie": "answers that set cookies are not stored",
    "headers-store-Set-Cookie2": "answers that set cookies are not stored",
    "304-etag-update-response-Set-Cookie": "answers that set cookies are not stored",
    "304-etag-update-response-Set-Cookie2": "answers that set cookies are not stored",
    "headers-store-Transfer-Encoding": "the suite's server sends a transfer coding that does not exist: 502",
    **{
        f"stale-close-{name}": "asks for a cache that gives stale answers where nobody has allowed it"
        for name in ("must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2")
    },
}
"""Why required tests are not passed."""

_LIST = """
import tests from './tests/index.mjs'
import surrogate from './tests/surrogate-control.mjs'
tests.push(surrogate)
console.log(JSON.stringify(tests.flatMap(s => s.tests).filter(t => !t.browser_only)
  .map(t => [t.id, t.kind || 'required', t.depends_on || []])))
"""

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_cache_path {folder}/cache keys_zone=c:10m inactive=60m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{origin}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache c; proxy_cache_revalidate on; proxy_set_header Host $http_host;
    }}
  }}
}}
"""

LOLLY = """
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
[[route]]
use = [{{ type = "cache", cache = "pages" }}]
pool = "origin"
[cache.pages]
[pool.origin]
targets = ["http://127.0.0.1:{origin}"]
"""


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when somebody listens. Raises RuntimeError after 30 s, or when `process` has ended."""
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nobody listens on port {port}")


@contextmanager
def running(
    command: list[str], port: int, env: Mapping[str, str], cwd: Path
) -> Iterator[None]:
    """A process that listens on `port`."""
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, process)
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def results(
    suite: Path, command: Callable[[Path, int, int], list[str]]
) -> dict[str, Any]:
    """What the suite finds of a cache. `command(folder, port, origin)`: what starts it."""
    origin, port = free_port(), free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "npm_config_protocol": "http",
            "npm_config_port": str(origin),
            "npm_config_pidfile": str(folder / "server.pid"),
            "npm_config_base": f"http://127.0.0.1:{port}",
            "npm_config_id": "",
            "npm_package_config_id": "",
        }
        stack.enter_context(running(["node", "server/server.mjs"], origin, env, suite))
        stack.enter_context(running(command(folder, port, origin), port, env, ROOT))
        done = subprocess.run(
            ["node", "--no-warnings", "cli.mjs"],
            cwd=suite,
            env=env,
            capture_output=True,
            timeout=300,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lolly(folder: Path, port: int, origin: int) -> list[str]:
    """The proxy with a cache as it is without settings."""
    file = folder / "lolly.toml"
    file.write_text(LOLLY.format(port=port, origin=origin))
    return [sys.executable, "-m", "lolly_tx.cli", "run", str(file)]


def nginx(folder: Path, port: int, origin: int) -> list[str]:
    """The same of nginx: `proxy_cache`, which validates."""
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=port, origin=origin))
    return ["nginx", "-p", str(folder), "-c", str(file)]


VERDICTS = ("passed", "failed", "not reached", "not applicable")
"""Not reached: the set-up needs something stored that is not. Not applicable: it only asks more of what is not so."""


class Tests:
    """The tests of the suite, and what results come to."""

    def __init__(self, suite: Path) -> None:
        done = subprocess.run(
            ["node", "--no-warnings", "--input-type=module", "-e", _LIST],
            cwd=suite,
            capture_output=True,
            timeout=30,
            check=True,
        )
        self.all = {
            name: (kind, needs) for name, kind, needs in json.loads(done.stdout)
        }

    def verdict(self, name: str, found: Mapping[str, Any]) -> str:
        """One of `VERDICTS`."""
        result = found.get(name)
        for other in self.all[name][1]:
            if self.verdict(other, found) != "passed":
                return "not applicable"
        if result is True:
            return "passed"
        setup = result is not None and result[0] == "Setup"
        return "not reached" if setup else "failed"

    def counted(self, found: Mapping[str, Any]) -> Counter[tuple[str, str]]:
        """How many there are of each kind and verdict."""
        return Counter(
            (kind, self.verdict(name, found)) for name, (kind, _) in self.all.items()
        )

    def not_passed(self, found: Mapping[str, Any]) -> dict[str, str]:
        """The required tests that are not passed, each with its verdict."""
        return {
            name: verdict
            for name, (kind, _) in self.all.items()
            if kind == "required" and (verdict := self.verdict(name, found)) != "passed"
        }


def main() -> int:
    """Run it, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", type=Path, help="the folder of http-cache-tests")
    parser.add_argument("--json", type=Path, help="where all results go")
    asked = parser.parse_args()
    suite = asked.suite.resolve()
    tests = Tests(suite)
    found = {"lolly": results(suite, lolly)}
    if shutil.which("nginx"):
        found["nginx"] = results(suite, nginx)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    print(f"{'cache':8}" + "".join(f"{one:>16}" for one in (*VERDICTS, "optimal")))
    for name, one in found.items():
        counts = tests.counted(one)
        row = [counts["required", verdict] for verdict in VERDICTS]
        row.append(counts["optimal", "passed"])
        print(f"{name:8}" + "".join(f"{number:16}" for number in row))
    missing = tests.not_passed(found["lolly"])
    for name, verdict in missing.items():
        print(f"{verdict}: {name}: {REASONS.get(name, 'NO REASON')}")
    return 1 if set(missing) - set(REASONS) else 0


if __name__ == "__main__":
    sys.exit(main())

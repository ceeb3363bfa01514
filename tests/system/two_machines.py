"""Two machines with a proxy each, one address between them by keepalived, and clients that come all the time.

    python -m tests.system.two_machines         prints what is lost when the one that has the address is killed, frozen,
                                                cut off, and drained

The machines are network namespaces on one bridge; the configuration is etc/keepalived/keepalived.conf with other
addresses.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs

from tests.system.engines import program
from tests.system.namespaces import Machines, why_not

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "etc" / "keepalived" / "keepalived.conf"
NET = "10.78.0"
ADDRESS = f"{NET}.100"
MACHINES = {"a": f"{NET}.11", "b": f"{NET}.12"}
LAME_DUCK = 30
MOST_SECONDS = 60

PROXY = f"""
[admin]
endpoint = "tcp:8081:interface=127.0.0.1"

[listener.web]
endpoint = "tcp:80"

[[route]]
pool = "site"

[pool.site]
targets = ["http://{NET}.21:80", "http://{NET}.22:80"]

[timeouts]
lame_duck = "{LAME_DUCK}s"
"""

CLIENT = """
import json, sys, threading, time, http.client
address, rate = sys.argv[1], float(sys.argv[2])
seen, going = [], True
def ask():
    began = time.monotonic()
    try:
        c = http.client.HTTPConnection(address, timeout=2)
        c.request("GET", "/")
        ok = c.getresponse().status == 200
        c.close()
    except (OSError, http.client.HTTPException):
        ok = False
    seen.append((began, ok))
def load():
    due = time.monotonic()
    while going:
        threading.Thread(target=ask, daemon=True).start()
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
threading.Thread(target=load, daemon=True).start()
sys.stdin.read()
going, until = False, time.monotonic() + 3
while threading.active_count() > 1 and time.monotonic() < until:
    time.sleep(0.05)
print(json.dumps(seen))
"""
"""New connections all the time; when its input ends it prints when each began and whether it went well."""


@attrs.frozen
class Figures:
    """What one case came to. `moved`: seconds until the other one had the address. `asked`, `lost`: requests.

    `gap`: seconds from the first to the last that was lost. `late`: of those lost, begun two seconds after the move.
    """

    moved: float
    asked: int
    lost: int
    gap: float
    late: int

    def __str__(self) -> str:
        return (
            f"the address moved after {self.moved:.1f} s; {self.lost} of {self.asked} requests"
            f" lost, within {self.gap:.1f} s"
        )


class TwoMachines:
    """The network, both proxies, both keepalived, and the targets.

    Raises `SkipTest` where a program is missing and may be; see `tests.system.engines.program`.
    """

    def __init__(self, net: Machines, folder: Path) -> None:
        self._keepalived = program("keepalived", "keepalived")
        program("curl", "curl")  # its script asks with it
        self._net = net
        self._folder = folder
        self._proxies: dict[str, subprocess.Popen[bytes]] = {}
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        net.add("switch")
        net.at("switch", *"ip link add br0 type bridge".split())
        net.at("switch", *"ip link set br0 up".split())
        places = {"client": ".2", "t1": ".21", "t2": ".22", "a": ".11", "b": ".12"}
        self._ports: dict[str, str] = {}
        for number, (name, last) in enumerate(places.items()):
            net.add(name)
            net.join("switch", "", name, f"{NET}{last}/24")
            net.at("switch", *f"ip link set l{number} master br0".split())
            self._ports[name] = f"l{number}"
        for name in ("t1", "t2"):
            net.origin(name, f"{NET}{places[name]}", 80, name)
        (folder / "lolly.toml").write_text(PROXY)
        for name in MACHINES:
            self.serve(name)
            self.keep(name)

    def serve(self, name: str) -> None:
        """Start the proxy of a machine."""
        words = (sys.executable, "-m", "lolly_tx.cli", "run")
        file = str(self._folder / "lolly.toml")
        log = self._folder / f"{name}.log"
        self._proxies[name] = self._net.start(name, *words, file, cwd=ROOT, log=log)

    def keep(self, name: str) -> None:
        """Start keepalived there."""
        other = next(one for one in MACHINES if one != name)
        text = SAMPLE.read_text()
        for pattern, said in (
            ("router_id lolly-a", f"router_id lolly-{name}"),
            ("script_user nobody", "script_user root"),
            ("interface eth0", "interface l0"),
            (r"192\.0\.2\.11", MACHINES[name]),
            (r"192\.0\.2\.12", MACHINES[other]),
            (r"192\.0\.2\.10/24", f"{ADDRESS}/24"),
        ):
            text, count = re.subn(pattern, said, text)
            assert count, pattern
        file = self._folder / f"keepalived-{name}.conf"
        file.write_text(text)
        pids = self._folder / f"keepalived-{name}"
        words = (self._keepalived, "--dont-fork", "--log-console", "--vrrp")
        self._keepers[name] = self._net.start(
            name,
            *words,
            *("--use-file", str(file), "--pid", f"{pids}.pid"),
            *("--vrrp_pid", f"{pids}-vrrp.pid"),
            log=self._folder / f"keepalived-{name}.log",
        )

    def has_address(self, name: str) -> bool:
        """Whether that machine has the shared address."""
        return ADDRESS in self._net.at(name, "ip", "-o", "address", "show", "dev", "l0")

    def ready(self, name: str) -> bool:
        """Whether its proxy says so."""
        words = "curl -fsS -m 1 http://127.0.0.1:8081/readyz".split()
        try:
            self._net.at(name, *words)
        except subprocess.SubprocessError:
            return False
        return True

    def settle(self, seconds: float = 90.0) -> str:
        """Wait until both are ready and one has the address; which one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if all(map(self.ready, MACHINES)):
                having = [name for name in MACHINES if self.has_address(name)]
                if len(having) == 1:
                    return having[0]
            time.sleep(0.1)
        raise AssertionError(f"not settled in {seconds:g} s; see {self._folder}")

    # -- what happens to the one that has the address

    def kill(self, name: str) -> None:
        """The proxy dies."""
        self._proxies[name].kill()

    def freeze(self, name: str) -> None:
        """The proxy hangs: connections are taken, and nobody answers."""
        self._proxies[name].send_signal(signal.SIGSTOP)

    def cut(self, name: str) -> None:
        """The machine is gone."""
        self._net.at("switch", *f"ip link set {self._ports[name]} down".split())

    def drain(self, name: str) -> None:
        """The proxy is told to stop."""
        self._proxies[name].terminate()

    def mend(self, name: str) -> None:
        """All is as before, but for who has the address."""
        self._net.at("switch", *f"ip link set {self._ports[name]} up".split())
        self._net.end(self._proxies[name])
        self.serve(name)

    def case(self, what: str, rate: float = 100.0, after: float = 3.0) -> Figures:
        """Let `what` happen to the machine that has the address, under load, and mend it again.

        `rate`: requests a second. `after`: seconds that they go on when the address has moved.
        """
        having = self.settle()
        other = next(one for one in MACHINES if one != having)
        client = subprocess.Popen(
            self._net.words("client", sys.executable, "-c", CLIENT, ADDRESS, str(rate)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            time.sleep(1.0)
            began = time.monotonic()
            getattr(self, what)(having)
            while not self.has_address(other):
                if time.monotonic() - began > MOST_SECONDS:
                    raise AssertionError(f"{what}: not moved in {MOST_SECONDS} s")
                time.sleep(0.02)
            moved = time.monotonic()
            time.sleep(after)
            said, _ = client.communicate(timeout=30)
        finally:
            Machines.end(client)
        self.mend(having)
        seen = [(at, ok) for at, ok in json.loads(said)]
        lost = [at for at, ok in seen if not ok]
        gap = max(lost) - min(lost) if lost else 0.0
        late = sum(at > moved + 2.0 for at in lost)
        return Figures(moved - began, len(seen), len(lost), gap, late)


def main() -> None:
    """All cases."""
    why = why_not()
    if why:
        sys.exit(f"cannot be run: {why}")
    with tempfile.TemporaryDirectory(prefix="lolly-two-") as name, Machines() as net:
        machines = TwoMachines(net, Path(name))
        for what in ("kill", "freeze", "cut", "drain"):
            print(f"{what}: {machines.case(what)}", flush=True)


if __name__ == "__main__":
    main()

"""The dashboard in a browser, while an outage plays: `python -m tests.system.dashboard [--axe FILE]`.

Headless Chromium (Debian's `chromium`) looks at a proxy with two pools. Targets die and come back, the proxy is stopped
for some seconds and goes on, the stream is cut, somebody signs in, drains a target and signs out; then a second proxy
has a thousand targets. Each point is printed with what was seen; the status is 1 if one is not right. `--axe`:
`axe.min.js` of the npm package axe-core, whose serious findings count. `--pictures`: where screenshots go.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.system.chromium import Chromium
from tests.system.test_proxy import (
    ENVIRONMENT,
    TWISTD,
    free_port,
    listening,
    wait_for,
)

TOKEN = "a-token-of-the-dashboard-test"

CONFIG = """
state_dir = "state"
[admin]
endpoint = "tcp:{admin}:interface=127.0.0.1"
token = "{token}"
[listener.web]
endpoint = "tcp:{web}:interface=127.0.0.1"
[[route]]
path = "/api/"
pool = "api"
[[route]]
pool = "app"
[pool.app]
targets = [{app}]
health = {{ path = "/", interval = "1s", timeout = "1s" }}
[pool.api]
targets = [{api}]
health = {{ path = "/", interval = "1s", timeout = "1s" }}
"""

MANY = """
[admin]
endpoint = "tcp:{admin}:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:{web}:interface=127.0.0.1"
[[route]]
pool = "many"
[pool.many]
targets = [{targets}]
"""


class Origin:
    """A target that can die and come back."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self.live()

    def live(self) -> None:
        """Serve."""
        self._server = made = ThreadingHTTPServer(("127.0.0.1", self.port), _Answers)
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()

    def die(self) -> None:
        """Refuse connections."""
        made, self._server = self._server, None
        if made is not None:
            made.shutdown()
            made.server_close()


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Two bytes."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class Report:
    """What was found."""

    def __init__(self) -> None:
        self.wrong = 0

    def point(self, what: str, good: object, seen: object = "") -> None:
        """One point."""
        self.wrong += not good
        print(f"{'ok   ' if good else 'WRONG'} {what}{f': {seen}' if seen else ''}")

    def waits(self, what: str, wait: Callable[[], float], most: float) -> None:
        """One that comes about in time."""
        try:
            took = wait()
        except TimeoutError as error:
            self.point(what, False, error)
        else:
            self.point(what, took <= most, f"{took:.1f} s")


@contextmanager
def proxy(folder: Path, text: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy with these settings."""
    (folder / "lolly.toml").write_text(text)
    words = ["-n", "--pidfile=", "lolly", "--config", str(folder / "lolly.toml")]
    with open(folder / "proxy.log", "w") as log:
        process = subprocess.Popen(
            [*TWISTD, *words], env=ENVIRONMENT, cwd=folder, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: listening(port), "the proxy")
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def quoted(origins: list[Origin]) -> str:
    """As a list in TOML."""
    return ", ".join(
        f'"http://127.0.0.1:{one.port}"' if isinstance(one, Origin) else one
        for one in origins
    )


ROW = "document.querySelector('#wrong-rows tr').innerText"
BAD = "document.querySelectorAll('#target-rows .strip rect.bad').length"
LIVE = "document.body && document.body.classList.contains('live')"


def remember(folder: Path, origins: list[Origin]) -> None:
    """As a proxy leaves it that ran until a minute ago, and whose second target was out for a while."""
    now = time.time()
    told = [(3300, number, "up") for number in range(5)]
    told += [(2000, 1, "unhealthy"), (1650, 1, "up"), (2900, 2, "draining")]
    told += [(2500, 2, "up")]
    lines = [
        json.dumps(
            [
                now - ago,
                "app" if number < 3 else "api",
                f"http-127-0-0-1-{origins[number].port}",
                word,
            ]
        )
        for ago, number, word in told
    ]
    path = folder / "state" / "history.jsonl"
    path.parent.mkdir()
    path.write_text("\n".join(lines) + "\n")
    os.utime(path, (now - 60, now - 60))


def outage(page: Chromium, folder: Path, report: Report, chosen: Any) -> None:
    """Two pools; what a person sees."""
    origins = [Origin() for _ in range(5)]
    admin, web = free_port(), free_port()
    text = CONFIG.format(
        admin=admin,
        web=web,
        token=TOKEN,
        app=quoted(origins[:3]),
        api=quoted(origins[3:]),
    )
    remember(folder, origins)
    over = threading.Event()

    def load() -> None:
        while not over.wait(0.03):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{web}/", timeout=5).read()
            except OSError:
                pass

    with proxy(folder, text, admin) as process:
        threading.Thread(target=load, daemon=True).start()
        page.view(1280, 860)
        page.go(f"http://127.0.0.1:{admin}/")
        page.until(LIVE)
        page.until("document.title.startsWith('All targets')")
        strips = page.run(BAD)
        report.point("a strip knows what was before the start", strips == 1, strips)
        time.sleep(6)  # for rates
        picture(page, chosen, "before")
        page.run("document.getElementById('filter').focus()")

        origins[0].die()
        wait_for(lambda: b" 1 of 3 out" in ask(admin), "the verdict")
        report.waits(
            "1, 2 a dead target within 2 s",
            lambda: page.until("document.title.startsWith('app: 1 of 3 out')"),
            2.0,
        )
        seen = page.run("document.querySelector('h1').innerText")
        report.point("1 the same in h1", seen == "app: 1 of 3 out", seen)
        # Its traffic may have noticed first.
        words = ("down", "check: connection refused", "the next in", " s")
        script = f"{list(words)}.every(word => {ROW}.includes(word))"
        report.waits("2 its row", lambda: page.until(script), 5.0)
        seen = page.run("document.getElementById('announcer').textContent")
        report.point("6 it is announced", seen == "app: 1 of 3 out", seen)
        seen = page.run("document.activeElement.id")
        report.point("6 the focus stays", seen == "filter", seen)
        time.sleep(2)
        picture(page, chosen, "during")
        shape(page, report)
        axe(page, report, chosen, "light")
        background = "getComputedStyle(document.documentElement).backgroundColor"
        light = page.run(background)
        page.view(1280, 860, "dark")
        dark = page.run(background)
        report.point("12 other colours in the dark", light != dark, (light, dark))
        picture(page, chosen, "dark")
        axe(page, report, chosen, "dark")
        page.view(320, 800)
        wide = page.run("document.documentElement.scrollWidth")
        report.point("15 fits into 320 px", wide <= 320, wide)
        picture(page, chosen, "narrow")
        axe(page, report, chosen, "narrow")
        page.view(1280, 860)

        for one in origins[3:]:
            one.die()
        report.waits(
            "3 a pool with no target stands first",
            lambda: page.until("document.title.startsWith('api: 2 of 2 out')"),
            5.0,
        )
        seen = page.run("document.querySelector('#pool-rows tr').innerText")
        report.point("3 with the word", seen.split()[:2] == ["api", "out"], seen[:40])
        for one in (origins[0], *origins[3:]):
            one.live()
        report.waits(
            "2 all back",
            lambda: page.until("document.title.startsWith('All targets')"),
            30.0,
        )
        picture(page, chosen, "after")
        strips = page.run(BAD)
        report.point("the strips remember", strips >= 4, strips)

        process.send_signal(signal.SIGSTOP)
        report.waits(
            "9 a frozen proxy is stale within 5 s",
            lambda: page.until("/^stale, [0-9]+ s$/.test(pulse_text())"),
            5.5,
        )
        seen = page.run(
            "Array.from(document.querySelectorAll('#target-rows button')).every(b => b.disabled)"
        )
        report.point("9 writes are disabled", seen)
        process.send_signal(signal.SIGCONT)
        report.waits("9 live again", lambda: page.until(LIVE), 10.0)
        page.run("window.cut = true; stream.abort(); rows.delete('proxy')")
        report.waits(
            "10 a cut stream comes back with everything",
            lambda: page.until("rows.has('proxy')"),
            5.0,
        )

        page.run(
            "take('delta', {at, events: [], rows: {'target/app/x': {"
            "...Array.from(rows.values()).find(one => one.pool === 'app'),"
            " id: '<img src=x onerror=window.hit=1>', state: 'unhealthy',"
            " cause: '<script>window.hit=1</script>'}}})"
        )
        seen = page.run("document.querySelectorAll('tbody img, tbody script').length")
        shown = page.run(ROW)
        report.point("11 markup is text", seen == 0 and "<img" in shown, shown[:60])
        page.run(
            "(() => { const s = document.createElement('script'); s.textContent = 'window.hit = 1';"
            " document.body.append(s); })()"
        )
        report.point("8 no other script runs", not page.run("!!window.hit"))
        policy = page_policy(admin)
        strict = "default-src 'none'" in policy and "unsafe-" not in policy
        report.point("8 the policy allows nothing that is not named", strict, policy)

        writes(page, report, admin, chosen)
        hosts = {
            told["params"]["request"]["url"].split("/")[2]
            for told in page.events
            if told["method"] == "Network.requestWillBeSent"
            and told["params"]["request"]["url"].startswith("http")
        }
        report.point("7 no other host", hosts == {f"127.0.0.1:{admin}"}, hosts)
        urls = [
            told["params"]["request"]["url"]
            for told in page.events
            if told["method"] == "Network.requestWillBeSent"
        ]
        report.point("14 no token in a URL", not any(TOKEN in url for url in urls))
        over.set()
    for one in origins:
        one.die()
    log = (folder / "proxy.log").read_text()
    report.point("no traceback of the proxy", "Traceback" not in log)
    errors = [
        told for told in page.events if told["method"] == "Runtime.exceptionThrown"
    ]
    report.point("no error of the page", not errors, errors[:1] or "")


def shape(page: Chromium, report: Report) -> None:
    """What the page is made of, while a target is down."""
    seen = page.run(
        "Array.from(document.querySelectorAll('.badge')).every(b => b.innerText.trim())"
        " && document.querySelectorAll('.badge').length > 5"
    )
    report.point("4 each state has its word", seen)
    seen = page.run(
        "Array.from(document.querySelectorAll('table')).filter(t => t.rows.length).map(t => [t.dataset.rows,"
        " !!t.caption && !!t.caption.textContent.trim(), t.querySelectorAll('th').length > 0,"
        " Array.from(t.querySelectorAll('th')).every(h => h.scope)])"
    )
    good = bool(seen) and all(all(each[1:]) for each in seen)
    report.point(
        "5 captions, headings with scope",
        good,
        [each[0] for each in seen if not all(each[1:])],
    )
    seen = page.run(
        "[document.querySelectorAll('h1').length, document.documentElement.lang,"
        " document.querySelectorAll('main').length, document.querySelectorAll('header').length,"
        " document.getElementById('announcer').getAttribute('role')]"
    )
    report.point(
        "5, 6 one h1, language, landmarks, live region",
        seen == [1, "en", 1, 1, "status"],
        seen,
    )


def page_policy(admin: int) -> str:
    """Content-Security-Policy of the page."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{admin}/", headers={"Accept": "text/html"}
    )
    with urllib.request.urlopen(asked) as answer:
        return str(answer.headers["Content-Security-Policy"])


def writes(page: Chromium, report: Report, admin: int, chosen: Any) -> None:
    """Sign in, drain, set a weight, sign out."""
    path = f"http://127.0.0.1:{admin}/api/pools/app/x/drain"
    report.point("13 401 without a session", status(path) == 401)
    origin = {"Origin": "http://127.0.0.1:1"}
    report.point("13 403 for a foreign page", status(path, origin) == 403)
    click = "document.querySelector('#target-rows tr:last-child button').click()"
    page.run(click)
    page.until("document.getElementById('signing').open")
    page.type(TOKEN)
    page.key("Enter", text="\r")
    page.until("document.getElementById('asking').open")
    report.point("13 asks for confirmation", True, page.run("asked.verb"))
    report.point("14 no script sees the cookie", page.run("document.cookie") == "")
    [cookie] = page.ask("Network.getCookies")["cookies"]
    good = cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    report.point("14 HttpOnly, SameSite=Strict", good, cookie["name"])
    page.run("document.getElementById('asking-yes').click()")
    report.waits(
        "13 the row changes by its event",
        lambda: page.until(
            "Array.from(rows.values()).some(r => r.state === 'draining')"
        ),
        5.0,
    )
    page.until("document.getElementById('sign').textContent === 'Sign out'")
    weight(page, report, admin, chosen)
    page.run("window.ended = stream.signal; document.getElementById('sign').click()")
    report.waits(
        "14 signing out ends the stream",
        lambda: page.until("window.ended.aborted && !session.session"),
        5.0,
    )


def weight(page: Chromium, report: Report, admin: int, chosen: Any) -> None:
    """Set a weight by keyboard."""
    button = "document.querySelector('#target-rows button[data-word=weight]')"
    page.until(f"{button} && !{button}.disabled")
    key = page.run(f"{button}.closest('tr').dataset.key")
    page.run(f"{button}.focus()")
    page.until("document.activeElement.dataset.word === 'weight'")
    page.key("Enter", text="\r")
    page.until("document.getElementById('asking').open")
    page.until("document.activeElement.id === 'weight'")
    axe(page, report, chosen, "weight")
    page.type("0")
    page.key("Enter", text="\r")
    still = page.run("document.getElementById('asking').open && !busy.size")
    report.point("13 a weight that is none is not sent", still)
    page.type("7")
    picture(page, chosen, "weight")
    page.key("Enter", text="\r")
    report.waits(
        "13 another weight by keyboard, shown in its row",
        lambda: page.until(
            f"rows.get('{key}').weight === 7 && !document.getElementById('asking').open"
            f" && Array.from(document.querySelectorAll('#target-rows tr')).some("
            f"r => r.dataset.key === '{key}' && r.innerText.includes('weight 7'))"
        ),
        5.0,
    )
    _, pool, name = key.split("/")
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/api/pools/{pool}") as answer:
        targets = {one["id"]: one["weight"] for one in json.load(answer)["targets"]}
    report.point("13 the proxy has it", targets[name] == 7, targets[name])
    seen = page.run("document.getElementById('process').textContent")
    report.point("13 told as a run-time change", "run time: 1 target." in seen)


def many(page: Chromium, folder: Path, report: Report, count: int = 1000) -> None:
    """A proxy with many targets."""
    admin, web = free_port(), free_port()
    targets = ", ".join(f'"http://127.0.0.1:{20000 + n}"' for n in range(count))
    with proxy(folder, MANY.format(admin=admin, web=web, targets=targets), admin):
        page.go("about:blank")
        page.go(f"http://127.0.0.1:{admin}/")
        page.until("document.querySelectorAll('#target-rows tr').length >= 100")
        took = page.run(
            "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        )
        report.point(
            f"15 first paint of {count} targets", took < 1000, f"{took:.0f} ms"
        )
        took = page.run("performance.now()")
        report.point("15 all there", took < 5000, f"{took:.0f} ms since the start")
        page.key("/", "Slash", "/")
        page.type("20777")
        page.until("document.querySelectorAll('#target-rows tr').length === 1")
        seen = page.run("document.getElementById('shown').textContent")
        report.point("15 a filter by keyboard", seen == "1 of 1,000 shown", seen)
        page.run(
            "(() => { const box = document.getElementById('filter'); box.value = '';"
            " box.dispatchEvent(new Event('input')); })()"
        )
        page.run(
            "(() => { const [key, row] = Array.from(rows).find(([, one]) => (one.address || '').endsWith(':20999'));"
            " take('delta', {at, events: [], rows: {[key]:"
            " {...row, state: 'unhealthy', cause: 'told by the test'}}}); })()"
        )
        first = "document.querySelector('#target-rows tr').innerText"
        report.waits(
            "15 what is wrong stands first of a thousand",
            lambda: page.until(
                f"{first}.includes(':20999') && {first}.includes('down')"
            ),
            5.0,
        )
        page.view(320, 800)
        wide = page.run("document.documentElement.scrollWidth")
        report.point("15 a thousand fit into 320 px", wide <= 320, wide)
        moves = "getComputedStyle(document.querySelector('.badge')).transitionDuration"
        still = page.run(moves)
        page.view(320, 800, motion="no-preference")
        moving = page.run(moves)
        report.point(
            "15 nothing moves for who likes it so",
            still == "0s" != moving,
            (still, moving),
        )


def ask(admin: int) -> bytes:
    """The first piece of the stream."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/api/live") as answer:
        answer.readline(), answer.readline(), answer.readline()
        return bytes(answer.readline())


def status(url: str, fields: dict[str, str] | None = None) -> int:
    """Of a POST."""
    asked = urllib.request.Request(url, b"", fields or {}, method="POST")
    try:
        with urllib.request.urlopen(asked) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def picture(page: Chromium, chosen: Any, name: str) -> None:
    """If they are wanted."""
    if chosen.pictures is not None:
        page.picture(chosen.pictures / f"dashboard-{name}.png")


def axe(page: Chromium, report: Report, chosen: Any, where: str) -> None:
    """What axe finds, if it is there."""
    if chosen.axe is None:
        return
    page.run(chosen.axe.read_text() + "; 0")
    found = page.run(
        "axe.run().then(r => r.violations.map(v => [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 90)]))"
    )
    bad = [one for one in found if one[0] in ("serious", "critical")]
    report.point(f"5, 12 axe finds nothing serious ({where})", not bad, found)


def main() -> int:
    """All of it."""
    options = argparse.ArgumentParser()
    options.add_argument("--chromium", default="chromium")
    options.add_argument("--axe", type=Path)
    options.add_argument("--pictures", type=Path)
    chosen = options.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Chromium(folder, chosen.chromium) as page:
            page.ask(
                "Page.addScriptToEvaluateOnNewDocument",
                source="window.pulse_text = () => document.getElementById('pulse').textContent",
            )
            outage(page, folder, report, chosen)
            many(page, folder, report)
    print(f"{report.wrong} wrong" if report.wrong else "all right")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

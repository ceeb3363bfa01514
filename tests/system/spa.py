"""A single-page application in a browser, through the proxy: `python -m tests.system.spa FOLDER`.

An application of vite and react (`npm create vite`, then given two pages, one of them loaded when it is asked for) is
built in FOLDER, if it is not there, and served by `compress`, `cache` and `files` with `try`. Headless Chromium
(Debian's `chromium`) opens it, goes from page to page, comes in by a deep link and loads it again; its console has to
stay empty. Then every answer it got is looked at: what may be kept, for how long, what was packed, what was asked
again, and what a cache in front would have to know. Each point is printed with what was seen; the status is 1 if one
is wrong. Needs npm and its registry.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.system.chromium import Chromium
from tests.system.dashboard import Report, proxy
from tests.system.test_proxy import free_port

YEAR = 365 * 86400
LEAST = 1024
"""Bytes of a body that is worth packing."""

CONFIG = """
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
use = ["small", "kept"]

[middleware.small]
type = "compress"
[middleware.kept]
type = "cache"
cache = "pages"
[cache.pages]

[[route]]
path = "/assets/"
use = [{{ type = "headers", response = {{ set = {{ Cache-Control = "public, max-age=31536000, immutable" }} }} }}]
files = {{ root = "{root}" }}

[[route]]
path = "/"
files.root = "{root}"
files.try = ["$path", "/index.html"]
files.only_themselves = [".js", ".css", ".map"]
files.expires = "epoch"
"""

APP = """
import { lazy, Suspense, useEffect, useState } from 'react'
import './App.css'
const Far = lazy(() => import('./Far.jsx'))
export default function App() {
  const [path, setPath] = useState(location.pathname)
  useEffect(() => {
    const back = () => setPath(location.pathname)
    addEventListener('popstate', back)
    return () => removeEventListener('popstate', back)
  }, [])
  const go = (event) => {
    event.preventDefault()
    history.pushState({}, '', event.currentTarget.getAttribute('href'))
    setPath(location.pathname)
  }
  return (
    <main>
      <h1>{path === '/' ? 'Home' : 'Elsewhere'}</h1>
      <nav><a id="home" href="/" onClick={go}>home</a> <a id="far" href="/far/away" onClick={go}>far</a></nav>
      {path !== '/' && <Suspense fallback="..."><Far path={path} /></Suspense>}
    </main>
  )
}
"""
FAR = """
const rows = Array.from({ length: 300 }, (_, n) => `row ${n}`)
export default function Far({ path }) {
  return <section><p id="where">at {path}</p><ul>{rows.map((row) => <li key={row}>{row}</li>)}</ul></section>
}
"""
INDEX = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="UTF-8" /><link rel="icon" type="image/svg+xml" href="/vite.svg" />
    <meta name="viewport" content="width=device-width, initial-scale=1.0" />
    <title>An application</title>
    <!-- {padding} -->
  </head>
  <body><div id="root"></div><script type="module" src="/src/main.jsx"></script></body>
</html>
"""


def built(folder: Path) -> Path:
    """The folder of the application's files, which are made if they are not there."""
    app, dist = folder / "app", folder / "app" / "dist"
    if dist.is_dir():
        return dist
    folder.mkdir(parents=True, exist_ok=True)

    def npm(*words: str, where: Path = app) -> None:
        subprocess.run(["npm", *words], cwd=where, check=True, timeout=600)

    if not app.is_dir():
        template = ("app", "--", "--template", "react")
        npm("create", "--yes", "vite@5", *template, where=folder)
    (app / "src" / "App.jsx").write_text(APP)
    (app / "src" / "Far.jsx").write_text(FAR)
    (app / "index.html").write_text(INDEX.replace("{padding}", "padding " * 200))
    npm("install", "--no-audit", "--no-fund")
    npm("run", "build")
    return dist


class Visit:
    """What a browser tells of one visit: what it got, what was said on its console."""

    def __init__(self, page: Chromium) -> None:
        self._page = page
        page.events.clear()

    def told(self, method: str) -> list[dict[str, Any]]:
        """All it told by that word."""
        self._page.run("1")  # whatever came meanwhile is read with the answer
        events = [one for one in self._page.events if one["method"] == method]
        return [one["params"] for one in events]

    def complaints(self) -> list[str]:
        """Of the console, of scripts, of what could not be loaded."""
        found = [
            one["entry"]["text"]
            for one in self.told("Log.entryAdded")
            if one["entry"]["level"] in ("error", "warning")
        ]
        found += [
            str(one["args"])
            for one in self.told("Runtime.consoleAPICalled")
            if one["type"] in ("error", "warning", "assert")
        ]
        found += [
            str(one["exceptionDetails"]) for one in self.told("Runtime.exceptionThrown")
        ]
        found += [one["errorText"] for one in self.told("Network.loadingFailed")]
        return found

    def answers(self, kept: bool = False) -> list[dict[str, Any]]:
        """What it got from the network; `kept`: out of its own cache."""
        own = {one["requestId"] for one in self.told("Network.requestServedFromCache")}
        return [
            one["response"]
            for one in self.told("Network.responseReceived")
            if kept == (one["requestId"] in own or one["response"]["fromDiskCache"])
        ]


def fields_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """By lower-case name."""
    return {name.lower(): value for name, value in answer["headers"].items()}


def audit(report: Report, answers: list[dict[str, Any]], folder: Path) -> None:
    """Look at what a first visit got."""
    for answer in answers:
        path = answer["url"].partition("://")[2].partition("/")[2]
        fields = fields_of(answer)
        kept = fields.get("cache-control", "")
        file = folder / path
        name = path if file.is_file() else f"{path or 'index.html'} (a page)"
        report.point(f"{name}: 200", answer["status"] == 200, answer["status"])
        if path.startswith("assets/"):
            good = f"max-age={YEAR}" in kept and "immutable" in kept
            report.point(f"{name}: kept for a year", good, kept)
        else:
            report.point(f"{name}: asked for again", "no-cache" in kept, kept)
        validators = "etag" in fields and "last-modified" in fields
        report.point(f"{name}: can be asked about", validators, fields.get("etag", ""))
        report.point(f"{name}: no cookie", "set-cookie" not in fields)
        size = (file if file.is_file() else folder / "index.html").stat().st_size
        if size >= LEAST and "image/png" not in answer["mimeType"]:
            coding = fields.get("content-encoding", "none")
            report.point(f"{name}: packed", coding in ("zstd", "br", "gzip"), coding)
            vary = fields.get("vary", "").lower()
            report.point(f"{name}: Vary", "accept-encoding" in vary, vary)
        report.point(
            f"{name}: type",
            ("javascript" in answer["mimeType"]) == path.endswith(".js"),
            answer["mimeType"],
        )


def browse(page: Chromium, report: Report, port: int, folder: Path) -> None:
    """Go through the application, as somebody does."""
    home = f"http://127.0.0.1:{port}/"
    heading = "document.querySelector('h1')?.textContent"
    visit = Visit(page)
    page.go(home)
    took = page.until(f"{heading} === 'Home'")
    report.point("the first page", True, f"{took:.1f} s")
    page.run("document.getElementById('far').click()")
    page.until("document.querySelectorAll('li').length === 300")
    where = page.run("document.getElementById('where').textContent")
    report.point("a page that is loaded when asked for", where == "at /far/away", where)
    page.run("history.back()")
    page.until(f"{heading} === 'Home'")
    first = visit.answers()
    report.point("nothing on the console", not visit.complaints(), visit.complaints())
    audit(report, first, folder)
    sent = sum(
        one["encodedDataLength"] for one in visit.told("Network.loadingFinished")
    )
    whole = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    report.point("fewer bytes than there are", sent < whole / 2, f"{sent} of {whole}")

    visit = Visit(page)
    page.go(f"{home}far/away")
    page.until("document.querySelectorAll('li').length === 300")
    [page_again, *others] = visit.answers()
    report.point("a deep link", page_again["status"] == 200, page_again["url"])
    own = [one["url"] for one in visit.answers(kept=True) if "/assets/" in one["url"]]
    asked = [one["url"] for one in others if "/assets/" in one["url"]]
    seen = f"{len(own)} kept, {len(asked)} asked for"
    report.point("the browser has kept the assets", own and not asked, seen)
    report.point("nothing on the console", not visit.complaints(), visit.complaints())

    visit = Visit(page)
    page.ask("Page.reload", ignoreCache=True)
    page.until("document.querySelectorAll('li').length === 300")
    said = [
        fields_of(one).get("cache-status", "none")
        for one in visit.answers()
        if "/assets/" in one["url"]
    ]
    report.point(
        "our cache has the assets", said and all("hit" in s for s in said), said
    )
    report.point("nothing on the console", not visit.complaints(), visit.complaints())

    missing = page.run("fetch('/assets/gone.js').then((answer) => answer.status)")
    report.point("a script that is not there is 404", missing == 404, missing)
    again = page.run(
        "fetch('/', { cache: 'no-store' }).then((one) => fetch('/', { cache: 'no-store', headers:"
        " { 'If-None-Match': one.headers.get('etag') } })).then((one) => one.status)"
    )
    report.point("an unchanged page is 304", again == 304, again)


def main() -> int:
    """All of it."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("--chromium", default="chromium")
    chosen = options.parse_args()
    dist = built(chosen.folder.resolve())
    report = Report()
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = CONFIG.format(port=port, root=dist)
        with proxy(folder, text, port), Chromium(folder, chosen.chromium) as page:
            browse(page, report, port, dist)
    print(f"{report.wrong} wrong" if report.wrong else "all right")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

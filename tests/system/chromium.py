"""A headless Chromium that is told what to do (DevTools protocol, over two pipes)."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

ANSWER_SECONDS = 30.0


class Chromium:
    """One browser with one page. `folder`: where it may keep things. `more`: options of its command line."""

    def __init__(
        self, folder: Path, program: str = "chromium", more: Sequence[str] = ()
    ) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # The protocol is spoken on descriptors 3 and 4.
        said = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}/profile",
            *more,
            "about:blank",
        ]
        with open(folder / "browser.log", "w") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", said, "bash", program, *options],
                pass_fds=(theirs_in, theirs_out),
                stdout=log,
                stderr=log,
            )
        os.close(theirs_in)
        os.close(theirs_out)
        self._number = 0
        self._buffer = b""
        self._session = ""
        self.events: list[dict[str, Any]] = []
        """What it told by itself, in order."""
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(one for one in targets if one["type"] == "page")
        asked = {"targetId": page["targetId"], "flatten": True}
        self._session = self.ask("Target.attachToTarget", **asked)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        os.close(self._in)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """What it answers. Raises RuntimeError for an error and TimeoutError for none."""
        self._number += 1
        message: dict[str, Any] = {
            "id": self._number,
            "method": method,
            "params": params,
        }
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            told = self._next(until)
            if told is None:
                raise TimeoutError(method)
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
            self.events.append(told)

    def _next(self, until: float) -> dict[str, Any] | None:
        while b"\0" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                return None
            data = os.read(self._in, 1 << 20)
            if not data:
                raise EOFError("the browser ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        return told

    def go(self, url: str) -> None:
        """Open a page."""
        self.ask("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression, or of the promise it is."""
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        told = self.ask("Runtime.evaluate", **asked)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{script[:80]}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def until(self, script: str, seconds: float = 30.0) -> float:
        """Wait until an expression is true: the seconds it took. Raises TimeoutError."""
        began = time.monotonic()
        while not self.run(script):
            if time.monotonic() > began + seconds:
                raise TimeoutError(f"never: {script}; {self.run('document.title')}")
            time.sleep(0.05)
        return time.monotonic() - began

    def key(self, key: str, code: str = "", text: str = "") -> None:
        """Press and release a key."""
        told = {
            "key": key,
            "code": code or key,
            "windowsVirtualKeyCode": {"Enter": 13, "Tab": 9, "Escape": 27}.get(key, 0),
        }
        if text:
            told["text"] = text
        self.ask("Input.dispatchKeyEvent", type="keyDown", **told)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **told)

    def type(self, text: str) -> None:
        """Type it where the focus is."""
        self.ask("Input.insertText", text=text)

    def view(
        self, width: int, height: int, scheme: str = "light", motion: str = "reduce"
    ) -> None:
        """How large the window is, and what colours and motion its user likes."""
        metrics = {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": False,
        }
        self.ask("Emulation.setDeviceMetricsOverride", **metrics)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.ask("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path) -> None:
        """What is seen, as PNG."""
        told = self.ask("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(told["data"]))

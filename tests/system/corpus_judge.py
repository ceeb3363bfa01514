"""Runs the cases of tests/corpus through the real proxy and says which fail, and why.

A request case sends `raw` to the proxy and looks at what the origin got; a response case
asks for `/r/ID`, to which the origin says `raw`, looks at what the client got, and asks
again to see that nothing is left behind. `expected` of a request is

    reject       an error (or just a closed connection), and no complete request upstream
    local        an answer of the proxy's own
    forward_one  exactly one valid request upstream, and the client has its answer
    forward_n    `n` of them, in order, with answers in order

and of a response

    error        502 or 504
    truncate     the client can see that the answer is not complete, or 502 or 504
    relay        `status`, and `body` or `body_len`

`also_ok` holds other outcomes the RFC allows. `python -m tests.system.corpus_judge
[--strict] [REGEX]` prints every case that fails; strictly, `also_ok` does not count.

May import: tests.system. Used by: test_corpus, fuzz.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from tests.system.faults.process import ProxyProcess, running_proxy
from tests.system.strict_http import Broken, Message, read_responses
from tests.system.strict_origin import STRAY, Arrival, StrictOrigin, digest, play

CORPUS = Path(__file__).parents[1] / "corpus"

CONFIG = """
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
pool = "origin"
[pool.origin]
targets = ["http://127.0.0.1:@origin@"]
[pool.origin.timeout]
read = "0.8s"
[pool.origin.passive]
max_fails = 0
"""

Case = dict[str, Any]

CASE_SECONDS = 3.0
QUIET_SECONDS = 0.08
AT_ONCE = 32
_REJECTIONS = {*range(400, 500), 501, 505}


class Failed(Exception):
    """The case is not as it should be."""


def load(name: str) -> list[Case]:
    """The cases of tests/corpus/NAME.json."""
    cases: list[Case] = json.loads((CORPUS / f"{name}.json").read_text())
    return cases


@attrs.define
class Talk:
    """What a client got on one connection."""

    methods: list[str]
    data: bytes = b""
    ended: bool = False

    def responses(self) -> list[Message]:
        """The final responses; raises `Failed` for what may not be sent to a client."""
        try:
            found, rest = read_responses(self.data, self.methods, self.ended)
        except Broken as error:
            raise Failed(f"to the client: {error}") from None
        if rest:
            raise Failed(f"to the client, extra: {rest[:60]!r}")
        return found

    def finished(self) -> int:
        """How many responses are complete."""
        try:
            found, _ = read_responses(self.data, self.methods, self.ended)
        except Broken:
            return 1 << 30
        return sum(each.complete for each in found)


async def talk(
    port: int, raw: Any, methods: list[str], want: int, until_end: bool
) -> Talk:
    """Send `raw`; listen until `want` answers are there and nothing follows."""
    heard = Talk(methods)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    sending = asyncio.ensure_future(play(raw, writer))
    deadline = time.monotonic() + CASE_SECONDS
    try:
        while time.monotonic() < deadline and not heard.ended:
            enough = sending.done() and heard.finished() >= want and not until_end
            wait = QUIET_SECONDS if enough else 0.1
            try:
                more = await asyncio.wait_for(reader.read(1 << 20), wait)
            except TimeoutError:
                if enough:
                    break
            except OSError:
                heard.ended = True
            else:
                heard.data += more
                heard.ended = not more
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
    return heard


# -- verdicts


def judge_request(case: Case, want: Case, heard: Talk, arrivals: list[Arrival]) -> None:
    """Raise `Failed` unless the outcome is the one in `want`."""
    for each in arrivals:
        if each.broken:
            raise Failed(f"the origin got an invalid request: {each.broken}")
    whole = [a.message for a in arrivals if a.message and a.message.complete]
    parts = [a.message for a in arrivals if a.message and not a.message.complete]
    expected = want["expected"]
    if expected in ("reject", "local", "h2_settings"):
        if whole or (parts and not case.get("partial_upstream_ok")):
            raise Failed(f"reached the origin: {(whole or parts)[0].start}")
        found = heard.responses()
        if not found and not heard.ended:
            raise Failed("neither answered nor closed")
        if found:
            good = want.get("status") or (
                range(200, 600) if expected == "local" else _REJECTIONS
            )
            if found[0].status not in good:
                raise Failed(f"status {found[0].status}")
        if expected == "reject" and found and not heard.ended:
            if case.get("must_close", True) and found[0].status in (400, 501):
                raise Failed("a malformed request must be the last of its connection")
        return
    count = want.get("n", 1) if expected == "forward_n" else 1
    if len(whole) != count or parts:
        raise Failed(f"{len(whole)} requests and {len(parts)} parts, wanted {count}")
    _judge_forwarded(want, whole)
    _judge_answers(case, want, whole, heard)


def _judge_forwarded(want: Case, whole: list[Message]) -> None:
    for each in whole:
        if not re.search(
            r"(^|[ ,])127\.0\.0\.1$", ",".join(each.all("x-forwarded-for"))
        ):
            raise Failed(f"X-Forwarded-For {each.all('x-forwarded-for')}")
    first = whole[0]
    if "method" in want and first.start[0].decode() != want["method"]:
        raise Failed(f"method {first.start[0]!r}")
    targets = want.get("targets") or ([want["target"]] if "target" in want else [])
    for pattern, each in zip(targets, whole, strict=False):
        if not re.search(pattern, each.start[1].decode("latin-1")):
            raise Failed(f"target {each.start[1][:80]!r}")
    bodies = want.get("bodies") or ([want["body"]] if "body" in want else [])
    for body, each in zip(bodies, whole, strict=False):
        if each.body.decode("latin-1") != body:
            raise Failed(f"body {each.body[:60]!r}")
    _judge_fields(want, first)


def _judge_fields(want: Case, message: Message) -> None:
    for name, pattern in want.get("require", {}).items():
        values = message.all(name)
        if isinstance(pattern, list):
            if values != pattern:
                raise Failed(f"{name}: {values!r}")
        elif not re.search(pattern, ", ".join(values)):
            raise Failed(f"{name}: {values!r}")
    for name in want.get("forbid", []):
        if message.all(name):
            raise Failed(f"{name} must not be passed on")


def _judge_answers(case: Case, want: Case, whole: list[Message], heard: Talk) -> None:
    found = heard.responses()
    if len(found) < len(whole):
        raise Failed(f"{len(found)} answers to {len(whole)} requests")
    for answer, request in zip(found, whole, strict=False):
        if answer.status != 200 or not answer.all("x-origin"):
            raise Failed(f"status {answer.status} in place of the origin's answer")
        expected = f"case={case['id']} target={request.start[1].decode('latin-1')} "
        expected += f"body={digest(request.body)}\n"
        if request.start[0] != b"HEAD" and answer.body != expected.encode():
            raise Failed(f"answer mixed up: {answer.body[:80]!r}")
    for surplus in found[len(whole) :]:
        if surplus.status not in _REJECTIONS:
            raise Failed(f"surplus answer {surplus.status}")
    if want.get("closed") and not heard.ended:
        raise Failed("the connection must be closed")


def judge_response(case: Case, want: Case, heard: Talk, _: list[Arrival]) -> None:
    """Raise `Failed` unless the client got what is in `want`."""
    expected = want["expected"]
    if expected == "truncate":
        _judge_truncated(heard)
        return
    found = heard.responses()
    if not found:
        raise Failed("no answer")
    answer = found[0]
    if expected == "error":
        if answer.status not in want.get("status", (502, 504)) or not answer.complete:
            raise Failed(f"status {answer.status}")
        return
    if answer.status != want["status"] or not answer.complete or len(found) > 1:
        raise Failed(f"status {answer.status}, complete: {answer.complete}")
    if "body" in want and answer.body.decode("latin-1") != want["body"]:
        raise Failed(f"body {answer.body[:60]!r}")
    if "body_len" in want and len(answer.body) != want["body_len"]:
        raise Failed(f"{len(answer.body)} bytes")
    _judge_fields(want, answer)


def _judge_truncated(heard: Talk) -> None:
    try:
        found, rest = read_responses(heard.data, heard.methods, heard.ended)
    except Broken as error:
        raise Failed(f"to the client: {error}") from None
    if found and found[0].complete and found[0].status not in (502, 504):
        raise Failed("looks complete to the client")
    if not (found and found[0].complete) and not heard.ended:
        raise Failed(f"left open in the middle ({rest[:40]!r})")


def verdict(judge: Callable[..., None], case: Case, *facts: Any) -> str:
    """Why `case` fails, or ""."""
    reason = ""
    for want in (case, *case.get("also_ok", ())):
        try:
            judge(case, want, *facts)
        except Failed as error:
            reason = reason or str(error)
        else:
            return ""
    return reason


# -- running


@attrs.define
class Run:
    """One run of cases through a proxy."""

    proxy: ProxyProcess
    origin: StrictOrigin
    failures: dict[str, str] = attrs.Factory(dict)

    async def requests(self, cases: list[Case]) -> None:
        """Run request cases."""
        heard: dict[str, Talk] = {}

        async def one(case: Case) -> None:
            want = case.get("n", 1) if case["expected"] == "forward_n" else 1
            until_end = case.get("closed", False) or case["expected"] == "reject"
            heard[case["id"]] = await talk(
                self.proxy.port, case["raw"], case.get("methods", []), want, until_end
            )

        await _at_once(one, cases)
        await asyncio.sleep(0.2)
        for case in cases:
            arrivals = self.origin.arrivals[case["id"]]
            self._note(
                case["id"],
                verdict(judge_request, case, heard[case["id"]], arrivals),
            )

    async def responses(self, cases: list[Case]) -> None:
        """Run response cases."""

        async def one(case: Case) -> None:
            name, method = case["id"], case.get("method", "GET")
            line = f"{method} /r/{name} HTTP/1.1\r\nHost: corpus.test\r\n\r\n"
            expected = [
                case["expected"],
                *(w["expected"] for w in case.get("also_ok", ())),
            ]
            heard = await talk(
                self.proxy.port,
                case.get("request", line),
                [method],
                1,
                case.get("wait_eof", False) or "truncate" in expected[:1],
            )
            self._note(name, verdict(judge_response, case, heard, []))
            await asyncio.sleep(case.get("quiet", 0))
            for number in range(2):
                again = f"/r/{name}/again/{number}"
                line = f"GET {again} HTTP/1.1\r\nHost: corpus.test\r\n"
                after = await talk(
                    self.proxy.port, line + "Connection: close\r\n\r\n", [], 1, False
                )
                if f"case={name} target={again} ".encode() not in after.data:
                    self._note(name, f"the next request got {after.data[:80]!r}")

        # What is sent behind an answer's back can hit whoever has the connection next,
        # in any proxy; such a case runs when nobody else is there.
        await _at_once(one, [case for case in cases if not case.get("alone")])
        for case in cases:
            if case.get("alone"):
                await one(case)
        for name, line in self.origin.reused.items():
            self._note(name, f"its connection was used again: {line}")

    def finish(self) -> None:
        """What belongs to no case, and what the log says."""
        for arrival in self.origin.arrivals.get(STRAY, ()):
            self._note("stray bytes", repr(arrival))
        for line in self.proxy.bad_lines():
            self._note("log", line)

    def _note(self, name: str, reason: str) -> None:
        if reason:
            self.failures.setdefault(name, reason)


async def _at_once(one: Callable[[Case], Any], cases: list[Case]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def gated(case: Case) -> None:
        async with gate:
            await one(case)

    await asyncio.gather(*(gated(case) for case in cases))


async def judge_all(
    requests: list[Case], responses: list[Case], only: str = ""
) -> dict[str, str]:
    """Run the cases through a proxy of their own: which failed, and why."""
    requests = [c for c in requests if re.search(only, c["id"])]
    responses = [c for c in responses if re.search(only, c["id"])]
    origin = StrictOrigin({case["id"]: case for case in responses})
    await origin.start()
    config = CONFIG.replace("@origin@", str(origin.port))
    async with running_proxy(config) as proxy:
        run = Run(proxy, origin)
        await run.requests(requests)
        await run.responses(responses)
        run.finish()
    origin.stop()
    return run.failures


def main() -> int:
    """Judge everything, or the cases a regular expression names."""
    arguments = argparse.ArgumentParser(prog="python -m tests.system.corpus_judge")
    arguments.add_argument("--strict", action="store_true")
    arguments.add_argument("only", nargs="?", default="", metavar="REGEX")
    given = arguments.parse_args()
    requests, responses = load("requests"), load("responses")
    only = given.only
    if given.strict:
        for case in requests + responses:
            case.pop("also_ok", None)
    failures = asyncio.run(judge_all(requests, responses, only))
    for name, reason in failures.items():
        print(f"{name}: {reason}")
    print(f"{len(failures)} failures in {len(requests) + len(responses)} cases")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())

"""Mutated requests and responses through the real proxy, while a canary sings.

    fuzzing clients -+            +-> strict origin (this process)
                     +-> proxy ---+
    canary process --+            +-> the canary's origin (the canary's process)

Each fuzzing client has a loopback address of its own, which the proxy writes into
X-Forwarded-For and the origin repeats in its answer. So whoever gets another's answer
notices, whatever the mutation has done to the rest. What must hold:

- the origin sees valid requests only, and the client valid responses only
- an answer of the origin reaches the one who asked, once, in order
- the canary always gets its answer, 99 of 100 within 100 ms
- the proxy's log has no traceback, and no input costs 50 ms of CPU (L19 of tests.system.faults)
- among ordinary requests, cases of the corpus never change an answer (L24)

`python -m tests.system.fuzz [--inputs N] [--seed N]` prints the figures; the last line
sums up, and the exit status is 1 when something did not hold.

May import: tests.system. Used by: `make fuzz`, tests.system.faults, test_fuzz.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import itertools
import multiprocessing
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs

from tests.system.canary import canary
from tests.system.corpus_judge import Case, load
from tests.system.faults.process import ProxyProcess, running_proxy
from tests.system.mutation import flat, prepare
from tests.system.strict_http import Broken, Message, read_request, read_responses
from tests.system.strict_origin import digest

CONFIG = """
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
pool = "origin"
[[route]]
host = ["canary.test"]
pool = "canary"
[pool.origin]
targets = ["http://127.0.0.1:@origin@"]
[pool.origin.timeout]
read = "0.5s"
[pool.origin.passive]
max_fails = 0
[pool.canary]
targets = ["http://127.0.0.1:@canary@"]
"""

AT_ONCE = 24
BATCH = 240
CLIENT_SECONDS = 6.0
CPU_SECONDS = 0.05
CANARY_MS = 100.0
"""99 of 100 of the canary's requests take at most that."""
SHOWN = 20


@attrs.define
class Report:
    """What was found. `wrong`: what must not happen, the first few with their input."""

    seed: int
    inputs: int = 0
    forwarded: int = 0
    statuses: Counter[int] = attrs.Factory(Counter)
    most_cpu: float = 0.0
    longest_hold: float = 0.0
    """Seconds: the event loop's longest stall that was its own doing."""
    soaked: int = 0
    soaked_visible: int = 0
    canary: dict[str, float] = attrs.Factory(dict)
    wrong: list[str] = attrs.Factory(list)

    def note(self, what: str, data: bytes = b"") -> None:
        """Something that must not happen."""
        self.wrong.append(f"{what}: {data!r}" if data else what)

    def lines(self) -> list[str]:
        """The figures."""
        statuses = ", ".join(f"{n} x {s}" for s, n in sorted(self.statuses.items()))
        return [
            *self.wrong[:SHOWN],
            f"inputs {self.inputs}, requests forwarded {self.forwarded}",
            f"answers {statuses}",
            f"dearest input {1000 * self.most_cpu:.1f} ms of CPU, "
            f"longest stall of the event loop {1000 * self.longest_hold:.0f} ms",
            f"soak {self.soaked} requests, {self.soaked_visible} failed visibly",
            "canary "
            + ", ".join(f"{name} {value:g}" for name, value in self.canary.items()),
            f"{len(self.wrong)} faults in {self.inputs} inputs (seed {self.seed})",
        ]


# -- the origin


class FuzzOrigin:
    """Answers with the asker's address; plays prepared responses for `/r/N`."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.scripts: dict[bytes, tuple[bytes, str]] = {}
        self.methods: dict[str, list[str]] = {}
        self.served: dict[int, str] = {}
        self.port = 0
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a port the system chooses."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        data = b""
        try:
            while more := await reader.read(1 << 18):
                data += more
                while data:
                    read = read_request(data)
                    if read is None or not read[0].complete:
                        break
                    message, end = read
                    data = data[end:]
                    if not await self._answer(message, writer):
                        return
        except Broken as error:
            self.report.note(f"the origin got {error}", data[:600])
        except OSError:
            pass
        finally:
            writer.close()

    async def _answer(self, message: Message, writer: asyncio.StreamWriter) -> bool:
        """Answer `message`; whether the connection goes on."""
        script = self.scripts.pop(message.start[1], None)
        if script is not None:
            raw, after = script
            writer.write(raw)
            await writer.drain()
            if after == "rst":
                writer.transport.abort()
            elif after == "stall":
                await asyncio.sleep(1)
            return after == "keep"
        number = next(self._numbers)
        asker = ",".join(message.all("x-forwarded-for"))
        self.methods.setdefault(asker, []).append(message.start[0].decode())
        self.served[number] = asker
        self.report.forwarded += 1
        body = b"number=%d asker=%b target=%b body=%b\n" % (
            number,
            asker.encode("latin-1"),
            message.start[1],
            digest(message.body).encode(),
        )
        head = b"HTTP/1.1 200 OK\r\nX-Origin: %d\r\nContent-Length: %d\r\n\r\n"
        empty = message.start[0] == b"HEAD"
        writer.write(head % (number, len(body)) + (b"" if empty else body))
        await writer.drain()
        return "close" not in ",".join(message.all("connection")).lower()


# -- fuzzing clients


@attrs.define
class Fuzzer:
    """Sends inputs to `proxy`."""

    proxy: ProxyProcess
    origin: FuzzOrigin
    report: Report
    random: Random
    _addresses: Any = attrs.field(factory=lambda: itertools.count(0x7F010001))
    _numbers: Any = attrs.field(factory=lambda: itertools.count(1))

    async def request(self, data: bytes) -> None:
        """One input: everything `data` asks for, and then the end of it."""
        address = str(ipaddress.IPv4Address(next(self._addresses)))
        received, ended = await self._exchange(address, data)
        methods = self.origin.methods.pop(address, [])
        asked = iter(methods)
        try:
            found, rest = read_responses(
                received,
                lambda m: next(asked, "?") if m.all("x-origin") else "GET",
                ended,
            )
        except Broken as error:
            self.report.note(f"the client got {error}", data)
            return
        if not ended:
            self.report.note("the connection was left open", data)
        if rest:
            self.report.note(f"the client got {rest[:80]!r}", data)
        last = 0
        for each in found:
            self.report.statuses[each.status] += 1
            last = self._check_answer(each, address, last, data)
        for before in found[:-1]:
            if "close" in before.all("connection"):
                self.report.note("an answer after the last answer", data)

    def _check_answer(
        self, answer: Message, address: str, last: int, data: bytes
    ) -> int:
        numbers = answer.all("x-origin")
        if not numbers:
            if answer.status < 400 and answer.status != 200:
                self.report.note(f"status {answer.status} out of nothing", data)
            return last
        number = int(numbers[0])
        asker = self.origin.served.pop(number, "nobody any more")
        if asker != address:
            self.report.note(f"an answer for {asker} reached {address}", data)
        if number <= last:
            self.report.note("answers out of order", data)
        return number

    async def response(self, raw: bytes, after: str) -> None:
        """One input from the origin; then an ordinary request on the same connection."""
        number = next(self._numbers)
        target = b"/r/%d" % number
        self.origin.scripts[target] = (raw, after)
        address = str(ipaddress.IPv4Address(next(self._addresses)))
        request = b"GET %b HTTP/1.1\r\nHost: fuzz.test\r\n\r\n"
        data = request % target + request % b"/after"
        received, ended = await self._exchange(address, data)
        self.origin.methods.pop(address, None)
        try:
            found, rest = read_responses(received, [], ended)
        except Broken as error:
            self.report.note(f"the client got {error}", raw)
            return
        if not ended:
            self.report.note("the connection was left open", raw)
        for each in found:
            self.report.statuses[each.status] += 1
        if len(found) > 2 or rest and len(found) > 1:
            self.report.note("more answers than requests", raw)
        if len(found) == 2 and found[1].complete:
            if f"asker={address} target=/after " not in found[1].body.decode("latin-1"):
                if found[1].status not in (502, 503, 504):
                    self.report.note(f"the next got {found[1].body[:80]!r}", raw)

    async def _exchange(self, address: str, data: bytes) -> tuple[bytes, bool]:
        """Send `data` and the end; what came back, and whether that has an end."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.proxy.port, local_addr=(address, 0)
        )
        received = b""
        ended = False
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                if self.random.random() < 0.2:
                    cut = self.random.randint(0, len(data))
                    writer.write(data[:cut])
                    await asyncio.sleep(0.002)
                    data = data[cut:]
                writer.write(data)
                writer.write_eof()
                while more := await reader.read(1 << 18):
                    received += more
                ended = True
        except TimeoutError:
            pass
        except OSError:
            ended = True
        finally:
            writer.close()
        return received, ended


def cpu_seconds(process: int) -> float:
    """CPU time of a process's main thread, to the nanosecond."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


async def in_batches(
    inputs: Sequence[Any],
    send: Callable[[Any], Awaitable[None]],
    fuzzer: Fuzzer,
) -> None:
    """Send `inputs`, some at a time; find the one that was dear when a batch was."""
    pid = fuzzer.proxy.process.pid
    report = fuzzer.report
    for at in range(0, len(inputs), BATCH):
        batch = inputs[at : at + BATCH]
        before = cpu_seconds(pid)
        queue = list(batch)

        async def work(queue: list[Any] = queue) -> None:
            while queue:
                await send(queue.pop())

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        report.inputs += len(batch)
        spent = cpu_seconds(pid) - before
        if spent > CPU_SECONDS + 0.002 * len(batch):
            await _find_dearest(batch, send, pid, report)
        else:
            report.most_cpu = max(report.most_cpu, spent / len(batch))


async def _find_dearest(
    batch: Sequence[Any],
    send: Callable[[Any], Awaitable[None]],
    pid: int,
    report: Report,
) -> None:
    for each in batch:
        costs = []
        for _ in range(2):
            before = cpu_seconds(pid)
            await send(each)
            costs.append(cpu_seconds(pid) - before)
        # The canary's requests are in it too; the smaller of two is the input's own.
        report.most_cpu = max(report.most_cpu, min(costs))
        if min(costs) > CPU_SECONDS:
            report.note(f"{1000 * min(costs):.0f} ms of CPU", repr(each)[:500].encode())


# -- L24: ordinary requests among cases of the corpus


async def soak(
    fuzzer: Fuzzer, count: int, requests: list[Case], responses: list[Case]
) -> None:
    """`count` ordinary requests with answers of their own, one in a hundred a case."""
    left = iter(range(count))
    report, random = fuzzer.report, fuzzer.random
    numbers = itertools.count(1)

    async def ordinary(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> bool:
        target = f"/soak/{next(numbers)}"
        body = random.randbytes(random.choice((0, 10, 300)))
        writer.write(
            f"POST {target} HTTP/1.1\r\nHost: fuzz.test\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *([0-9]+)", head)
        got = await reader.readexactly(int(length[1])) if length else b""
        report.soaked += 1
        wanted = f"asker={address} target={target} body={digest(body)}\n"
        if not head.startswith(b"HTTP/1.1 200 "):
            report.soaked_visible += 1
        elif not got.decode("latin-1").endswith(wanted):
            report.note(f"soak: {target} from {address} got {got[:80]!r}")
        return b"\r\nConnection: close" not in head

    async def special() -> None:
        if random.random() < 0.5:
            await fuzzer.request(flat(random.choice(requests)["raw"]))
        else:
            case = random.choice(responses)
            await fuzzer.response(flat(case["raw"]), case["after"])

    async def client() -> None:
        address = str(ipaddress.IPv4Address(next(fuzzer._addresses)))
        connection = None
        for n in left:
            if n % 100 == 0:
                await special()
            try:
                if connection is None:
                    connection = await asyncio.open_connection(
                        "127.0.0.1", fuzzer.proxy.port, local_addr=(address, 0)
                    )
                if not await ordinary(*connection, address):
                    connection[1].close()
                    connection = None
            except (OSError, EOFError):
                report.soaked_visible += 1
                connection = None
        if connection is not None:
            connection[1].close()

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    fuzzer.origin.methods.clear()


# -- a run


@contextlib.asynccontextmanager
async def _its_death_explained(proxy: ProxyProcess) -> AsyncIterator[None]:
    """When the proxy has ended, say how, and what it said last."""
    try:
        yield
    except Exception as error:
        status = await proxy.exit_status(0.5)
        if status is None:
            raise
        tail = proxy.log_text()[-3000:]
        raise RuntimeError(f"the proxy ended with {status}:\n{tail}") from error


async def fuzz(
    inputs: int, soaked: int, seed: int, canary_ms: float = CANARY_MS
) -> Report:
    """Run it all: `inputs` mutated messages, then `soaked` ordinary requests."""
    report = Report(seed)
    random = Random(seed)
    origin = FuzzOrigin(report)
    await origin.start()
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    bird = context.Process(target=canary, args=(theirs,), daemon=True)
    bird.start()
    config = CONFIG.replace("@origin@", str(origin.port))
    config = config.replace("@canary@", str(await asyncio.to_thread(pipe.recv)))
    requests, responses = load("requests"), load("responses")
    # A stall costs the fuzzer half a second; bytes that come late can hit anyone.
    responses = [c for c in responses if c["after"] != "stall" and not c.get("alone")]
    async with running_proxy(config) as proxy, _its_death_explained(proxy):
        pipe.send(proxy.port)
        fuzzer = Fuzzer(proxy, origin, report, random)
        from_clients = prepare(random, inputs * 7 // 10, requests)
        await in_batches(from_clients, lambda i: fuzzer.request(i[0]), fuzzer)
        from_origin = prepare(random, inputs - len(from_clients), responses)
        await in_batches(from_origin, lambda i: fuzzer.response(*i), fuzzer)
        await soak(fuzzer, soaked, requests, responses)
        pipe.send(None)
        report.canary = await asyncio.to_thread(pipe.recv)
        for line in proxy.bad_lines():
            report.note(f"log: {line}")
        report.longest_hold = proxy.longest_hold()
    origin.stop()
    bird.join()
    if report.canary["failed"]:
        report.note(f"the canary failed {report.canary['failed']} times")
    if report.canary["p99_ms"] > canary_ms:
        report.note(f"the canary waited: p99 {report.canary['p99_ms']} ms")
    return report


def main() -> int:
    """Fuzz, and print the figures."""
    arguments = argparse.ArgumentParser(prog="python -m tests.system.fuzz")
    arguments.add_argument("--inputs", type=int, default=10000)
    arguments.add_argument(
        "--soak", type=int, help="ordinary requests; half of --inputs"
    )
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    soaked = given.inputs // 2 if given.soak is None else given.soak
    report = asyncio.run(fuzz(given.inputs, soaked, given.seed))
    print("\n".join(report.lines()))
    return bool(report.wrong)


if __name__ == "__main__":
    sys.exit(main())

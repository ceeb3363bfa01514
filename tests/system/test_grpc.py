"""gRPC through the running proxy: grpcio as the client and as two targets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]  # has none

from tests.system.test_proxy import (
    PATIENCE,
    ROOT,
    SystemTestCase,
    free_port,
    listening,
    wait_for,
)

CONFIG = """
[listener.web]
endpoint = "tcp:{web}:interface=127.0.0.1"
h2c = true
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:{first}", "http://127.0.0.1:{second}"]
protocol = "h2c"
timeout.read = "0s"
retry.on = {on}
health = {{ type = "grpc", interval = "100ms" }}
"""
COUNT = int(os.environ.get("LOLLY_MESSAGES", "3000"))
"""Messages of a stream."""
CALLS = int(os.environ.get("LOLLY_CALLS", "800"))
"""While a target is killed."""
LONG = PATIENCE + COUNT / 200
"""Seconds that a stream may take."""


class GrpcTests(SystemTestCase):
    @classmethod
    def server(cls) -> tuple[Any, int]:
        """One more target."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.grpc_server"],
            cwd=ROOT,
            env=os.environ | {"GRPC_ENABLE_FORK_SUPPORT": "0"},
            stdout=subprocess.PIPE,
            text=True,
        )
        cls.processes.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    def start(self, on: str, name: str) -> tuple[Any, Any, Any]:
        """A proxy in front of two targets: a channel to it, and them."""
        first, second = self.server(), self.server()
        web = free_port()
        text = CONFIG.format(web=web, first=first[1], second=second[1], on=on)
        self.proxy(text, name=name)
        wait_for(lambda: listening(web), "the proxy")
        channel = grpc.insecure_channel(f"127.0.0.1:{web}")
        self.addCleanup(channel.close)
        return channel, first[0], second[0]

    def test_calls(self):
        """All kinds of calls, each balanced by itself; statuses, deadlines and cancels go through."""
        channel, first, second = self.start('["connect"]', "calls.toml")
        unary = channel.unary_unary("/test.Echo/Unary")
        self.assertEqual(unary(b"hello", timeout=PATIENCE), b"hello")
        pids = {int(unary(b"who", timeout=PATIENCE)) for _ in range(4)}
        self.assertEqual(pids, {first.pid, second.pid})
        for request, code in (
            (b"die", grpc.StatusCode.UNAVAILABLE),
            (b"slow", grpc.StatusCode.DEADLINE_EXCEEDED),
        ):
            with self.assertRaises(grpc.RpcError) as caught:
                unary(request, timeout=0.5)
            self.assertEqual(caught.exception.code(), code)
        cancelled = channel.unary_unary("/test.Echo/Cancelled")
        wait_for(
            lambda: any(cancelled(b"", timeout=PATIENCE) == b"1" for _ in range(2)),
            "the cancel of a call",
        )
        down = channel.unary_stream("/test.Echo/ServerStream")
        got = [int(each) for each in down(b"%d" % COUNT, timeout=LONG)]
        self.assertEqual(got, [*range(COUNT)])
        messages = [b"x%d" % number for number in range(COUNT)]
        up = channel.stream_unary("/test.Echo/ClientStream")
        size = sum(map(len, messages))
        self.assertEqual(up(iter(messages), timeout=LONG), b"%d %d" % (COUNT, size))
        both = channel.stream_stream("/test.Echo/Both")
        self.assertEqual([*both(iter(messages), timeout=LONG)], messages)

    def test_check(self):
        """A target that says it is not serving gets no more calls."""
        channel, first, second = self.start('["connect"]', "check.toml")
        unary = channel.unary_unary("/test.Echo/Unary")
        unary(b"sick", timeout=PATIENCE)

        def pids() -> set[int]:
            return {int(unary(b"who", timeout=PATIENCE)) for _ in range(4)}

        wait_for(lambda: len(pids()) == 1, "the target to be left out")
        self.assertTrue(pids() < {first.pid, second.pid})

    def failures(self, on: str, name: str) -> int:
        """How many of `CALLS` calls, 8 at a time, fail when a target is killed among them."""
        channel, first, _ = self.start(on, name)
        unary = channel.unary_unary("/test.Echo/Unary")
        unary(b"", timeout=PATIENCE)
        killed = threading.Event()

        def one(number: int) -> bool:
            if number == CALLS // 4:
                first.kill()
                killed.set()
            try:
                unary(b"%d" % number, timeout=PATIENCE)
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
                return True
            return False

        with ThreadPoolExecutor(8) as calls:
            failed = sum(calls.map(one, range(CALLS)))
        self.assertTrue(killed.is_set())
        return failed

    def test_target_killed(self):
        """At most the calls on their way are lost, and none where they may be repeated."""
        self.assertLessEqual(self.failures('["connect"]', "once.toml"), 8)
        on = '["connect", "reset", "grpc:unavailable"]'
        self.assertEqual(self.failures(on, "again.toml"), 0)

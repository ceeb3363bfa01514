"""A gRPC server for the tests: echoes in all four ways, without any protobuf. Prints its port, or takes the one given.

/test.Echo/Unary        the same message; b"die" UNAVAILABLE, b"slow" waits to be cancelled, b"who" its pid
/test.Echo/ServerStream as many messages as the request says
/test.Echo/ClientStream how many have come, and their sum of bytes
/test.Echo/Both         each message, as it comes
/test.Echo/Cancelled    how many calls of "slow" were cancelled
/grpc.health.v1.Health/Check
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc  # type: ignore[import-untyped]  # has none

SECONDS = 60.0


class Echo:
    """The methods. `cancelled`: calls that ended by it. `serving`: what the health check says."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.serving = 1

    def unary(self, request: bytes, context: Any) -> bytes:
        if request == b"die":
            context.abort(grpc.StatusCode.UNAVAILABLE, "as asked")
        if request == b"slow":
            over = threading.Event()
            context.add_callback(over.set)
            over.wait(SECONDS)
            if not context.is_active():
                self.cancelled += 1
        if request == b"who":
            return b"%d" % os.getpid()
        if request == b"nap":
            time.sleep(0.05)
        if request == b"sick":
            self.serving = 2
        return request

    def server_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    def client_stream(self, requests: Iterator[bytes], context: Any) -> bytes:
        count = size = 0
        for each in requests:
            count += 1
            size += len(each)
        return b"%d %d" % (count, size)

    def both(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield from requests

    def count(self, request: bytes, context: Any) -> bytes:
        return b"%d" % self.cancelled

    def check(self, request: bytes, context: Any) -> bytes:
        if request[2:] == b"unknown":
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return bytes((8, self.serving))


def main(port: int = 0) -> None:
    """Serve until killed."""
    server = grpc.server(futures.ThreadPoolExecutor(20))
    echo = Echo()
    unary = grpc.unary_unary_rpc_method_handler
    methods = {
        "Unary": unary(echo.unary),
        "Cancelled": unary(echo.count),
        "ServerStream": grpc.unary_stream_rpc_method_handler(echo.server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(echo.client_stream),
        "Both": grpc.stream_stream_rpc_method_handler(echo.both),
    }
    for service, found in (
        ("test.Echo", methods),
        ("grpc.health.v1.Health", {"Check": unary(echo.check)}),
    ):
        handler = grpc.method_handlers_generic_handler(service, found)
        server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

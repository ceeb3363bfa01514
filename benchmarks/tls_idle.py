"""Memory of an idle TLS connection: what OpenSSL takes of it alone, with pyOpenSSL around it, and in the proxy.

    python benchmarks/tls_idle.py [--connections N] [--against CHECKOUT]

Each row is a process of its own that so many clients connect to over TLS 1.3 (or 1.2), ask for something once, and
stay. Figures are bytes of resident memory for each of them. `libssl` has nothing but the `SSL` object of OpenSSL and a
descriptor, in the settings that take the least: buffers released while idle, no session cache, no renegotiation. No
server that uses the same library takes less.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

import trustme
from OpenSSL import SSL, _util
from peers import ROOT, Field, checkout_at, lolly

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
FIRST = 50
"""Connections that are not counted: they bring what all share."""
KINDS = {
    "libssl": {},
    "libssl, no tickets": {"tickets": False},
    "libssl, TLS 1.2": {"version": "1.2"},
    "libssl, buffers kept": {"release": False},
    "pyOpenSSL": {"bare": False},
}
LOLLY = """
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
tls.certificate = "server.pem"
[[route]]
pool = "pool"
[pool.pool]
targets = ["http://127.0.0.1:{a}"]
"""


def resident(pid: int) -> int:
    """Bytes of memory a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def serve(pem: str, told: Any, count: int, release: bool, tickets: bool, bare: bool):
    """Accept so many connections, answer one request on each, keep them."""
    lib, ffi = _util.lib, _util.ffi
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    if not tickets:
        context.set_options(SSL.OP_NO_TICKET)
    if release:
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate_chain_file(pem)
    context.use_privatekey_file(pem)
    listening = socket.create_server(("127.0.0.1", 0), backlog=count)
    told.send(listening.getsockname()[1])
    room = ffi.new("char[]", 16384)
    kept: list[Any] = []
    gc.freeze()
    for _ in range(count):
        client, _ = listening.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if bare:
            handle = lib.SSL_new(context._context)
            lib.SSL_set_fd(handle, client.detach())
            lib.SSL_set_accept_state(handle)
            assert lib.SSL_do_handshake(handle) == 1
            assert lib.SSL_read(handle, room, len(REQUEST)) > 0
            assert lib.SSL_write(handle, b"ok", 2) == 2
            kept.append(handle)
        else:
            connection = SSL.Connection(context, client)
            connection.set_accept_state()
            connection.do_handshake()
            connection.recv(16384)
            connection.send(b"ok")
            kept.append(connection)
    told.recv()


def connect(pid: int, port: int, count: int, version: str) -> float:
    """Bytes of the process for each idle connection."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    kept = []
    before = 0
    for number in range(count):
        if number == FIRST:
            before = resident(pid)
        sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        # Else the request waits for an acknowledgement of the handshake's last message, up to 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        client = context.wrap_socket(sock, server_hostname="localhost")
        client.sendall(REQUEST)
        client.recv(4096)
        kept.append(client)
    spent = (resident(pid) - before) / (count - FIRST)
    for each in kept:
        each.close()
    return spent


def bare(pem: str, count: int, **kind: Any) -> float:
    """A row of OpenSSL without a proxy."""
    version = kind.pop("version", "1.3")
    how = {"release": True, "tickets": True, "bare": True, **kind}
    fresh = multiprocessing.get_context("spawn")  # no memory that somebody has freed
    here, there = fresh.Pipe()
    process = fresh.Process(
        target=serve, args=(pem, there, count), kwargs=how, daemon=True
    )
    process.start()
    assert process.pid is not None
    try:
        return connect(process.pid, here.recv(), count, version)
    finally:
        process.terminate()
        process.join(5)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--against", action="append", default=[], help="a checkout")
    options = parser.parse_args()
    count = options.connections + FIRST
    with tempfile.TemporaryDirectory(prefix="tls_idle") as name:
        folder = Path(name)
        folder.chmod(0o755)
        pem = folder / "server.pem"
        issued = trustme.CA().issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
        print(SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode())
        for kind, how in KINDS.items():
            print(f"{kind:24} {bare(str(pem), count, **how):8.0f}", flush=True)
        field = Field(folder)
        try:
            for number, checkout in enumerate(
                [str(ROOT), *map(checkout_at, options.against)]
            ):
                port = field.ports.pop()
                path = field.write(f"lolly{number}.toml", LOLLY, port)
                process = field.start("lolly", port, lolly(path), PYTHONPATH=checkout)
                spent = connect(process.pid, port, count, "1.3")
                print(f"{'lolly' if not number else checkout:24} {spent:8.0f}")
        finally:
            field.stop()


if __name__ == "__main__":
    main()

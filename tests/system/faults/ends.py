"""How connections end: early answers, restarts, tunnels."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import http.client
import shutil
import ssl
import subprocess
import time

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Request,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from tests.system.faults.client import HttpClient, Tally, numbered, steady_load
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, tls_front
from tests.system.faults.process import free_ports, pool_config, running_origins
from tests.system.faults.watched import watched_proxy
from tests.system.websocket_cases import EchoServer

MIB = 1 << 20

NODE = """
const [port, path, mib, secure] = process.argv.slice(1);
const lib = require(secure === "1" ? "https" : "http");
const request = lib.request({port, path, method: "POST", host: "127.0.0.1",
    rejectUnauthorized: false, headers: {"Content-Length": mib * 1048576}}, (response) => {
  response.resume();
  response.on("end", () => { console.log(response.statusCode); process.exit(0); });
});
request.on("error", (error) => { console.log(error.code); process.exit(0); });
const piece = Buffer.alloc(1048576);
let left = mib;
(function more() {
  while (left > 0) { left--; if (!request.write(piece)) { request.once("drain", more); return; } }
  request.end();
})();
"""
"""A client that sends all of a body, whatever it hears meanwhile, and prints the status."""


def upload(port: int, path: str, mib: int, front: Front) -> str:
    """The status that `http.client` gets, which reads nothing before it has sent everything."""
    connection: http.client.HTTPConnection
    if front.options:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=30, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body=bytes(mib * MIB))
        response = connection.getresponse()
        response.read()
        return str(response.status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def upload_with_node(port: int, path: str, mib: int, front: Front) -> str:
    """The same with Node's client."""
    ran = subprocess.run(
        ["node", "-e", NODE, str(port), path, str(mib), str(int(bool(front.options)))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.stdout.strip() or ran.stderr[-200:]


@scenario("L40", "answers to clients that are still sending")
async def l40(found: Findings, size: Size) -> None:
    """Whoever answers before the end of a request, and however it comes in, is heard."""
    await _early_answers(found, size, Front())
    await _early_answers(found, size, tls_front())


async def _early_answers(found: Findings, size: Size, front: Front) -> None:
    mib = size.pick(8, 16, 64)
    [closed] = free_ports(1)
    with running_origins(1) as origins:
        config = front.in_config(
            pool_config(
                origins,
                rest=f'[limits]\nbody_size = "{mib}M"\n',
                pool="[pool.p.passive]\nmax_fails = 0\n",
            )
        ).replace("[[route]]", '[[route]]\npath = "/early/"', 1)
        config += (
            '[[route]]\npath = "/dead"\npool = "dead"\n'
            f'[pool.dead]\ntargets = ["http://127.0.0.1:{closed}"]\n'
            "[pool.dead.passive]\nmax_fails = 0\n"
        )
        cases = (
            ("limit", "/early/1", mib + 8, "413"),
            ("no route", "/nowhere", mib, "404"),
            ("dead pool", "/dead", mib, "502"),
            ("target at once", "/early/1", mib, "413"),
            ("target later", f"/early/{3 * MIB}", mib, "413"),
        )
        clients = {"http.client": upload}
        if shutil.which("node"):
            clients["node"] = upload_with_node
        async with watched_proxy(found, config, files=front.files) as proxy:
            for name, send in clients.items():
                for what, path, much, status in cases:
                    got = {
                        await asyncio.to_thread(send, proxy.port, path, much, front)
                        for _ in range(size.pick(1, 3, 20))
                    }
                    found.equal(f"{front.word}{name}, {what}", got, {status})


@scenario("L41", "a restart under keep-alive load")
async def l41(found: Findings, size: Size) -> None:
    """Each connection ends with an answer that says so; nobody is cut or reset."""
    await _restart(found, size, Front())
    await _restart(found, size, tls_front())


async def _restart(found: Findings, size: Size, front: Front) -> None:
    tally = Tally()
    with running_origins(1) as origins:
        config = front.in_config(pool_config(origins))
        for _ in range(size.pick(1, 3, 20)):
            async with watched_proxy(found, config, files=front.files) as proxy:
                stopped = asyncio.Event()
                load = asyncio.create_task(
                    steady_load(
                        proxy.port,
                        tally,
                        numbered("r", 2000),
                        rate=400,
                        seconds=20,
                        connections=50,
                        until=stopped,
                        options=front.options,
                    )
                )
                await asyncio.sleep(0.7)
                arriving = [
                    asyncio.create_task(_one_shot(proxy.port, front)) for _ in range(50)
                ]
                await asyncio.sleep(0)
                proxy.process.terminate()
                status = await proxy.exit_status(10)
                stopped.set()
                await load
                found.equal(f"{front.word}exit status", status, 0)
                results = await asyncio.gather(*arriving)
                odd = {each for each in results if each not in ("200", "refused")}
                found.equal(f"{front.word}cut on arrival", odd or 0, 0)
    refused = tally.failed.pop("ConnectionRefusedError", 0)
    late = tally.failed.pop("late", 0)  # a matter of how busy the machine is
    found.note(f"{front.word}answered", f"{tally.ok}, {late} late")
    found.note(f"{front.word}then refused", refused)
    found.equal(f"{front.word}cut", tally.why() or 0, 0)
    found.equal(f"{front.word}wrong", tally.wrong, 0)


async def _one_shot(port: int, front: Front) -> str:
    """The status a client gets that connects now; "refused" when nobody listens."""
    client = HttpClient(port, options=front.options)
    try:
        await client.open()
    except ConnectionRefusedError:
        return "refused"
    try:
        return str((await client.ask("/body/10/x")).status)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        client.close()


@scenario("L42", "WebSockets at a stop")
async def l42(found: Findings, size: Size) -> None:
    """Each gets a Close with 1001 between two frames, and the stop does not wait for them."""
    await _websockets(found, size, Front())
    await _websockets(found, size, tls_front())


async def _websockets(found: Findings, size: Size, front: Front) -> None:
    count = size.pick(20, 100, 1000)
    server = await asyncio.get_running_loop().create_server(
        EchoServer, "127.0.0.1", 0, backlog=1024
    )
    port = server.sockets[0].getsockname()[1]
    rest = '[timeouts]\nshutdown = "20s"\n'
    config = front.in_config(pool_config([port], rest=rest))
    codes: collections.Counter[object] = collections.Counter()
    async with watched_proxy(found, config, files=front.files) as proxy:
        talking = [
            asyncio.create_task(_talk(proxy.port, front, 200 * (n % 3) ** 11))
            for n in range(count)
        ]
        await asyncio.sleep(1.0)
        proxy.process.terminate()
        at = time.monotonic()
        codes.update(await asyncio.gather(*talking))
        status = await proxy.exit_status(20)
        found.soon(f"{front.word}stopped after", time.monotonic() - at, 3, " s")
        found.equal(f"{front.word}exit status", status, 0)
    server.close()
    found.equal(f"{front.word}codes", dict(codes), {1001: count})


async def _talk(port: int, front: Front, length: int) -> object:
    """Send messages of `length` bytes for as long as they come back: the code at the end."""
    ws = WSConnection(ConnectionType.CLIENT)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **front.options)
    writer.write(ws.send(Request(host="t", target="/ws")))
    message, back = bytes(length), 0
    try:
        while True:
            ws.receive_data(await reader.read(1 << 16) or None)
            for event in ws.events():
                match event:
                    case AcceptConnection():
                        writer.write(ws.send(BytesMessage(message)))
                    case BytesMessage(data=data, message_finished=finished):
                        back += len(data)
                        if finished and back != length:
                            return f"{back} bytes of {length}"
                        if finished:
                            back = 0
                            writer.write(ws.send(BytesMessage(message)))
                    case CloseConnection(code=code):
                        with contextlib.suppress(LocalProtocolError):
                            writer.write(ws.send(event.response()))
                        return code
    except (OSError, RemoteProtocolError) as error:
        return type(error).__name__
    finally:
        writer.close()


SCENARIOS = (l40, l41, l42)

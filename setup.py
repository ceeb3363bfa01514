"""The optional part of the build: hot modules compiled by mypyc (docs/performance.md). All else is in setup.cfg.

    LOLLY_COMPILE=1 pip install .     compiled; without the variable pure Python, which needs no C compiler
    LOLLY_COMPILE_LEVEL=0             how much the C compiler optimises, 0 to 3; 2 where nothing is said

One source for both: a compiled module has its Python file beside it, and does the same.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup

# What runs for every request and every frame, chosen by measurement. Not here: what the compiler does not take (classes
# of attrs with defaults that are methods), what third parties extend (balancers but the usual one, checks, passive
# policies), exceptions, transports (subclasses of Twisted's, but for what each message passes through), and what is
# imported too seldom to be worth its compilation.
COMPILED = {
    "domain": "caps choice histogram lease node pool tier",
    "domain/balancers": "round_robin",
    "domain/retries": "attempts budget policy",
    "domain/routing": "hosts routes",
    "wire": "bodies chunked fields hops http1 memory message",
    "wire/hpack": "decoder encoder huffman reading table",
    "wire/http2": "blocks flow frames known requests responses settings",
    "net": "deadlines doors multiplexed per_client turn upstreams",
    "net/http1": "client request_body server shared",
    "net/http2": "answers backlog client client_ending client_streams client_watch closed ending framed heads inflow"
    " intake patience request sending server shared stream streams watch websocket windows",
    "net/sockets": "acceptor at_once records records_at_once serving",
    "proxy": "attempting counters endings exchange forwarder hedge held introduction moments proxy resource"
    " response_fields route upload",
    "proxy/chains": "chain fielddoor innerdoor throughdoor",
    "proxy/records": "accesslog columns firstcolumns lineformat record",
}


def files() -> list[str]:
    """The modules to compile, by their place from here."""
    return [
        f"lolly_tx/{package}/{module}.py"
        for package, modules in COMPILED.items()
        for module in modules.split()
    ]


def extensions() -> dict[str, Any]:
    """What `setup` has to be told for a compiled build."""
    if not os.environ.get("LOLLY_COMPILE"):
        return {}
    if "egg_info" in sys.argv or "dist_info" in sys.argv:
        return {}  # asks what the package is called: not worth a minute
    from mypyc.build import mypycify  # etc/packaging/lolly_build.py asks for it

    made = mypycify(
        ["--config-file", "setup.cfg", *files()],
        opt_level=os.environ.get("LOLLY_COMPILE_LEVEL", "2"),
        debug_level="0",
        group_name="lolly_tx",
    )
    # Fifty megabytes of C that nobody wrote: looking for doubtful places in them takes longer than compiling, and at
    # level 0 mypyc has its own assertions compiled as well.
    for each in made:
        each.extra_compile_args = [*each.extra_compile_args, "-Wno-all", "-DNDEBUG"]
        if each.name.endswith("__mypyc"):  # all but the modules that only lead there
            header = str(Path(__file__).parent / "lolly_tx" / "compiled.h")
            each.extra_compile_args += ["-include", header]
    # The scan of heads in C; without it the regular expressions read all.
    scan = Extension("lolly_tx.wire._scan", ["lolly_tx/wire/_scan.c"])
    # Reading and writing sockets by their descriptors.
    descriptors = Extension(
        "lolly_tx.net.sockets._descriptors", ["lolly_tx/net/sockets/_descriptors.c"]
    )
    # Header blocks and frames of HTTP/2, likewise.
    blocks = Extension("lolly_tx.wire.hpack._blocks", ["lolly_tx/wire/hpack/_blocks.c"])
    framing = Extension(
        "lolly_tx.wire.http2._framing", ["lolly_tx/wire/http2/_framing.c"]
    )
    return {"ext_modules": [*made, scan, descriptors, blocks, framing]}


if __name__ == "__main__":
    setup(**extensions())

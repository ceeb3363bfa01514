"""A proxy under test whose log is looked at when the test is over (L32)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.system.faults.figures import Findings
from tests.system.faults.process import ProxyProcess, running_proxy

LONGEST_HOLD = 0.1
"""Seconds the event loop may be held at most."""


@contextlib.asynccontextmanager
async def watched_proxy(
    found: Findings, config: str, **options: Any
) -> AsyncIterator[ProxyProcess]:
    """`running_proxy`; afterwards tracebacks in its log and stalls are misses."""
    async with running_proxy(config, workers=found.workers, **options) as proxy:
        try:
            yield proxy
            found.beats.update(await asyncio.to_thread(proxy.beats))
        finally:
            status = proxy.process.poll()
            if status not in (None, 0) and status != 128 + 15:
                found.equal("the proxy ended with", status, "nothing")
                found.note("its last words", proxy.log_text()[-1500:])
        bad, held = proxy.bad_lines(), proxy.longest_hold()
        if bad:
            found.equal("log", bad[0], "clean")
        starved = proxy.starved()
        found.starved = max(found.starved, starved)
        if starved > 0.1:
            found.note("time without a processor", f"{100 * starved:.0f} %")
        if held >= LONGEST_HOLD * found.slack:
            found.soon("loop held", held, LONGEST_HOLD, " s")
            found.note("by", proxy.stall_lines()[0].rpartition(", in ")[2])

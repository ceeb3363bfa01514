"""Inputs that are right but for what was changed at random (tests/system/fuzz.py)."""

from __future__ import annotations

import asyncio
import sys

from tests.system.faults.figures import Findings, Size, scenario


@scenario("L19", "mutated inputs with a canary client")
async def l19(found: Findings, size: Size) -> None:
    """None of them makes the proxy answer wrongly, nor notices anybody else."""
    inputs = str(size.pick(500, 5000, 100000))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.system.fuzz", "--inputs", inputs),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    lines = said.decode(errors="replace").strip().splitlines()
    found.equal("status", process.returncode, 0)
    found.note("says", lines[-1] if lines else "nothing")


SCENARIOS = (l19,)

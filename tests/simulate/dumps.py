"""A recording of an outage, made for tests: three targets, of which one refuses for a while."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

from lolly_tx.config import parse
from lolly_tx.config.shown import shown
from lolly_tx.domain.tape import (
    ATTEMPT,
    CHECK,
    CODES,
    IDEMPOTENT,
    LAST,
    OK,
    Tape,
    key_of,
)

SETTINGS = """
[listener.web]
endpoint = "tcp:1:interface=127.0.0.1"
[[route]]
pool = "site"
[pool.site]
targets = ["http://a", "http://b", "http://c"]
health = { path = "/", interval = "1s", timeout = "500ms", fall = FALL }
passive = { max_fails = 0 }
"""
BEGAN = 1000.0
FAILS, WELL = 10.2, 30.2
"""When `b` refuses, in seconds from the beginning."""
LASTS = 40


def settings_text(fall: int = 1) -> str:
    return SETTINGS.replace("FALL", str(fall))


def event(at: float, node: str, fact: str, old: str, new: str, cause: str) -> Any:
    return {
        "at": BEGAN + at,
        "pool": "site",
        "node": node,
        "fact": fact,
        "old": old,
        "new": new,
        "cause": cause,
    }


def outage_dump() -> dict[str, Any]:
    """What a proxy with `fall = 1` would have written down."""
    config = parse(settings_text())
    ids = [target.id for target in config.pools["site"].targets]
    tape = Tape(bytearray(1 << 20))
    down_at, up_at = 11.001, 31.001
    turn = 0
    for tick in range(LASTS * 20):
        at = tick / 20
        number = tick + 1
        serving = [one for one in ids if one != ids[1] or not down_at < at < up_at]
        node = serving[turn % len(serving)]
        turn += 1
        if node == ids[1] and FAILS <= at < WELL:
            tape.write(
                BEGAN + at + 0.0005,
                key_of("site", node),
                number,
                0.0005,
                0.0005,
                0,
                0,
                ATTEMPT,
                IDEMPOTENT | CODES["refused"],
            )
            node = serving[turn % len(serving)]
            turn += 1
        tape.write(
            BEGAN + at + 0.02,
            key_of("site", node),
            number,
            0.02,
            0.02,
            200,
            200,
            LAST,
            IDEMPOTENT,
        )
        if not tick % 20:
            for one in ids:
                bad = one == ids[1] and FAILS <= at < WELL
                code = CODES["refused"] if bad else OK
                status = 0 if bad else 200
                key = key_of("site", one)
                tape.write(
                    BEGAN + at + 0.001, key, 0, 0.001, 0.0, status, 0, CHECK, code
                )
    refused = "check: connection refused"
    return {
        "version": 1,
        "made": {"at": "2026-11-28T07:00:00.000Z", "why": "a test"},
        "now": BEGAN + LASTS,
        "settings": {"pool": shown(config)["pool"], "file": "t.toml"},
        "targets": {},
        "events": [
            event(down_at, ids[1], "health", "up", "down", refused),
            event(up_at, ids[1], "health", "down", "up", "check: 200 from /"),
        ],
        "tapes": [b64encode(zlib.compress(tape.copy())).decode()],
    }


def write_dump(folder: Path, told: Any) -> str:
    path = folder / "dump.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return str(path)

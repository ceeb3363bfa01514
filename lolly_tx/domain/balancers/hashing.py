"""Stable hashes for the balancers that go by a key.

Imports: nothing of ours. Used by: domain, domain.balancers.consistent_hash,
domain.balancers.rendezvous, proxy.

Python's own `hash` is salted per process, and would send every client elsewhere after a restart.
"""

from __future__ import annotations

from hashlib import blake2b

MASK = (1 << 64) - 1


def hash64(data: bytes) -> int:
    """A well mixed 64-bit number, the same in every process and on every machine."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def mixed(a: int, b: int) -> int:
    """Two 64-bit numbers as one, mixed so that a change of either changes every bit with even odds."""
    x = a ^ b
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31

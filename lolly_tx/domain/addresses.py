"""The record of connects to single addresses: which of them are down.

Imports: nothing of ours. Used by: net.checks, net.forward, net.library, net.sockets,
service, service.checks, service.forwards, service.tunnels.

A target is a name or an address, and a name has several addresses; which of them can be connected to is one fact of a
process, whoever finds out. What it means is a matter of limits, which differ from pool to pool:

    AddressRecords --what happened--> AddressHealth of each limits --is it down?--> whoever connects

An address nobody has failed to reach is up and takes no memory.
"""

from __future__ import annotations

from collections.abc import Hashable

import attrs

MOST_ADDRESSES = 4096
"""Addresses in trouble that are remembered for each limits; the oldest trouble goes first."""

FINE, DOUBTFUL, RISING, DOWN = range(4)
"""In which order addresses are tried; see `AddressHealth.rank`."""


@attrs.frozen
class ConnectLimits:
    """When an address is down.

    `max_fails`: failures in a row that take it down; 0: never. `fail_timeout`: seconds without news after which
    everything is forgotten. `min_rises`: successes in a row that bring it back before that.
    """

    max_fails: int = attrs.field(default=3, validator=attrs.validators.ge(0))
    fail_timeout: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    min_rises: int = attrs.field(default=2, validator=attrs.validators.ge(1))


class _Record:
    """Of one address: runs of failures and of successes, the verdict, and when it was last heard of."""

    __slots__ = ("down", "falls", "last", "rises")

    def __init__(self, now: float) -> None:
        self.falls = 0
        self.rises = 0
        self.down = False
        self.last = now


class AddressHealth:
    """The addresses as one `limits` judges them. `most`: how many are remembered."""

    def __init__(
        self, limits: ConnectLimits | None = None, most: int = MOST_ADDRESSES
    ) -> None:
        self.limits = limits or ConnectLimits()
        self._most = most
        self._records: dict[Hashable, _Record] = {}

    def __repr__(self) -> str:
        return f"<AddressHealth of {len(self._records)} in trouble, {self.limits}>"

    def __len__(self) -> int:
        return len(self._records)

    def is_down(self, address: Hashable, now: float) -> bool:
        """Whether connecting to `address` is not worth a try."""
        record = self._record(address, now)
        return record is not None and record.down

    def rank(self, address: Hashable, now: float) -> int:
        """How soon to try `address`: FINE, DOUBTFUL (failed or slow lately), RISING (down, but well since), DOWN."""
        record = self._record(address, now)
        if record is None:
            return FINE
        if not record.down:
            return DOUBTFUL
        return RISING if record.rises else DOWN

    def failed(self, address: Hashable, now: float) -> None:
        """A connect to `address` was refused, or not answered in time."""
        record = self._fresh(address, now)
        record.falls += 1
        record.rises = 0
        limit = self.limits.max_fails
        if limit and record.falls >= limit:
            record.down = True

    def succeeded(self, address: Hashable, now: float) -> None:
        """A connect to `address` came about."""
        if not self._records:
            return
        record = self._record(address, now)
        if record is None:
            return
        record.falls = 0
        record.rises += 1
        record.last = now
        if not record.down or record.rises >= self.limits.min_rises:
            del self._records[address]

    def reprieve(self, address: Hashable, now: float) -> None:
        """There is reason to ask `address` again although it is down: its next connect decides."""
        record = self._record(address, now)
        if record is not None and record.down:
            record.rises = max(1, record.rises)

    def forget(self) -> None:
        """Nothing is known of any address."""
        self._records.clear()

    def beaten(self, address: Hashable, now: float) -> None:
        """Another address was faster although it was tried later: no failure, but a reason to begin there."""
        self._fresh(address, now)

    def _record(self, address: Hashable, now: float) -> _Record | None:
        record = self._records.get(address)
        if record is not None and now - record.last >= self.limits.fail_timeout:
            del self._records[address]
            return None
        return record

    def _fresh(self, address: Hashable, now: float) -> _Record:
        """The record of `address`, moved to the end of those that may be forgotten."""
        record = self._record(address, now)
        if record is None:
            record = _Record(now)
            while len(self._records) >= self._most:
                del self._records[next(iter(self._records))]
        else:
            del self._records[address]
            record.last = now
        self._records[address] = record
        return record


class AddressRecords:
    """What happened at addresses, for all who judge it."""

    def __init__(self) -> None:
        usual = ConnectLimits()
        self._judges = {usual: AddressHealth(usual)}
        self._held = False

    def under(self, limits: ConnectLimits) -> AddressHealth:
        """The addresses as `limits` judges them; one object for equal limits.

        Unless they are the usual ones, a new one begins without a past.
        """
        return self._judges.setdefault(limits, AddressHealth(limits))

    def hold(self, held: bool) -> None:
        """Whether failures are no fault of addresses for now; what was held against some is forgotten."""
        self._held = held
        for judge in self._judges.values():
            judge.forget()

    def failed(self, address: Hashable, now: float) -> None:
        """As AddressHealth.failed, for all."""
        if self._held:
            return
        for judge in self._judges.values():
            judge.failed(address, now)

    def succeeded(self, address: Hashable, now: float) -> None:
        """As AddressHealth.succeeded, for all."""
        for judge in self._judges.values():
            judge.succeeded(address, now)

    def beaten(self, address: Hashable, now: float) -> None:
        """As AddressHealth.beaten, for all."""
        for judge in self._judges.values():
            judge.beaten(address, now)

"""The shortest versions of the most important load and fault tests, on the real process.

Their goals are those of the full versions; only times that depend on how busy the machine
is are wider (`goal * SLACK`).
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.system.faults import (
    backends,
    bodies,
    clients,
    ends,
    floods,
    life,
    reach,
    reloads,
    stalls,
    standstills,
    upgrades,
    uploads,
)
from tests.system.faults.figures import CI, Findings, Registered, Size

LIMIT_SECONDS = 60.0


class FaultTests(SynchronousTestCase):
    """Each runs a scenario and wants all of its goals met."""

    def setUp(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def meets_goals(self, scenario: Registered) -> None:
        async def limited() -> Findings:
            async with asyncio.timeout(LIMIT_SECONDS):
                return await scenario.findings(Size(CI, seed=1))

        found: Any = asyncio.run(limited())
        self.assertEqual(found.misses(), [], found.line())

    def test_l01_killed_origins(self) -> None:
        """No GET fails while origins are killed and come back."""
        self.meets_goals(backends.l01)

    def test_l02_no_post_twice(self) -> None:
        """A POST is executed once or visibly failed while origins are killed."""
        self.meets_goals(backends.l02)

    def test_l03_stopped_origin(self) -> None:
        """A stopped origin is left out, and used again when it continues."""
        self.meets_goals(backends.l03)

    def test_l04_silent_and_resetting_origins(self) -> None:
        """Timeouts are exact, and stale or resetting connections cost no GET."""
        self.meets_goals(backends.l04)

    def test_l09_reloads(self) -> None:
        """Reloads drop no request, no WebSocket, no download, and nothing that is known of targets."""
        self.meets_goals(reloads.l09)

    def test_l09b_many_reloads(self) -> None:
        """Many reloads leave no descriptor and no memory behind."""
        self.meets_goals(reloads.l09b)

    def test_l10_refused_reloads(self) -> None:
        """Wrong settings under load are refused and change nothing."""
        self.meets_goals(reloads.l10)

    def test_l12_stopping(self) -> None:
        """SIGTERM lets exchanges end and exits with 0; a second one does not wait."""
        self.meets_goals(life.l12)

    def test_l13_back_pressure(self) -> None:
        """A slow reader on either side slows the other, and nothing piles up."""
        self.meets_goals(bodies.l13)

    def test_l13b_last_answers(self) -> None:
        """A slow reader has the whole of an answer after which the proxy closes."""
        self.meets_goals(bodies.last_answers)

    def test_l13c_slow_streams(self) -> None:
        """A slow side of an HTTP/2 stream slows the other, and nothing piles up."""
        self.meets_goals(stalls.slow_streams)

    def test_l13d_stalled_stream(self) -> None:
        """A stream that stands still costs a hundred others of its connection nothing."""
        self.meets_goals(stalls.stalled_stream)

    def test_l16_aborts_at_each_stage(self) -> None:
        """Clients that reset, at any stage, leave nothing behind."""
        self.meets_goals(clients.l16)

    def test_l17_out_of_descriptors(self) -> None:
        """Out of descriptors the proxy neither spins nor dies, and recovers."""
        self.meets_goals(clients.l17)

    def test_l20_floods(self) -> None:
        """Who floods HTTP/2 connections is away within two seconds, and nobody else notices."""
        self.meets_goals(floods.l20)

    def test_l22_injuring_relay(self) -> None:
        """Over a bad network an answer is right or visibly failed."""
        self.meets_goals(backends.l22)

    def test_l23_aborts_in_the_response(self) -> None:
        """A client that leaves ends the transfer upstream at once."""
        self.meets_goals(clients.l23)

    def test_l28_clock_step(self) -> None:
        """A step of the wall clock fires and delays no timer."""
        self.meets_goals(life.l28)

    def test_l29_disk_full(self) -> None:
        """A full disk stops the access log, not the traffic."""
        self.meets_goals(life.l29)

    def test_l40_early_answers(self) -> None:
        """Clients that send all before they read get the answer that came early."""
        self.meets_goals(ends.l40)

    def test_l41_restart(self) -> None:
        """A restart under keep-alive load cuts nobody."""
        self.meets_goals(ends.l41)

    def test_l42_websockets_at_a_stop(self) -> None:
        """WebSockets are told that the proxy goes away, between two frames."""
        self.meets_goals(ends.l42)

    def test_l43_names_that_hang(self) -> None:
        """Names that hang harm no other pool."""
        self.meets_goals(reach.l43)

    def test_l44_lone_backend_restarted(self) -> None:
        """A lone backend that is restarted is back about a second after it listens."""
        self.meets_goals(reach.l44)

    def test_l50_steady_readers(self) -> None:
        """Who takes bytes steadily is not cut, a client nor an origin."""
        self.meets_goals(standstills.l50)

    def test_l51_frozen_proxy(self) -> None:
        """A proxy that stood still reads first and judges then."""
        self.meets_goals(standstills.l51)

    def test_l52_frozen_target(self) -> None:
        """What waits at a frozen target is answered by another."""
        self.meets_goals(standstills.l52)

    def test_l53_slow_uploads(self) -> None:
        """Uploads may take longer than the time to answer, and stalled ones eject nobody."""
        self.meets_goals(uploads.l53)

    def test_l11_upgrades(self) -> None:
        """Upgrades under load: nobody is refused or cut, the process keeps its number, and no old one stays."""
        self.meets_goals(upgrades.l11)

    def test_l11b_refused_upgrades(self) -> None:
        """An upgrade that refuses changes nothing, and the next one can be."""
        self.meets_goals(upgrades.l11b)

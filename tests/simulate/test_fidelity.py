"""A simulated request takes the decisions of a real exchange, in the same order.

Both are `domain.retries.attempts`; what they perform differs. Here both go through the same
outcomes, and every call that decides something is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lolly_tx.domain.lease import Lease
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.simulate.journey import Journey
from lolly_tx.simulate.load import Client
from tests.proxy.world import World, WorldTestCase, answer, get, post

Outcomes = Mapping[str, int | str]

ALL = ("connect", "timeout", "reset", "503")

CASES: dict[str, tuple[Outcomes, dict[str, Any]]] = {
    "at once": ({"a": 200}, {}),
    "refused": ({"a": "refused", "b": 200}, {}),
    "refused twice": ({"a": "refused", "b": "refused"}, {}),
    "all refuse": ({"a": "refused", "b": "refused", "c": "refused"}, {"tries": 9}),
    "reset": ({"a": "reset", "b": 404}, {}),
    "silent": ({"a": "silent", "b": 200}, {}),
    "status of no interest": ({"a": 500}, {}),
    "status": ({"a": 503, "b": 200}, {"on": ALL}),
    "held": ({"a": 503, "b": "refused"}, {"on": ALL}),
    "held twice": ({"a": 503, "b": 503, "c": 503}, {"on": ALL, "tries": 3}),
    "third is good": ({"a": 503, "b": "reset", "c": 200}, {"on": ALL, "tries": 3}),
    "nothing is retried": ({"a": "reset"}, {"on": ("connect",)}),
}


class StubRecording:
    def __init__(self) -> None:
        self.statuses: list[int] = []

    def finished(self, journey: Any, status: int, error: Any, now: float) -> None:
        self.statuses.append(status)

    def retried(self, now: float) -> None:
        pass


class StubWorld:
    """As much of a simulated world as one journey needs, around a forwarder of tests."""

    def __init__(self, world: World, outcomes: Outcomes) -> None:
        self.forwarder = world.forwarder
        self.acquire = world.forwarder.acquire
        self.room = None
        self.patience = 0.0
        self.read_timeout = self.connect_timeout = 30.0
        self.now = world.clock.seconds
        self.recording = StubRecording()
        self.models = {node_id: StubModel(outcomes[node_id]) for node_id in outcomes}
        self.under_way: set[Any] = set()
        self.queue: list[tuple[float, Callable[..., None], Any, Any]] = []

    def schedule(self, at: float, call: Any, a: Any = None, b: Any = None) -> None:
        self.queue.append((at, call, a, b))

    def run(self) -> None:
        while self.queue:
            at, call, a, b = self.queue.pop(0)
            call(at, a, b)


class StubModel:
    def __init__(self, outcome: int | str) -> None:
        self.outcome = outcome

    def answer(self, now: float, number: int = 0) -> tuple[float, int, str]:
        if isinstance(self.outcome, int):
            return 0.01, self.outcome, ""
        return (99.0 if self.outcome == "silent" else 0.01), 0, self.outcome


class FidelityTests(WorldTestCase):
    def fresh(self, **settings: Any) -> World:
        budget = RetryBudget(*settings.pop("budget", (0.2, 3.0)))
        return self.world("a", "b", "c", attempts={"budget": budget}, **settings)

    def watch(self, world: World) -> list[tuple[str, ...]]:
        """Every decision from now on."""
        log: list[tuple[str, ...]] = []
        succeeded, failed, release = Lease.succeeded, Lease.failed, Lease.release
        answered = Lease.answered
        acquire = world.pool.acquire
        withdraw = RetryBudget.withdraw

        def acquired(*args: Any, **kwargs: Any) -> Lease:
            try:
                lease = acquire(*args, **kwargs)
            except Exception as error:
                log.append(("no lease", type(error).__name__))
                raise
            log.append(("acquire", lease.node.id))
            return lease

        def has_answered(lease: Lease, now: float, status: int) -> None:
            if not (lease.status or lease._judged):
                log.append(("answered", lease.node.id, str(status)))
            answered(lease, now, status)

        def has_succeeded(lease: Lease, now: float, *args: Any) -> None:
            has_answered(lease, now, *args or (200,))
            if not lease._judged:
                log.append(("succeeded", lease.node.id))
            succeeded(lease, now, *args)

        def has_ended(lease: Lease, now: float, status: int) -> None:
            has_succeeded(lease, now, status)
            released(lease, now)

        def has_failed(lease: Lease, now: float, error: Any) -> None:
            if not lease._judged:
                log.append(("failed", lease.node.id, error.kind))
            failed(lease, now, error)

        def released(lease: Lease, now: float) -> None:
            if lease.open:
                log.append(("release", lease.node.id))
            release(lease, now)

        def withdrawn(budget: RetryBudget, now: float) -> bool:
            granted = withdraw(budget, now)
            log.append(("budget", str(granted)))
            return granted

        self.patch(Lease, "answered", has_answered)
        self.patch(Lease, "succeeded", has_succeeded)
        self.patch(Lease, "ended", has_ended)
        self.patch(Lease, "failed", has_failed)
        self.patch(Lease, "release", released)
        self.patch(RetryBudget, "withdraw", withdrawn)
        world.pool.acquire = acquired  # type: ignore[method-assign]
        return log

    def real(
        self, outcomes: Outcomes, request: bytes, **settings: Any
    ) -> tuple[int, list[tuple[str, ...]]]:
        """The status and the decisions of a real exchange."""
        world = self.fresh(**settings)
        log = self.watch(world)
        client = world.client()
        client.send(request)
        data = b""
        while not (data := data + client.take()):
            (node,) = (n for n in outcomes if world.connects(n))
            outcome = outcomes[node]
            if outcome == "refused":
                world.refuse(node)
                continue
            backend = world.accept(node)
            if isinstance(outcome, int):
                backend.send(answer(status=outcome))
            elif outcome == "reset":
                backend.reset()
            else:
                world.pass_time(31)
        found = list(log)
        return int(data.split()[1]), found

    def simulated(
        self, outcomes: Outcomes, *, is_post: bool = False, **settings: Any
    ) -> tuple[int, list[tuple[str, ...]]]:
        """The same of a simulated one."""
        world = self.fresh(**settings)
        log = self.watch(world)
        stub: Any = StubWorld(world, outcomes)
        Journey(stub, Client(1), is_post, 0.0).arrive()
        stub.run()
        return stub.recording.statuses[0], list(log)

    def test_cases(self):
        """Leases, verdicts, releases and budget come alike, and so does the answer."""
        for name, (outcomes, settings) in CASES.items():
            real = self.real(outcomes, get(), **settings)
            self.assertEqual(real, self.simulated(outcomes, **settings), name)
            self.assertGreater(len(real[1]), 2)

    def test_post(self):
        """What may not be repeated is not, except when nothing was sent."""
        for outcome in ("reset", "refused"):
            outcomes = {"a": outcome, "b": 200}
            real = self.real(outcomes, post(0))
            self.assertEqual(real, self.simulated(outcomes, is_post=True))

    def test_no_budget(self):
        """Without a budget there is no other attempt."""
        outcomes = {"a": "refused"}
        real = self.real(outcomes, get(), budget=(0.0, 0.0))
        self.assertEqual(real, self.simulated(outcomes, budget=(0.0, 0.0)))

"""All load and fault tests, in their shortest versions, on the real process.

Their goals are those of the full versions; only times that depend on how busy the machine
is are wider (`goal * SLACK`).
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.system.faults.figures import CI, Registered, Size
from tests.system.faults.scenarios import SUBJECTS

LIMIT_SECONDS = 120.0


class Faults(SynchronousTestCase):
    """Runs scenarios and wants all of their goals met."""

    def setUp(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def meets_goals(self, registered: Registered) -> None:
        size = Size(CI)
        found = registered.findings(size)

        async def limited() -> None:
            async with asyncio.timeout(LIMIT_SECONDS):
                await registered.run(found, size)

        asyncio.run(limited())
        self.assertEqual(found.misses(), [], found.line())


def running(registered: Registered) -> Callable[[Faults], None]:
    """The test method that runs it."""

    def test(self: Faults) -> None:
        self.meets_goals(registered)

    test.__doc__ = registered.title
    return test


# A class for each subject: pytest-xdist gives a class to one process (`--dist loadscope`).
for subject, scenarios in SUBJECTS.items():
    tests = {f"test_{each.name.lower()}": running(each) for each in scenarios}
    name = f"{subject.title()}Tests"
    globals()[name] = type(name, (Faults,), {**tests, "__module__": __name__})

"""All scenarios: by the subject they are of, and by name."""

from __future__ import annotations

from tests.system.faults import (
    backends,
    bodies,
    clients,
    ends,
    floods,
    life,
    many,
    mutants,
    reach,
    reloads,
    soak,
    stalls,
    standstills,
    tunnels,
    upgrades,
    uploads,
)
from tests.system.faults.figures import Registered

SUBJECTS: dict[str, tuple[Registered, ...]] = {
    module.__name__.rpartition(".")[2]: module.SCENARIOS
    for module in (
        backends,
        bodies,
        clients,
        ends,
        floods,
        life,
        many,
        mutants,
        reach,
        reloads,
        soak,
        stalls,
        standstills,
        tunnels,
        upgrades,
        uploads,
    )
}

SCENARIOS = {each.name: each for found in SUBJECTS.values() for each in found}

"""All scenarios: by the subject they are of, and by name."""

from __future__ import annotations

from importlib import import_module

from tests.system.faults.figures import Registered

_MODULES = (
    "backends bodies clients ends floods life many mutants reach reloads soak stalls standstills tunnels upgrades"
    " uploads"
)

SUBJECTS: dict[str, tuple[Registered, ...]] = {
    name: import_module(f"tests.system.faults.{name}").SCENARIOS
    for name in _MODULES.split()
}

SCENARIOS = {each.name: each for found in SUBJECTS.values() for each in found}

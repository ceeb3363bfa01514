"""What `lolly simulate` does, from file names to text.

Imports: config, service, simulate. Used by: commands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from lolly_tx.config import ConfigErrors, Names, load
from lolly_tx.service.registry import Registry
from lolly_tx.simulate.compare import comparison, differences
from lolly_tx.simulate.findings import Values, findings
from lolly_tx.simulate.report import report
from lolly_tx.simulate.scenario import load_scenario
from lolly_tx.simulate.world import simulate


def simulation(
    config: str,
    scenario: str,
    *,
    environ: Mapping[str, str],
    names: Names,
    pool: str = "",
    seed: int = 0,
    other: str = "",
    as_json: bool = False,
    registry: Registry | None = None,
) -> str:
    """Run `scenario` on `config`, and on `other` if given; what to print.

    `pool`: in place of the scenario's own. `registry`: the plugins there are.
    Raises `ConfigErrors` with every problem of every file.
    """
    found: list[Values] = []
    problems = []
    runs = []
    for file in [config, other] if other else [config]:
        try:
            loaded = load(file, environ, names=names)
            runs.append((loaded, *load_scenario(scenario, loaded, pool)))
        except ConfigErrors as errors:
            problems += [p for p in errors.problems if p not in problems]
    if problems:
        raise ConfigErrors(problems)
    for loaded, read, settings in runs:
        found.append(findings(simulate(loaded, settings, read, seed, registry)))
    if as_json:
        return _json(found)
    return comparison(*found) if other else report(found[0])


def _json(found: list[Values]) -> str:
    values = found[0]
    if len(found) > 1:
        values = {
            "one": found[0],
            "other": found[1],
            "differences": differences(*found),
        }
    return json.dumps(values, indent=2) + "\n"

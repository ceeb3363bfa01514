"""Configurations and scenarios for the tests of the simulation."""

from __future__ import annotations

from lolly_tx.config import parse
from lolly_tx.config.model import Config
from lolly_tx.simulate.scenario import parse_scenario
from lolly_tx.simulate.world import Run, simulate

ROUTE = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "site"
"""

THREE = (
    ROUTE
    + """
[pool.site]
targets = ["http://10.0.0.1:80", "http://10.0.0.2:80", "http://10.0.0.3:80"]
"""
)

CHECKED = THREE + "[pool.site.health]\n"
UNPASSIVE = CHECKED + "[pool.site.passive]\nmax_fails = 0\n"

CALM = """
duration = "1m"
[load]
rate = 20
"""

DEAD = (
    CALM.replace("1m", "3m")
    + """
[[fault]]
on = 2
kind = "refuse"
at = "30s"
for = "1m"
"""
)


def config(text: str) -> Config:
    return parse(text, "t.toml")


def run(config_text: str, scenario_text: str, seed: int = 0) -> Run:
    """Simulate a scenario on the only pool of a configuration."""
    loaded = config(config_text)
    scenario, settings = parse_scenario(scenario_text, "s.toml", loaded)
    return simulate(loaded, settings, scenario, seed)

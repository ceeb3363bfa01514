"""Layer 1: pure text to frozen settings.

`load` reads a file (`parse` a text) into a `model.Config`, or raises `ConfigErrors` with
everything that is wrong.

Imports: config, config.kinds, config.texts. Used by: commands, service.demo, simulate,
tap.
"""

from lolly_tx.config.kinds.problems import ConfigErrors, Problem
from lolly_tx.config.load import load, parse
from lolly_tx.config.texts.reading import Names

__all__ = ["ConfigErrors", "Names", "Problem", "load", "parse"]

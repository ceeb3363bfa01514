"""The version, in one place, and which build of it this is: setup.cfg and the command line read it here."""

from importlib.util import find_spec

__version__ = "0.1.0"


def build() -> str:
    """What the hot modules are: "compiled", or "pure Python" (docs/performance.md)."""
    module = find_spec("lolly_tx.wire.http1")  # one of those that are compiled together
    source = module is None or (module.origin or "").endswith(".py")
    return "pure Python" if source else "compiled"


def described() -> str:
    """What is installed, in words."""
    return f"lolly_tx {__version__} ({build()})"

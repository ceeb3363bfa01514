"""lolly_tx: a reverse proxy and load balancer that is a Twisted plugin."""

from lolly_tx._version import __version__

__all__ = ["__version__"]

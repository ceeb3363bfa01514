"""Home of third-party plugins: balancers, checks, discovery, middleware.

A package ships a module at `lolly_tx/plugins/NAME.py`, without an `__init__.py` beside
it, and `twisted.plugin.getPlugins(interface, lolly_tx.plugins)` finds it, wherever on
`sys.path` that folder lives.

Imports: Twisted. Used by: commands.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []

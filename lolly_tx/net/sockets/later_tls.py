"""Twisted's reactor without pyOpenSSL, until somebody imports that.

Twisted's sockets import pyOpenSSL and `cryptography` where they can: 13 MiB, and a fifth of the start, of a process
that may never speak TLS. `tls_later` has it believe that neither is there, and whoever imports `OpenSSL` first, or what
Twisted has for TLS, has it learn otherwise: then Twisted's modules have what they have in any other process, and so
have the connections that are open. Where that import fails, the next one finds all as the first did. Only a release of
Twisted that this was looked at with is held back.

Imports: Twisted, pyOpenSSL. Used by: net.proxies, net.sockets.endpoints,
net.sockets.health_map, net.sockets.reactor, service, service.changes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from twisted._version import __version__ as version

LIBRARY = "OpenSSL"
_WITH_IT = (
    "twisted.internet.endpoints",
    "twisted.internet.posixbase",
    "twisted.internet.tcp",
)
"""What looks for it when it is imported, and at no other time."""

_TOGETHER = (
    LIBRARY,
    "service_identity",
    "twisted.internet._newtls",
    "twisted.internet._service_identity",
    "twisted.internet._sslverify",
    "twisted.internet.ssl",
    "twisted.protocols._sni",
    "twisted.protocols._tls_legacy",
    "twisted.protocols.tls",
)
"""It, and what Twisted has for TLS: made of it, and what the others are completed by."""

LOOKED_AT = ((26, 10),)
"""Releases of Twisted; what `_complete` does is right for them."""

_NEEDLESS = ("tcp:", "unix:", "systemd:", "udp:", "lolly:", "tunnel:", "forward:")
"""Strings that lead nowhere by TLS of their own."""


@contextmanager
def tls_later() -> Iterator[None]:
    """Twisted's own modules that are imported within do without pyOpenSSL, as long as nobody imports it.

    Nothing happens where it, or one of them, was imported before.
    """
    known = (version.major, version.minor) in LOOKED_AT
    if not known or any(name in sys.modules for name in (LIBRARY, *_WITH_IT)):
        yield
        return
    sys.modules[LIBRARY] = None  # type: ignore[assignment]  # what the import system takes for "not there"
    try:
        for name in _WITH_IT:
            import_module(name)

        yield
    finally:
        del sys.modules[LIBRARY]
        sys.meta_path.insert(0, _First())


def with_tls(text: str) -> str:
    """`text`, the string of an endpoint, when all that its parser may need is there."""
    if not text.startswith(_NEEDLESS):
        import OpenSSL  # noqa: F401
    return text


class _First(MetaPathFinder):
    """Has Twisted completed with the first import of pyOpenSSL, whichever of `_TOGETHER` brings it.

    It stays where it is afterwards: to take it out would have an import in another thread skip a finder.
    """

    def __init__(self) -> None:
        self._half: set[str] = set()
        """Those of `_TOGETHER` that are being imported, or complete the others."""
        self._complete = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Where it is, and what is done once it was imported; None for everything else."""
        if self._complete or fullname not in _TOGETHER:
            return None
        after = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (each.find_spec(fullname, path, target) for each in after)
        spec = next((each for each in found if each is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader, fullname)
        return spec

    def _follow(self, loader: Any, name: str) -> None:
        """Look again when `loader` has imported `name`."""

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            with self._halfway(name):
                loader.exec_module(module)
            # Nothing can be taken from what is half imported: the last to be whole is the one that completes.
            if not self._half and LIBRARY in sys.modules:
                with self._halfway(name):
                    _complete()
                self._complete = True

        loader.exec_module = exec_module

    @contextmanager
    def _halfway(self, name: str) -> Iterator[None]:
        self._half.add(name)
        try:
            yield
        finally:
            self._half.discard(name)


def _complete() -> None:
    """Give Twisted's modules what they would have had, had it been there."""
    from twisted.internet import _newtls, endpoints, interfaces, posixbase, ssl, tcp
    from twisted.protocols import _sni, tls
    from zope.interface import classImplements

    _have(
        endpoints,
        ssl,
        "Certificate CertificateOptions KeyPair PrivateCertificate optionsForClientTLS trustRootFromCertificates",
    )
    _have(endpoints, _sni, "SNIConnectionCreator autoReloadingDirectoryOfPEMs")
    _have(endpoints, tls, "TLSMemoryBIOFactory")
    made: Any = endpoints
    made.SSLError = sys.modules[LIBRARY].SSL.Error
    made._TLSServerEndpoint = _sni.TLSServerEndpoint
    made._TLSMemoryBIOFactory = tls.TLSMemoryBIOFactory
    base: Any = posixbase
    base.tls = base._tls = tls
    base.ssl = base._ssl = ssl
    classImplements(posixbase.PosixReactorBase, interfaces.IReactorSSL)
    sockets: Any = tcp
    for kind in ("Connection", "Client", "Server"):
        stub = getattr(sockets, f"_TLS{kind}Mixin")
        real = getattr(_newtls, f"{kind}Mixin")
        owner = {"Client": tcp.BaseClient}.get(kind) or getattr(sockets, kind)
        owner.__bases__ = tuple(real if b is stub else b for b in owner.__bases__)
        setattr(sockets, f"_TLS{kind}Mixin", real)
    sockets.ITLSTransport = interfaces.ITLSTransport
    classImplements(tcp.Connection, interfaces.ITLSTransport)


def _have(module: Any, other: Any, names: str) -> None:
    for name in names.split():
        setattr(module, name, getattr(other, name))

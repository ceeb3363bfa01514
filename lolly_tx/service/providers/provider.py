"""A cluster as a provider: what it says is translated, read, put into force as a change of the settings, and answered.

    Cluster --objects--> translate --tables--> read_provided --> Reloader.amend: as any other change, in all workers
                            `---------statuses, with what was refused--> StatusWriter

Imports: config, kubernetes, net.kubernetes, service, service.certificates,
service.changes, service.providers, Twisted. Used by: service.providers.running.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificates
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.provided import Known, Provided, read_provided
from lolly_tx.config.providers import Provider as Settings
from lolly_tx.kubernetes.drafts import Owner
from lolly_tx.kubernetes.terms import Terms
from lolly_tx.kubernetes.translation import Outcome, translate
from lolly_tx.net.kubernetes.access import InThread
from lolly_tx.net.kubernetes.api import Api
from lolly_tx.service.certificates.secretfolders import put_secrets, secret_folder
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.generation import Refused
from lolly_tx.service.isotime import iso_time
from lolly_tx.service.providers.bringing import bring
from lolly_tx.service.providers.cluster import Cluster
from lolly_tx.service.providers.gathering import Gathering
from lolly_tx.service.providers.statuses import StatusWriter
from lolly_tx.service.providers.words import SHOWN, Silence, provider_shown

Worked = tuple[Outcome, Provided, dict[Any, str]]


class Provider:
    """See the module. `api`: None: the one that the settings say."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        settings: Settings,
        reloader: Reloader,
        in_thread: InThread,
        api: Api | None = None,
    ) -> None:
        self.settings = settings
        self.applied = False
        """Whether what the cluster says was put into force once."""
        self.silence = Silence(settings.name)
        self.failing = ""
        """Why what it says could not be put into force the last time."""
        self.refused: Mapping[Owner, str] = {}
        self.outcome: Outcome | None = None
        self._reloader = reloader
        self._in_thread = in_thread
        self._around = reloader.service.surroundings
        self._cluster = Cluster(
            settings,
            self._around,
            in_thread,
            self._changed,
            self.silence.begin,
            api,
        )
        self._statuses = StatusWriter(self._cluster.api)
        self._gathering = Gathering(self._around.reactor, self._work, self._eb_failed)
        self._known = Known()
        self._certificates: Mapping[str, Mapping[str, str]] | None = None

    @property
    def error(self) -> str:
        """Why what is in force may not be what there is; "": it is."""
        return self.silence.why or self.failing

    def start(self) -> None:
        """Begin to ask."""
        self._cluster.start()

    def stop(self) -> None:
        """Ask no more; what is in force stays."""
        self._gathering.stop()
        self._cluster.stop()
        self._statuses.stop()

    def forget(self) -> None:
        """Nothing is kept of it."""

    def _changed(self) -> None:
        if self._cluster.current:
            self.silence.end()
        self._gathering.soon()

    def again(self) -> None:
        """The settings of the file are others: look at all of it beside them."""
        if self._cluster.complete:
            self._gathering.soon()

    def _eb_failed(self, reason: Failure) -> None:
        said = f"what it says cannot be put into force: {reason.getErrorMessage()}"
        if not reason.check(Refused, OSError):
            self.log.failure("Provider {name} failed", reason, name=self.settings.name)
        elif self.failing != said:
            self.log.error("Provider {name}: {why}", name=self.settings.name, why=said)
        self.failing = said

    # -- one look at all of it

    async def _work(self) -> None:
        objects, terms = self._cluster.objects(), self.terms()
        standing = self._reloader.standing

        def work() -> Worked:
            outcome = translate(objects, terms)
            draft = outcome.draft
            provided, refused, known = read_provided(
                draft.settled(),
                draft.pools,
                standing.base,
                standing.names,
                self._known,
            )
            self._known = known
            streams = {
                name: MappingProxyType(
                    {
                        host: pool
                        for host, (_, pool) in hosts.items()
                        if pool in provided.pools
                    }
                )
                for name, hosts in draft.streams.items()
            }
            provided = attrs.evolve(provided, streams=MappingProxyType(streams))
            if draft.certificates != self._certificates:
                self._put(draft.certificates)
            return outcome, provided, refused

        outcome, provided, refused = await self._in_thread(work)
        await bring(self._reloader, self.settings.name, lambda _: provided)
        self._certificates = outcome.draft.certificates
        self._note(outcome, {**outcome.wrong, **refused})
        self.applied, self.failing = True, ""
        now = iso_time(self._around.wall())
        # Kubernetes has no fractions of seconds in times of conditions.
        now = now.partition(".")[0] + "Z"
        # Those of ten thousand routes take as long as a thousand requests.
        statuses = await self._in_thread(lambda: outcome.statuses(refused, now))
        self._statuses.write(statuses, objects)

    def _put(self, certificates: Mapping[str, Mapping[str, str]]) -> None:
        """Let the folders of the listeners have them. In a thread."""
        base = self._reloader.standing.base
        for listener in set(self.settings.listeners.values()):
            if listener in base.listeners and base.listeners[listener].tls is not None:
                folder = secret_folder(base, self.settings, listener)
                put_secrets(folder, certificates.get(listener, {}))

    def _note(self, outcome: Outcome, wrong: Mapping[Owner, str]) -> None:
        news = [one for one in wrong.items() if self.refused.get(one[0]) != one[1]]
        for (kind, key), why in news[:SHOWN]:
            self.log.warn(
                "Provider {name} does not serve {kind} {object}: {why}",
                name=self.settings.name,
                kind=kind,
                object="/".join(filter(None, key)),
                why=why,
            )
        if len(news) > SHOWN:
            self.log.warn(
                "Provider {name} does not serve {count} more, as their statuses say",
                name=self.settings.name,
                count=len(news) - SHOWN,
            )
        self.outcome, self.refused = outcome, wrong

    def terms(self) -> Terms:
        """How the cluster is taken."""
        one, base = self.settings, self._reloader.standing.base
        discover = {
            "url": one.api,
            "token": one.token,
            "token_file": one.token_file,
            "ca": one.ca,
            "watch": "namespace" if one.namespaces else "all",
        }
        return Terms(
            one.of_class,
            one.listeners,
            frozenset(base.streams),
            discover={key: value for key, value in discover.items() if value},
            pool=one.pool,
            addresses=one.addresses,
            unusable=why_unusable,
        )

    # -- what is shown

    def shown(self) -> dict[str, Any]:
        """As JSON-able values."""
        outcome = self.outcome
        return provider_shown(
            self.settings.name,
            self.settings.type,
            self.error,
            self.applied,
            (
                {"kind": kind, "name": "/".join(filter(None, key)), "why": why}
                for (kind, key), why in self.refused.items()
            ),
            gateways=len(outcome.gateways) if outcome else 0,
            routes=len(outcome.routes) if outcome else 0,
            ingresses=len(outcome.ingresses) if outcome else 0,
        )


def why_unusable(chain: bytes, key: bytes) -> str:
    """Why a chain and a key in PEM form are none; "": they are, and belong together."""
    try:
        certificates = load_pem_x509_certificates(chain)
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "no certificate and key in PEM form"
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    own = private.public_key().public_bytes(*form)
    if certificates[0].public_key().public_bytes(*form) != own:
        return "the key is not that of the certificate"
    return ""

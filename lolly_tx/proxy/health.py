"""Whether the proxy itself is well, told on a listener beside what it forwards.

    GET /healthz    200 while the process answers at all
    GET /readyz     200, or 503: a listener is not up, the proxy drains, a pool has no target

For balancers and orchestrators that cannot reach the admin endpoint, which also tells the reasons.
Chosen when the configuration is loaded, so that other listeners never look for these paths.

Imports: domain.routing, net, proxy, wire. Used by: proxy.challenges, service.
"""

from __future__ import annotations

from collections.abc import Callable

from lolly_tx.domain.routing.routes import RouteTable
from lolly_tx.net.doors import BodyStart, DoorIn
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.own_answers import OnRefusal, OwnAnswers
from lolly_tx.proxy.proxy import Proxy, RouteEnd
from lolly_tx.proxy.replies import reason_of
from lolly_tx.wire.message import RequestHead

HEALTH_PATHS = (b"/healthz", b"/readyz")
_FIELDS = (
    b"\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
    b"Content-Length: %d\r\n"
)


class HealthProxy(Proxy):
    """A proxy that answers `HEALTH_PATHS` itself, whatever the Host, and logs nothing of it.

    `ready`: whether new requests are welcome. The other parameters are Proxy's.
    """

    def __init__(
        self,
        table: RouteTable[RouteEnd],
        introduction: Introduction,
        on_refusal: OnRefusal | None = None,
        own: OwnAnswers | None = None,
        *,
        ready: Callable[[], bool],
    ) -> None:
        super().__init__(table, introduction, on_refusal, own)
        self._ready = ready

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Answer, or let it be forwarded."""
        path = head.target.partition(b"?")[0]
        if path in HEALTH_PATHS and head.method in (b"GET", b"HEAD"):
            self._tell(door, path, head.method == b"HEAD")
        else:
            super().open_exchange(door, head, start)

    def _tell(self, door: DoorIn, path: bytes, is_head: bool) -> None:
        status, said = 200, b'{"alive": true}\n'
        if path == b"/readyz":
            if self._ready():
                said = b'{"ready": true}\n'
            else:
                status, said = 503, b'{"ready": false}\n'
        fields = _FIELDS % len(said)
        door.answer(status, reason_of(status), fields, b"" if is_head else said)

"""The client's door behind a chain that only decides, and changes the fields of messages always in the same way.

    client's door --request_data--> FieldDoor --> what serves the request (an exchange)
    client's door <-----fields----- FieldDoor <-- the same

In the place of a `proxy.chains.passage.Passage` and its `proxy.chains.innerdoor.InnerDoor` where nobody could ask them
anything: bytes pass as they are, relays and tunnels are the client's. Only when a link fails, an inner door takes its
place.

Imports: domain, net, proxy.chains, wire. Used by: proxy.chains.chain.
"""

from __future__ import annotations

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.doors import BODILESS, DoorIn, RequestSink
from lolly_tx.proxy.chains.filters import LinkFailed
from lolly_tx.proxy.chains.innerdoor import InnerDoor
from lolly_tx.proxy.chains.link import Way
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.chains.throughdoor import ThroughDoor
from lolly_tx.wire.message import RequestHead


class FieldDoor(ThroughDoor):
    """See the module: a door to who serves a request, and to the client's door its exchange (`net.doors.RequestSink`).

    `chain`: which request `head` has come through; who serves it gets `changed`.
    """

    __slots__ = ("_chain", "_head")

    exchange: RequestSink | None

    def __init__(
        self, chain: Way, door: DoorIn, head: RequestHead, changed: RequestHead
    ) -> None:
        # In one go: one is made for each request.
        self.peer = door.peer
        self.asked = None if changed is head else head
        self.exchange = None
        self.status = self.sent = 0
        self._chain = chain
        self._out = door
        self._head = head

    # -- the answer

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """The whole response."""
        made = self._chain.ready[-1]
        if made is not None:
            changed = made.known.get(fields)
            if changed is None:
                try:
                    changed = made.of(fields)
                except LinkFailed as failed:
                    self._broke(failed, True)
                    return
            fields = changed
        self.exchange = None
        self._out.answer(status, reason, fields, body)

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response."""
        made = self._chain.ready[-1]
        if made is not None:
            try:
                fields = made.of(fields)
            except LinkFailed as failed:
                self._broke(failed)
                return
        self._out.start(status, reason, fields, framing)

    def _broke(self, failed: LinkFailed, ending: bool = False) -> None:
        """A link has failed: the client gets what it gets of any chain. `ending`: the answer is complete."""
        chain, out = self._chain, self._out
        passage = Passage(chain, out, self._head, BODILESS)
        passage.inner = inner = InnerDoor(passage, out, len(chain.links))
        inner.exchange, self.exchange = self.exchange, None
        passage.broke_off(failed, ending)
        self.status, self.sent = inner.status, inner.sent

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """End the response."""
        self.exchange = None
        self._out.finish(trailers, last)

    def abort(self, code: int = 0) -> None:
        """Let the client see that it is not complete."""
        self.exchange = None
        self._out.abort(code)

    def tunnel_closed(self) -> None:
        """See `DoorIn`."""
        self.exchange = None

    # -- RequestSink: what the client's door tells

    def request_data(self, data: bytes) -> None:
        """Body bytes."""
        if self.exchange is not None:
            self.exchange.request_data(data)

    def request_end(self, trailers: bytes) -> None:
        """The body is complete."""
        if self.exchange is not None:
            self.exchange.request_end(trailers)

    def request_stalled(self) -> None:
        """A relay of the body waits for who serves it."""
        if self.exchange is not None:
            self.exchange.request_stalled()

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone, or broke the rules."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.downstream_failed(error)

    def response_changed(self, status: int, size: int) -> None:
        """Something in front of this chain has made another answer of it."""
        if self.exchange is not None:
            self.exchange.response_changed(status, size)

    def response_unwanted(self) -> None:
        """Nobody wants the rest of the answer."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.response_unwanted()

    def pause_response(self) -> None:
        """The client takes no more for now."""
        if self.exchange is not None:
            self.exchange.pause_response()

    def resume_response(self) -> None:
        """The client takes more."""
        if self.exchange is not None:
            self.exchange.resume_response()

"""What twistd learns about lolly_tx: the command `lolly` and the reactor `lolly`.

Imported by every twistd on the machine, so it names modules and imports none of ours.
"""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

lolly = ServiceMaker(
    "lolly",
    "lolly_tx.tap",
    "Reverse proxy and load balancer with health checks.",
    "lolly",
)

lollyReactor = Reactor(
    "lolly",
    "lolly_tx.net.sockets.reactor",
    "The epoll reactor with a lean poll loop, for lolly.",
)

"""Names as the proxy under test sees them: `*.hang.test` takes ten seconds to fail, `*.good.test` is this machine."""

import socket
import time

_system = socket.getaddrinfo


def getaddrinfo(host, *rest, **named):
    """What the system's resolver would do with such names, without one."""
    text = host.decode() if isinstance(host, bytes) else str(host)
    if text.endswith(".hang.test"):
        time.sleep(10)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
    if text.endswith(".good.test"):
        host = "127.0.0.1"
    return _system(host, *rest, **named)


socket.getaddrinfo = getaddrinfo

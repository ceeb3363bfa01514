"""The settings of what one client, one message and the process may take, in bytes, numbers and seconds.

Imports: config.kinds. Used by: config.model.
"""

from __future__ import annotations

from typing import Literal

import attrs

from lolly_tx.config.kinds.plain import Choice, Count, Duration, Size
from lolly_tx.config.kinds.schema import about


@attrs.frozen
class Limits:
    """What one client, one message and the process may take."""

    head_size: int = attrs.field(
        default=32 << 10,
        metadata=about(Size(256, 16 << 20), "Head of a request; 431 beyond."),
    )
    fields: int = attrs.field(
        default=200,
        metadata=about(Count(1, 100000), "Header fields of a request; 431 beyond."),
    )
    line_size: int = attrs.field(
        default=8 << 10,
        metadata=about(Size(64, 16 << 20), "Request line; 414 beyond."),
    )
    body_size: int = attrs.field(
        default=0,
        metadata=about(
            Size(0, 1 << 62), "Body of a request; 413 beyond; 0 = no limit."
        ),
    )
    body_rate: int = attrs.field(
        default=240,
        metadata=about(
            Size(0, 1 << 30),
            "Bytes per second a body must average after 10 s; 408 below; 0 = none.",
        ),
    )
    response_head_size: int = attrs.field(
        default=64 << 10,
        metadata=about(Size(256, 16 << 20), "Head of an answer; 502 beyond."),
    )
    response_fields: int = attrs.field(
        default=1000,
        metadata=about(Count(1, 100000), "Header fields of an answer; 502 beyond."),
    )
    interim_responses: int = attrs.field(
        default=16,
        metadata=about(Count(0, 1000), "1xx answers to one request; 502 beyond."),
    )
    connections: int = attrs.field(
        default=10000,
        metadata=about(
            Count(0, 10**7), "Client connections in all; 503 beyond; 0 = no limit."
        ),
    )
    connections_per_listener: int = attrs.field(
        default=0,
        metadata=about(Count(0, 10**7), "The same for each listener; 0 = no limit."),
    )
    connections_per_client: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 10**7), "The same for each client address; 0 = no limit."
        ),
    )
    handshakes: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 10**6),
            "TLS connections that may begin at a listener, at once and in each second; more are"
            " closed before anything is done for them; 0 = no limit.",
        ),
    )
    requests_per_connection: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 10**9),
            "Requests after which a client connection is closed; 0 = no limit.",
        ),
    )
    streams: int = attrs.field(
        default=128,
        metadata=about(
            Count(1, 100000),
            "Requests that an HTTP/2 connection has open at once; more are refused in a"
            " way that clients repeat them.",
        ),
    )
    resets: int = attrs.field(
        default=100,
        metadata=about(
            Count(0, 10**7),
            "HTTP/2 requests that a client may give up at once; each second makes up for a"
            " tenth of them; the connection ends beyond; 0 = no limit.",
        ),
    )
    odd_frames: int = attrs.field(
        default=1000,
        metadata=about(
            Count(0, 10**7),
            "HTTP/2 frames that ask for nothing (PING, SETTINGS, WINDOW_UPDATE, PRIORITY,"
            " empty DATA and so on), in the same way; requests and bodies make up for them,"
            " too.",
        ),
    )
    continuations: int = attrs.field(
        default=8,
        metadata=about(
            Count(0, 1000),
            "CONTINUATION frames of an HTTP/2 header block; the connection ends beyond.",
        ),
    )
    connection_buffer: int = attrs.field(
        default=1 << 20,
        metadata=about(
            Size(65536, 1 << 30),
            "Bytes of bodies that wait here for an HTTP/2 connection, each way, before"
            " nothing more is taken for it.",
        ),
    )
    half_close: Literal["cancel", "answer"] = attrs.field(
        default="cancel",
        metadata=about(
            Choice("cancel", "answer"),
            'A client that has sent its last byte and has no answer after 1 s: "cancel"'
            ' its request as that of one who is gone (499), or "answer" it in any case.',
        ),
    )


@attrs.frozen
class Timeouts:
    """How long a client may take."""

    handshake: float = attrs.field(
        default=5.0,
        metadata=about(
            Duration(0.001), "From the connection to the end of the TLS handshake."
        ),
    )
    head: float = attrs.field(
        default=10.0,
        metadata=about(
            Duration(0.001),
            "From the connect, or the first byte of a later head, to its end.",
        ),
    )
    body: float = attrs.field(
        default=30.0,
        metadata=about(Duration(0.001), "Until more of the request's body comes."),
    )
    keepalive: float = attrs.field(
        default=60.0,
        metadata=about(Duration(0.001), "Until the next request begins."),
    )
    write: float = attrs.field(
        default=30.0,
        metadata=about(Duration(0.001), "Until it takes more of the answer."),
    )
    proxy_protocol: float = attrs.field(
        default=3.0,
        metadata=about(
            Duration(0.001),
            "Until the PROXY header of a listener's `proxy_protocol` is complete.",
        ),
    )
    half_closed: float = attrs.field(
        default=60.0,
        metadata=about(
            Duration(0.001),
            "Without a byte, after one side of a tunnel (WebSocket) has ended and the"
            " other has not.",
        ),
    )
    lame_duck: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "At a stop: how long `/readyz` says 503 while clients are still served as"
            " ever, so that whoever sends them here can stop.",
        ),
    )
    drain: float = attrs.field(
        default=300.0,
        metadata=about(
            Duration(0.0),
            "What is under way at a target that a reload has removed, such as a WebSocket or a"
            " download, gets so long to end. So does all that is under way at a stop by SIGQUIT.",
        ),
    )
    shutdown: float = attrs.field(
        default=30.0,
        metadata=about(Duration(0.0), "What exchanges in flight get at a stop."),
    )

"""The types of middleware that are built in, each with the class of its settings.

Imports: config.kinds. Used by: config, config.texts, proxy.middleware.
"""

from __future__ import annotations

from lolly_tx.config.kinds.later import Classes

BUILT_IN = Classes(
    {
        "access": "middleware.access.Access",
        "add_prefix": "middleware.paths.AddPrefix",
        "bandwidth": "middleware.bandwidth.Bandwidth",
        "basic_auth": "middleware.basic_auth.BasicAuth",
        "body_limit": "middleware.bodies.BodyLimit",
        "buffer": "middleware.bodies.Buffer",
        "compress": "middleware.compress.Compress",
        "concurrency": "middleware.concurrency.Concurrency",
        "cors": "middleware.cors.Cors",
        "error_pages": "middleware.pages.ErrorPages",
        "forward_auth": "middleware.forward_auth.ForwardAuth",
        "cache": "middleware.cache.Cache",
        "headers": "middleware.headers.Headers",
        "rewrite": "middleware.rewrite.Rewrite",
        "mirror": "middleware.mirror.Mirror",
        "fault": "middleware.fault.Fault",
        "location": "middleware.location.Location",
        "jwt": "middleware.jwt.Jwt",
        "maintenance": "middleware.pages.Maintenance",
        "rate_limit": "middleware.rate_limit.RateLimit",
        "replace_path": "middleware.paths.ReplacePath",
        "request_id": "middleware.identity.RequestIdOfRoute",
        "security_headers": "middleware.security.SecurityHeaders",
        "strip_prefix": "middleware.paths.StripPrefix",
    }
)

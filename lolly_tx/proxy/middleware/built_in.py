"""The factories of the middleware that is built in; plugins come through the same door (`service.registry`).

A factory has `name`, `settings` (an attrs class) and `build(settings, deps)`, with `proxy.middleware.deps`. It may have

    tables    fields of `config.model.Config`: what is made is made anew when one of these changes

What a reload leaves as it is stays in place with all it knows. `stop()` of what is made, where it has that, is called
when nobody uses it any more.

Imports: proxy.middleware. Used by: service.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.proxy.middleware.headers import HeadersFactory

BUILT_IN: tuple[Any, ...] = (HeadersFactory(),)

"""Each built-in middleware keeps the contract, with the settings of its example in docs/middleware.md."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import execute
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.config.middleware.by_type import BUILT_IN
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.caching.caches import Caches
from lolly_tx.proxy.middleware.deps import MiddlewareDeps
from lolly_tx.service.registry import Registry
from lolly_tx.testing import MiddlewareContract
from tests.proxy.middleware.test_page import PAGE, REST

EXAMPLES = re.findall(
    r"```toml\n(.*?)```", PAGE.read_text().partition("## Types")[2], re.DOTALL
)


class Contract(MiddlewareContract):
    """That of `type`, made as a service makes it."""

    type = ""

    def make_middleware(self) -> Any:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name in ("404.html", "5xx.html"):
            Path(folder.name, name).write_text("a page")
        for example in EXAMPLES:
            if f'type = "{self.type}"' not in example:
                continue
            config = parse(REST + example, f"{folder.name}/lolly.toml")
            for one in config.middlewares.values():
                if one.type == self.type:
                    deps = self.deps(config, one.title)
                    made = Registry().middleware(one.type, one.settings, deps)
                    self.addCleanup(getattr(made, "stop", lambda: None))
                    return made
        raise AssertionError(f"no example of {self.type}")

    def deps(self, config: Any, name: str) -> MiddlewareDeps:
        """What its factory gets; every pool answers 200."""
        return MiddlewareDeps(
            name=name,
            reactor=self.clock,
            clock=self.clock,
            now=self.clock.seconds,
            wall=self.clock.seconds,
            random=Random(1),
            log=Logger(),
            config=config,
            pool=lambda _: Answer(200, body=b"yes"),
            client_of=lambda peer, head: peer.address,
            in_thread=execute,
            caches=Caches(self.clock, self.clock.seconds, self.clock.seconds),
        )


SPECIAL: dict[str, dict[str, Any]] = {}
"""Attributes of the test cases of types that need some."""

for _type in BUILT_IN:
    _name = "".join(word.title() for word in _type.split("_"))
    globals()[f"{_name}ContractTests"] = type(
        f"{_name}ContractTests",
        (Contract, SynchronousTestCase),
        {"type": _type, "__module__": __name__, **SPECIAL.get(_type, {})},
    )
del Contract, MiddlewareContract

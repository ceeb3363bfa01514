"""A copy of the objects of one kind that a cluster has, kept current: listed in pages, then watched.

    list --> objects, at a version --> watch from there --> ADDED, MODIFIED, DELETED: the copy changes
      ^                                 |      ^  `-------> BOOKMARK: only the version is new
      |                                 |      `---------- ended, broken: watch on from the version reached
      `---- 410: that version is gone --+

What is copied stays while nobody answers. Versions are texts that mean nothing to us, as Kubernetes asks for.

Imports: net, net.kubernetes, Twisted. Used by: net.discovery, service.providers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.net.failures import BadAnswer
from lolly_tx.net.foreignjson import AT_ONCE
from lolly_tx.net.kubernetes.api import Api, ApiError, read_object

PAGE = 100
"""Objects in one answer of a list."""

MOST_OBJECTS = 50_000
"""Of one kind that are copied."""

MOST_PAGES = 2 * MOST_OBJECTS // PAGE
"""Answers of one list; a server may put less into each than it was asked for."""

GATHER_SECONDS = 0.1
"""Changes that follow each other within this time are told together."""

FIRST_RETRY, LAST_RETRY = 0.5, 1.5
"""Seconds to the next try after the first failure, and after many."""

LEAST_WATCH = 1.0
"""Seconds; a watch that ends before is not begun anew at once."""

ABSENT_RETRY = 30.0
"""Seconds after which a kind that the cluster does not know is asked for again."""

GONE = 410

Key = tuple[str, str]
"""The namespace, "" where there is none, and the name of an object."""


@attrs.frozen
class Kind:
    """What is copied. `query`: further conditions; `optional`: clusters may not know it, which is as if it had none."""

    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    optional: bool = False


def kind_path(version: str, plural: str, namespace: str = "") -> str:
    """The path of all objects of a kind, of one namespace or of all."""
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return (
        f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"
    )


class Mirror:
    """See the module.

    `taken`: what is kept of an object; None: nothing. `changed`: called with the keys that changed since it was called
    last, and with none once there is an answer again. `failed`: called with why there is none, in one line.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        api: Api,
        kind: Kind,
        *,
        clock: Any,
        random: Random,
        interval: float,
        taken: Callable[[dict[str, Any]], Any],
        changed: Callable[[set[Key]], None],
        failed: Callable[[str], None],
    ) -> None:
        self.objects: dict[Key, Any] = {}
        self.complete = False
        """Whether all were read once."""
        self.current = False
        """Whether the last question was answered."""
        self.unusable = 0
        """Objects, so far, that were none."""
        self._api, self._kind = api, kind
        self._clock, self._random, self._interval = clock, random, interval
        self._taken, self._changed, self._failed = taken, changed, failed
        self._version = ""
        self._failures = 0
        self._news: set[Key] = set()
        self._timer: IDelayedCall | None = None
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to copy."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._eb_ended)

    def stop(self) -> None:
        """Ask no more, tell no more; what was copied stays."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _eb_ended(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self.log.failure("A copy of what a cluster has is kept no more", reason)

    async def _run(self) -> None:
        wait = 0.0
        while True:
            await deferLater(self._clock, wait)
            wait = await self._turn()

    async def _turn(self) -> float:
        """List or watch once; the seconds until the next turn."""
        try:
            if not self._version:
                await self._list()
                return 0.0
            began = self._clock.seconds()
            await self._watch()
            lasted = self._clock.seconds() - began
            return 0.0 if lasted >= LEAST_WATCH else self._some(LEAST_WATCH)
        except ApiError as error:
            return self._after(error)
        except CancelledError:
            raise
        except Exception as error:
            # Foreign text that nobody foresaw: not the end of all that follows.
            self.log.failure(
                "What a cluster says cannot be read: {path}", path=self._kind.path
            )
            return self._after(
                ApiError(0, f"{self._kind.path}: {type(error).__name__}")
            )

    def _after(self, error: ApiError) -> float:
        if error.status == GONE:
            self._version = ""
            if self._failures == 0:
                self._failures = 1
                return self._some(FIRST_RETRY)
        if error.status == 404 and self._kind.optional:
            self._version, self._failures = "", 0
            self._replace({}, set(self.objects))
            self._answered()
            return self._some(ABSENT_RETRY)
        self.current = False
        wait = min(LAST_RETRY, FIRST_RETRY * 2 ** min(self._failures, 16))
        self._failures += 1
        self._failed(" ".join(str(error).split())[:300])
        return self._some(wait)

    def _some(self, seconds: float) -> float:
        """Many proxies that lose one server do not come back at the same moment."""
        return seconds * (0.5 + 0.5 * self._random.random())

    # -- all of them

    async def _list(self) -> None:
        found: dict[Key, Any] = {}
        query = {**self._kind.query, "limit": str(PAGE)}

        def read(page: dict[str, Any]) -> tuple[str, str]:
            return self._read(page, found)

        for _ in range(MOST_PAGES):
            version, more = await self._api.ask(self._kind.path, query, read=read)
            if not more:
                break
            query["continue"] = more
        else:
            raise ApiError(0, f"{self._kind.path}: more than {MOST_PAGES} pages")
        before = self.objects
        changed = await self._api.in_thread(lambda: _differing(before, found))
        self._version = version
        self._replace(found, changed)
        self._answered()

    def _read(self, page: dict[str, Any], found: dict[Key, Any]) -> tuple[str, str]:
        """Put the objects of a page with those found so far; its version, and where it goes on. May be in a thread."""
        items, meta = page.get("items"), page.get("metadata")
        version = meta.get("resourceVersion") if isinstance(meta, dict) else None
        if not isinstance(version, str) or not version:
            raise ApiError(0, f"{self._kind.path}: no list of objects")
        for item in items if isinstance(items, list) else ():
            self._put(found, item)
        if len(found) > MOST_OBJECTS:
            raise self._too_many()
        more = meta.get("continue") if isinstance(meta, dict) else None
        return version, more if isinstance(more, str) else ""

    def _too_many(self) -> ApiError:
        return ApiError(0, f"{self._kind.path}: more than {MOST_OBJECTS} objects")

    def _replace(self, found: dict[Key, Any], changed: set[Key]) -> None:
        self.objects = found
        self._tell(changed)
        if not self.complete:
            self.complete = True
            self._tell(set())

    def _put(self, objects: dict[Key, Any], item: Any) -> Key | None:
        key = key_of(item)
        taken = None
        if key is not None:
            try:
                taken = self._taken(item)
            except (
                LookupError,
                TypeError,
                ValueError,
                AttributeError,
                RecursionError,
            ):
                key = None
        if key is None:
            self.unusable += 1
            return None
        if taken is None:
            objects.pop(key, None)
        else:
            objects[key] = taken
        return key

    # -- what happens to them

    async def _watch(self) -> None:
        query = {
            **self._kind.query,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
        }
        seconds = max(1.0, self._interval)
        await self._api.watch(
            self._kind.path, query, seconds, self._answered, self._event
        )

    def _answered(self) -> None:
        self._failures = 0
        if not self.current:
            self.current = True
            self._tell(set())

    def _event(self, line: bytes) -> None:
        if not line.strip():
            return
        event = read_object(line, AT_ONCE)
        type, item = event.get("type"), event.get("object")
        if not isinstance(item, dict):
            raise BadAnswer("an event without an object")
        if type == "ERROR":
            status = item.get("code")
            code = status if isinstance(status, int) else 0
            raise ApiError(code, f"{self._kind.path}: {str(item.get('message'))[:200]}")
        meta = item.get("metadata")
        version = meta.get("resourceVersion") if isinstance(meta, dict) else None
        if type in ("ADDED", "MODIFIED"):
            key = self._put(self.objects, item)
            if key is not None:
                self._tell({key})
            if len(self.objects) > MOST_OBJECTS:
                self._version = ""
                raise self._too_many()
        elif type == "DELETED":
            key = key_of(item)
            if key is not None and self.objects.pop(key, None) is not None:
                self._tell({key})
        elif type != "BOOKMARK":
            raise BadAnswer("an event of no known type")
        if isinstance(version, str) and version:
            self._version = version

    def _tell(self, keys: set[Key]) -> None:
        self._news |= keys
        if self._timer is None:
            self._timer = self._clock.callLater(GATHER_SECONDS, self._tell_now)

    def _tell_now(self) -> None:
        self._timer = None
        if not self.complete:
            return
        news, self._news = self._news, set()
        self._changed(news)


def _differing(one: dict[Key, Any], other: dict[Key, Any]) -> set[Key]:
    """The keys of what is not the same in both."""
    return {k for k in one.keys() | other.keys() if one.get(k) != other.get(k)}


def key_of(item: Any) -> Key | None:
    """Namespace and name of an object; None: it is none."""
    meta = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(meta, dict):
        return None
    namespace, name = meta.get("namespace", ""), meta.get("name")
    if not isinstance(namespace, str) or not isinstance(name, str) or not name:
        return None
    return (namespace, name) if len(namespace) < 64 and len(name) < 254 else None

"""Which access logs a configuration wants: of all, of a listener, of a route; equal settings are one log.

Imports: config, config.kinds. Used by: service, service.changes,
service.records.outlets, service.records.recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from lolly_tx.config import model
from lolly_tx.config.accesslogs import for_streams
from lolly_tx.config.kinds.problems import Key
from lolly_tx.config.routing import Route

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.streams import Stream


def log_of_listener(
    config: model.Config, listener: model.Listener
) -> model.AccessLog | None:
    """What is written of its requests."""
    own = listener.access_log
    return config.access_log if own is None else own or None


def log_of_route(
    config: model.Config, listener: model.Listener, route: Route
) -> model.AccessLog | None:
    """What is written of the requests that come in by `listener` and go by `route`."""
    own = route.access_log
    return log_of_listener(config, listener) if own is None else own or None


def log_of_stream(config: model.Config, stream: Stream) -> model.AccessLog | None:
    """What is written of its sessions."""
    own = stream.access_log
    log = config.access_log if own is None else own or None
    return None if log is None else for_streams(log)


def wanted_logs(config: model.Config) -> list[model.AccessLog]:
    """The access logs there are to be, each once."""
    found: list[model.AccessLog] = []
    listeners = config.listeners.values()
    choices = [log_of_listener(config, one) for one in listeners]
    choices += [route.access_log or None for route in config.routes]
    choices += [log_of_stream(config, one) for one in config.streams.values()]
    if config.access_log is not None and not (listeners or config.streams):
        choices.append(config.access_log)
    for one in choices:
        if one is not None and one not in found:
            found.append(one)
    return found


def log_places(config: model.Config) -> Iterator[tuple[Key, model.AccessLog]]:
    """Those logs, by where they stand in `config`."""
    choices: list[tuple[Key, model.AccessLog | Literal[False] | None]] = [
        (("access_log",), config.access_log)
    ]
    for name, listener in config.listeners.items():
        choices.append((("listener", name, "access_log"), listener.access_log))
    for number, route in enumerate(config.routes):
        choices.append((("route", number, "access_log"), route.access_log))
    for name, stream in config.streams.items():
        own = ("access_log",) if stream.access_log is None else None
        key: Key = own or ("stream", name, "access_log")
        choice = key, log_of_stream(config, stream)
        if choice not in choices:
            choices.append(choice)
    wanted = wanted_logs(config)
    for key, log in choices:
        if log and log in wanted:
            yield key, log

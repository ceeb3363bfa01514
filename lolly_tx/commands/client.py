"""A client of the admin endpoint: one question, one answer, no event loop.

Imports: config.kinds. Used by: commands.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from lolly_tx.config.kinds.addresses import endpoint_parts

TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""What a change of the settings may take on a busy machine."""
SILENCE_SECONDS = 30.0
"""A stream of events has a beat every five."""
_LARGEST_ANSWER = 64 << 20


class CannotAsk(Exception):
    """There is no answer, or it is a refusal. The text is one line for a person; `errors`: all there is to say."""

    def __init__(self, message: str, errors: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors) or (message,)


def admin_url(endpoint: str) -> str:
    """What to ask when `endpoint`, a Twisted server endpoint string, is listened on. Raises CannotAsk."""
    plain, named = endpoint_parts(endpoint)
    if plain[0] == "unix":
        return f"unix:{named.get('address') or plain[1]}"
    if plain[0] not in ("tcp", "tcp6"):
        raise CannotAsk(f"cannot ask an endpoint of type {plain[0]}; use --admin")
    port = named.get("port") or plain[1]
    host = named.get("interface") or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def path_of(*segments: str, **query: Any) -> str:
    """A path of the API, with every segment quoted; parameters that are empty are left out."""
    # Arguments that were no UTF-8 go out as the bytes they were.
    as_given = "surrogateescape"
    path = "".join("/" + quote(each, safe="", errors=as_given) for each in segments)
    asked = {name: value for name, value in query.items() if value}
    if not asked:
        return path
    return f"{path}?{urlencode(asked, doseq=True, errors=as_given)}"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient:
    """Asks at `url`: http://HOST:PORT or unix:PATH. `token`: for changes, "" without. Raises CannotAsk."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self._token = token
        self._unix = url.removeprefix("unix:") if url.startswith("unix:") else ""
        self._host, self._port = "", 0
        if not self._unix:
            try:
                parts = urlsplit(url)
                self._host, self._port = parts.hostname or "", parts.port or 80
            except ValueError:
                self._host = ""
            if not self._host or parts.scheme != "http" or parts.path not in ("", "/"):
                raise CannotAsk(f"{url} is neither http://HOST:PORT nor unix:PATH")

    def __repr__(self) -> str:
        return f"<AdminClient {self.url}>"

    def get(self, path: str) -> Any:
        """The answer to a question."""
        return self._ask("GET", path)

    def get_even_if_unready(self, path: str) -> Any:
        """The same, where a 503 is an answer like any other."""
        return self._ask("GET", path, also=503)

    def post(self, path: str, body: bytes = b"", patience: float = 0.0) -> Any:
        """The answer to a change. `patience`: seconds it may take, when that is more than usual."""
        return self._ask("POST", path, body=body, patience=patience)

    def patch(self, path: str, table: Mapping[str, Any]) -> Any:
        """The answer to a change of one thing, which `table` says."""
        body = json.dumps(table).encode()
        return self._ask("PATCH", path, body=body, patience=PATIENCE_SECONDS)

    def stream(self, path: str, *kinds: str) -> Iterator[tuple[str, Any]]:
        """Server-sent events of some kinds with their data, as they come, until they end; silence is an end, too."""
        connection = self._connection(SILENCE_SECONDS)
        headers = {"Accept": "text/event-stream", **self._headers()}
        try:
            connection.request("GET", path, None, headers)
            response = connection.getresponse()
            if response.status != 200:
                self._answer(response.status, 200, response.read(_LARGEST_ANSWER))
            kind = ""
            for line in response:
                name, _, value = line.decode("utf-8", "replace").strip().partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind in kinds:
                    yield kind, json.loads(value)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._nothing(error) from None
        finally:
            connection.close()

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if self._unix:
            return _UnixConnection(self._unix, seconds)
        return http.client.HTTPConnection(self._host, self._port, timeout=seconds)

    def _headers(self) -> dict[str, str]:
        if not (self._token.isascii() and self._token.isprintable()):
            raise CannotAsk("the token has characters no header may have")
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _nothing(self, error: Exception) -> CannotAsk:
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        return CannotAsk(f"nothing answers at {self.url}: {reason.lower()}")

    def _ask(
        self,
        method: str,
        path: str,
        also: int = 200,
        body: bytes = b"",
        patience: float = 0.0,
    ) -> Any:
        connection = self._connection(max(TIMEOUT_SECONDS, patience))
        headers = self._headers()
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            said = response.read(_LARGEST_ANSWER)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._nothing(error) from None
        finally:
            connection.close()
        return self._answer(response.status, also, said)

    def _answer(self, status: int, also: int, said: bytes) -> Any:
        try:
            answer = json.loads(said)
        except (ValueError, RecursionError):
            raise CannotAsk(
                f"what answers at {self.url} is no lolly admin endpoint"
            ) from None
        if status not in (200, also):
            found = answer if isinstance(answer, dict) else {}
            hint = _HINTS.get(status, "")
            raise CannotAsk(
                f"{found.get('error') or f'status {status}'}{hint}",
                [str(one) for one in found.get("errors") or ()],
            )
        return answer


_HINTS = {401: " (set LOLLY_TOKEN or give --token-file)"}

"""Variables as nginx calls them, and those who follow it, with our names.

Imports: importing. Used by: importing.lolly, importing.nginx.
"""

from __future__ import annotations

import re

from lolly_tx.importing.report import NotThere

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

VARIABLES = {
    "remote_addr": "client",
    "binary_remote_addr": "client",
    "remote_port": "client_port",
    "time_local": "time_local",
    "time_iso8601": "time",
    "request_method": "method",
    "request_uri": "uri",
    "uri": "path",
    "document_uri": "path",
    "args": "query",
    "query_string": "query",
    "host": "host",
    "scheme": "scheme",
    "server_protocol": "version",
    "status": "status",
    "body_bytes_sent": "bytes_sent",
    "bytes_sent": "bytes_sent",
    "request_time": "seconds",
    "request_id": "request_id",
    "upstream_addr": "upstream",
    "upstream_status": "upstream_status",
    "upstream_response_time": "upstream_seconds",
    "ssl_protocol": "tls_version",
    "ssl_cipher": "tls_cipher",
    "ssl_server_name": "tls_server_name",
    "ssl_client_s_dn": "tls_subject",
    "ssl_client_i_dn": "tls_issuer",
    "ssl_client_serial": "tls_serial",
    "ssl_client_verify": "tls_verify",
}
"""Our names for the variables of nginx; those of fields, cookies and parameters have a rule of their own."""
_WRITTEN_OUT = {"request": "$method $uri $version"}
_NOBODY = {"remote_user": "-"}
"""What they always are without authentication."""
_FAMILIES = (("http_", "header_"), ("cookie_", "cookie_"), ("arg_", "arg_"))


def translated(text: str, captures: bool = False) -> str:
    """A text with variables of nginx, with ours in their place. Raises `NotThere`.

    `captures`: whether "$1" to "$9" are what an expression has captured.
    """

    def ours(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name in _WRITTEN_OUT or name in _NOBODY:
            return (_WRITTEN_OUT | _NOBODY)[name]
        found = VARIABLES.get(name, "")
        if captures and re.fullmatch("[1-9]", name):
            found = name
        for theirs, family in _FAMILIES:
            if not found and name.startswith(theirs):
                found = family + name.removeprefix(theirs)
        if not found:
            raise NotThere(f"there is no variable for ${name}")
        after = text[match.end() : match.end() + 1]
        return f"${{{found}}}" if after.isalnum() or after == "_" else f"${found}"

    return _VARIABLE.sub(ours, text)

"""Why a statement that nobody carries over is left out, or not needed.

Imports: importing. Used by: importing.nginx.convert.
"""

from __future__ import annotations

from lolly_tx.importing.report import Fate
from lolly_tx.importing.statements import Statement

_NEEDLESS = {
    "accept_mutex": "the kernel hands connections out",
    "gzip_buffers": "answers are packed as they come",
    "gzip_disable": "every browser that says so takes it",
    "gzip_http_version": "who says so takes it",
    "gzip_proxied": "answers to other proxies are packed, too",
    "gzip_vary": "Vary is always said",
    "proxy_cache_lock": "requests for the same always wait for the first",
    "proxy_cache_revalidate": "what is stored is always asked for by its validators",
    "proxy_cache_background_update": "stale-while-revalidate is always in the background",
    "aio": "bodies stay in the kernel by splice",
    "chunked_transfer_encoding": "as HTTP/1.1 has it",
    "client_body_buffer_size": "bodies are passed on as they come",
    "client_body_temp_path": "nothing is written to disk",
    "client_header_buffer_size": "limits.head_size bounds heads",
    "daemon": "twistd and systemd start it",
    "default_type": "answers of targets pass as they are",
    "directio": "bodies stay in the kernel by splice",
    "error_log": "[log] sets what the process says, to standard error or twistd's log",
    "events": "connections are taken as the kernel has them",
    "http2_push_preload": "no client takes pushes any more",
    "ignore_invalid_headers": "what is no header field is refused",
    "keepalive_disable": "no browser needs it any more",
    "load_module": "there are no modules of nginx",
    "lock_file": "there is none",
    "log_not_found": "a file that is not there is a 404 in the access log",
    "master_process": "`workers` says how many processes serve",
    "merge_slashes": "paths are always compared without //",
    "multi_accept": "connections are taken as the kernel has them",
    "open_file_cache": "what was found on the disk is believed for files.fresh",
    "output_buffers": "bodies are passed on as they come",
    "pid": "twistd has --pidfile, systemd needs none",
    "postpone_output": "answers go out once a turn",
    "proxy_buffer_size": "limits.response_head_size bounds heads",
    "proxy_buffering": "answers are passed on as they come, at the client's speed",
    "proxy_buffers": "answers are passed on as they come, at the client's speed",
    "proxy_busy_buffers_size": "answers are passed on as they come",
    "proxy_headers_hash_bucket_size": "tables grow by themselves",
    "proxy_headers_hash_max_size": "tables grow by themselves",
    "proxy_http_version": "targets are spoken to in HTTP/1.1, or as `protocol` says",
    "proxy_max_temp_file_size": "nothing is written to disk",
    "proxy_request_buffering": "bodies are passed on as they come, the first 64 KiB kept for another attempt",
    "proxy_socket_keepalive": "`connections` says how long they are kept",
    "proxy_ssl_server_name": "the name is always asked for",
    "proxy_ssl_session_reuse": "sessions are kept",
    "proxy_temp_path": "nothing is written to disk",
    "real_ip_recursive": "addresses of trusted proxies are always passed over",
    "reset_timedout_connection": "connections that are given up are reset",
    "resolver": "names are looked up by the system while it runs",
    "resolver_timeout": "names are looked up by the system while it runs",
    "sendfile": "bodies stay in the kernel by splice",
    "sendfile_max_chunk": "bodies stay in the kernel by splice",
    "server_names_hash_bucket_size": "tables grow by themselves",
    "server_names_hash_max_size": "tables grow by themselves",
    "server_tokens": "answers name no version",
    "ssl_prefer_server_ciphers": "the order of ciphers is OpenSSL's",
    "ssl_session_cache": "sessions are kept",
    "ssl_session_tickets": "tickets are given, with keys of the process",
    "ssl_session_timeout": "sessions are kept for as long as OpenSSL has it",
    "ssl_stapling_verify": "staples are always verified",
    "tcp_nodelay": "it is always on",
    "tcp_nopush": "heads and bodies go out together",
    "thread_pool": "bodies stay in the kernel by splice",
    "timer_resolution": "there are no such timers",
    "types": "the usual types are known, others go into files.types",
    "types_hash_bucket_size": "tables grow by themselves",
    "types_hash_max_size": "tables grow by themselves",
    "underscores_in_headers": "names of fields may have them",
    "user": "systemd, or twistd with --uid and --gid, says as whom it runs",
    "variables_hash_bucket_size": "tables grow by themselves",
    "variables_hash_max_size": "tables grow by themselves",
    "worker_connections": "limits.connections bounds those of clients",
    "worker_cpu_affinity": "the kernel places processes",
    "worker_priority": "systemd has Nice=",
    "worker_rlimit_nofile": "systemd has LimitNOFILE=",
    "worker_shutdown_timeout": "timeouts.shutdown and timeouts.drain say it",
    "zone": "what is known of targets is shared by all processes",
}
"""Statements that need no setting, and why not."""

_LOCATION = "write it by hand: middleware of the type location"
_OPEN = "everybody is let in: put it into the target"
_LEFT = {
    "allow": _OPEN,
    "auth_basic": _OPEN,
    "auth_basic_user_file": _OPEN,
    "auth_jwt": "everybody is let in: write it by hand, middleware of the type jwt",
    "auth_request": _OPEN,
    "deny": _OPEN,
    "expires": "only files have it",
    "geo": "there are no variables of your own",
    "if": "there are no conditions; and all that is inside of it",
    "internal": "everything is reached from outside",
    "js_content": "there are no scripts",
    "limit_except": "everybody is let in: write a route with its methods",
    "mail": "no mail is passed on",
    "map": "there are no variables of your own",
    "mirror": "write it by hand: middleware of the type mirror",
    "proxy_cookie_domain": _LOCATION,
    "proxy_cookie_path": _LOCATION,
    "proxy_intercept_errors": "there is no error_page that can be carried over",
    "proxy_redirect": _LOCATION,
    "proxy_next_upstream_timeout": "timeout.total would end an attempt under way as well",
    "return": "an answer within a condition",
    "rewrite": "a rule within a condition",
    "satisfy": _OPEN,
    "secure_link": _OPEN,
    "set": "there are no variables of your own",
    "split_clients": "there are no variables of your own",
    "ssl_ciphers": "the ciphers are OpenSSL's with TLS 1.2 and newer",
    "ssl_dhparam": "there are no ciphers that need it",
    "ssl_ecdh_curve": "the groups are OpenSSL's",
    "ssl_trusted_certificate": "the issuer's certificate stands in the file with the site's own",
    "ssl_verify_depth": "a chain may be as long as OpenSSL has it",
    "sub_filter": "bodies pass as they are",
    "try_files": "no files are looked for where there is a target",
    "upstream": "nothing that was carried over leads to it",
    "valid_referers": _OPEN,
}
"""Those that there is no setting for, in words of their own."""
_FAMILIES = (
    ("auth_", _OPEN),
    ("brotli", "there is no such setting of compress"),
    ("fastcgi_", "FastCGI is not spoken"),
    ("gunzip", "nothing is decompressed here"),
    ("gzip", "there is no such setting of compress"),
    ("lua_", "there are no scripts"),
    ("proxy_cache", "there is no such setting of a cache"),
    ("proxy_no_cache", "what may be stored is for answers to say"),
    ("proxy_ssl_", "there is no such setting of TLS towards targets"),
    ("scgi_", "SCGI is not spoken"),
    ("ssl_", "there is no such setting of TLS"),
    ("sub_filter", "bodies pass as they are"),
    ("uwsgi_", "uwsgi is not spoken"),
)
_USED = "nothing that was carried over goes by it"


def why(statement: Statement, known: frozenset[str]) -> tuple[Fate, str]:
    """What to say of it. `known`: those that are carried over where they hold for something."""
    name = statement.name
    if name in _NEEDLESS:
        return "not needed", _NEEDLESS[name]
    if name in known:
        return "not needed", _USED
    if name in _LEFT:
        return "left out", _LEFT[name]
    for prefix, said in _FAMILIES:
        if name.startswith(prefix):
            return "left out", said
    return "left out", "there is no setting for it"

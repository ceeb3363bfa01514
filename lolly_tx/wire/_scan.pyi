"""What `_scan.c` offers where it was compiled; see `wire.scanner`."""

def configure(
    classes: bytes, requests: tuple[bytes, ...], responses: tuple[bytes, ...], /
) -> None: ...
def scan_request(
    data: bytes, head_bytes: int, line_bytes: int, fields: int, /
) -> tuple[bytes, bytes, int, int, int, list[tuple[bytes, bytes]]] | None: ...
def scan_response(
    data: bytes, head_bytes: int, line_bytes: int, fields: int, /
) -> tuple[int, bytes, int, int, int, list[tuple[bytes, bytes]]] | None: ...

"""What `_blocks.c` offers where it was compiled; see `wire.hpack.native`."""

def configure(
    lengths: bytes,
    classes: bytes,
    names: tuple[bytes, ...],
    credentials: frozenset[bytes],
    methods: frozenset[bytes],
    schemes: frozenset[bytes],
    first_dynamic: int,
    /,
) -> None: ...
def read_block(
    block: bytes,
    known: tuple[tuple[bytes, bytes], ...],
    size: int,
    most: int,
    head_bytes: int,
    fields: int,
    /,
) -> (
    tuple[
        tuple[tuple[bytes, bytes], ...],
        tuple[int, ...],
        bool,
        int,
        tuple[tuple[bytes, bytes], ...] | None,
        int,
    ]
    | None
): ...
def plain_head(
    fields: tuple[tuple[bytes, bytes], ...], line_bytes: int, /
) -> tuple[bytes, bytes, bytes, bytes, bytes] | None: ...

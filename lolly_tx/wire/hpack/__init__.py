"""HPACK (RFC 7541): the header blocks of HTTP/2, both ways, as pure functions of tables that never change."""

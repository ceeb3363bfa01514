"""The media type of a file, by the end of its name (the types are those registered with IANA).

The system's list is not asked: what a file is served as must not depend on the machine.

Imports: nothing of ours. Used by: proxy.files, service.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_TEXT = (
    "text/html html htm shtml|text/css css|text/javascript js mjs|text/plain txt text log conf ini"
    "|text/csv csv|text/tab-separated-values tsv|text/markdown md markdown|text/calendar ics|text/vcard vcf"
    "|text/vtt vtt"
    "|text/xml xml xsl|image/svg+xml svg|application/xhtml+xml xhtml|application/atom+xml atom|application/rss+xml rss"
    "|text/vnd.wap.wml wml|text/mathml mml|text/x-component htc"
)
"""Types with a charset. XML may name its own inside, which counts less than the field (RFC 7303 section 3)."""

_OTHERS = (
    "application/json json map|application/ld+json jsonld|application/geo+json geojson"
    "|application/manifest+json webmanifest|application/wasm wasm|application/toml toml|application/yaml yaml yml"
    "|application/pdf pdf|application/rtf rtf|application/postscript ps eps ai|application/sql sql"
    "|application/gzip gz tgz|application/zip zip|application/zstd zst|application/x-brotli br|application/x-bzip2 bz2"
    "|application/x-xz xz|application/x-tar tar|application/x-7z-compressed 7z|application/vnd.rar rar"
    "|application/java-archive jar war ear|application/vnd.debian.binary-package deb|application/x-rpm rpm"
    "|application/vnd.android.package-archive apk|application/octet-stream bin exe dll iso img dmg msi msp msm"
    "|application/x-sh sh|application/epub+zip epub|application/msword doc|application/vnd.ms-excel xls"
    "|application/vnd.ms-powerpoint ppt|application/vnd.ms-fontobject eot"
    "|application/vnd.openxmlformats-officedocument.wordprocessingml.document docx"
    "|application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx"
    "|application/vnd.openxmlformats-officedocument.presentationml.presentation pptx"
    "|application/vnd.oasis.opendocument.text odt|application/vnd.oasis.opendocument.spreadsheet ods"
    "|application/vnd.oasis.opendocument.presentation odp|application/vnd.google-earth.kml+xml kml"
    "|application/vnd.apple.mpegurl m3u8|application/x-x509-ca-cert der pem crt|application/pkix-crl crl"
    "|image/png png|image/jpeg jpg jpeg|image/gif gif|image/webp webp|image/avif avif|image/apng apng|image/bmp bmp"
    "|image/tiff tif tiff|image/vnd.microsoft.icon ico|image/heic heic|image/jxl jxl"
    "|font/woff woff|font/woff2 woff2|font/ttf ttf|font/otf otf|font/collection ttc"
    "|audio/mpeg mp3|audio/ogg ogg oga opus|audio/aac aac|audio/flac flac|audio/wav wav|audio/mp4 m4a"
    "|audio/midi mid midi|audio/webm weba|video/mp4 mp4 m4v|video/webm webm|video/ogg ogv|video/mpeg mpg mpeg"
    "|video/quicktime mov"
    "|video/mp2t ts|video/x-msvideo avi|video/x-matroska mkv|video/3gpp 3gp"
    "|model/gltf+json gltf|model/gltf-binary glb|model/stl stl"
)

NO_TYPES: Mapping[str, str] = MappingProxyType({})
DEFAULT_TYPE = "application/octet-stream"
CHARSET = "utf-8"


def _by_extension(text: str, ending: str) -> dict[bytes, bytes]:
    found = {}
    for line in text.split("|"):
        media_type, *extensions = line.split()
        for extension in extensions:
            found[extension.encode()] = (media_type + ending).encode("ascii")
    return found


class MediaTypes:
    """The types of files.

    `own`: Content-Type values by extension, in place of those that are known. `default`: of any other file, "" = none
    is said. `charset`: of text among the known ones, "" = none is said.
    """

    __slots__ = ("_default", "_known")

    def __init__(
        self,
        own: Mapping[str, str] = NO_TYPES,
        default: str = DEFAULT_TYPE,
        charset: str = CHARSET,
    ) -> None:
        self._known = _by_extension(_OTHERS, "")
        self._known |= _by_extension(_TEXT, f"; charset={charset}" if charset else "")
        for extension, value in own.items():
            self._known[extension.lower().lstrip(".").encode()] = value.encode("ascii")
        self._default = default.encode("ascii")

    def of(self, path: bytes) -> bytes:
        """The Content-Type value of the file at `path`; b"" = none is to be said."""
        stem, dot, extension = path[path.rfind(b"/") + 1 :].rpartition(b".")
        if not dot or not stem:
            return self._default
        return self._known.get(extension.lower(), self._default)

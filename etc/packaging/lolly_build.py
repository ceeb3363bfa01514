"""How the package is built: by setuptools, but for an editable installation, which is a path and its metadata.

An editable one is what `make demo` and `make test` start with. That needs nothing from an index but what the proxy
itself needs, and half of the time; so setuptools is asked for only where something is to be built (PEP 517, PEP 660).
"""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import shutil
import sysconfig
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import Any

SETUPTOOLS = "setuptools >= 77"
COMPILER = ["mypy >= 2.4, < 2.5", "mypy-zope >= 1.0.17"]
"""What `LOLLY_COMPILE=1` needs besides, and all that the proxy needs: the compiler goes by the types of what we use."""

Settings = dict[str, Any] | None


def setup_cfg() -> ConfigParser:
    """What setup.cfg says; a frontend calls us in the root of the sources."""
    parser = ConfigParser()
    parser.read("setup.cfg", encoding="utf-8")
    return parser


def lines(text: str) -> list[str]:
    """A list of setup.cfg."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """What a source distribution needs."""
    return [SETUPTOOLS]


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What a wheel needs."""
    if not os.environ.get("LOLLY_COMPILE"):
        return [SETUPTOOLS]
    require_compiler()
    needs = lines(setup_cfg()["options"]["install_requires"])
    return [SETUPTOOLS, *COMPILER, *needs]


def require_compiler() -> None:
    """End with a line where nothing can be compiled: this is asked first, before anything is fetched for it."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    missing = ""
    if shutil.which(command) is None:
        missing = f"a C compiler ({command}; Debian: gcc)"
    elif not header.exists():
        missing = f"the headers of Python ({header}; Debian: python3-dev)"
    if missing:
        raise SystemExit(
            f"LOLLY_COMPILE is set and needs {missing}; install that, or unset LOLLY_COMPILE for the pure build"
        )


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """What an editable installation needs."""
    if not os.environ.get("LOLLY_COMPILE"):
        return []
    return get_requires_for_build_wheel(config_settings)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Make a source distribution; its name."""
    from setuptools import build_meta

    return str(build_meta.build_sdist(sdist_directory, config_settings))


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Make the metadata of a wheel; the name of their folder."""
    from setuptools import build_meta

    made = build_meta.prepare_metadata_for_build_wheel(
        metadata_directory, config_settings
    )
    return str(made)


def build_wheel(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Make a wheel; its name."""
    from setuptools import build_meta

    return str(
        build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    )


def prepare_metadata_for_build_editable(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Make the metadata of an editable installation; the name of their folder."""
    if os.environ.get("LOLLY_COMPILE"):
        return prepare_metadata_for_build_wheel(metadata_directory, config_settings)
    folder = f"{stem()}.dist-info"
    for name, text in metadata().items():
        path = Path(metadata_directory, folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def build_editable(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Make an editable wheel; its name."""
    if os.environ.get("LOLLY_COMPILE"):
        from setuptools import build_meta

        made = build_meta.build_editable(
            wheel_directory, config_settings, metadata_directory
        )
        return str(made)
    # A plain .pth file: twisted.plugin scans directories and never sees an import hook.
    files = {f"__editable__.{stem()}.pth": f"{Path.cwd()}\n"}
    files |= {f"{stem()}.dist-info/{name}": text for name, text in metadata().items()}
    record = f"{stem()}.dist-info/RECORD"
    files[record] = "".join(map(recorded, files, files.values())) + f"{record},,\n"
    name = f"{stem()}-0.editable-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name


def recorded(path: str, text: str) -> str:
    """A line of RECORD."""
    data = text.encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"{path},sha256={digest.rstrip(b'=').decode()},{len(data)}\n"


def version() -> str:
    """The version, from where setup.cfg has it from."""
    known: dict[str, Any] = {}
    exec(Path("lolly_tx/_version.py").read_text(encoding="utf-8"), known)
    return str(known["__version__"])


def stem() -> str:
    """What the names of files begin with."""
    return f"lolly_tx-{version()}"


def metadata() -> dict[str, str]:
    """The files of `*.dist-info` but RECORD."""
    settings = setup_cfg()
    about = settings["metadata"]
    said = ["Metadata-Version: 2.1"]
    said += [f"Name: {about['name']}", f"Version: {version()}"]
    said += [f"Summary: {about['description']}", f"License: {about['license']}"]
    said += [f"Requires-Python: {settings['options']['python_requires']}"]
    said += [
        f"Requires-Dist: {need}"
        for need in lines(settings["options"]["install_requires"])
    ]
    for extra, needs in settings["options.extras_require"].items():
        said.append(f"Provides-Extra: {extra}")
        for need in lines(needs):
            what, _, marker = need.partition(";")
            asked = f'extra == "{extra}"'
            both = f"({marker.strip()}) and {asked}" if marker else asked
            said.append(f"Requires-Dist: {what.strip()}; {both}")
    points = settings["options.entry_points"]
    return {
        "METADATA": "".join(f"{line}\n" for line in said),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: lolly_build\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "".join(
            f"[{group}]\n" + "".join(f"{line}\n" for line in lines(points[group]))
            for group in points
        ),
    }

"""The extensions in C, compiled for tests where no build has them; None without a C compiler."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from lolly_tx.wire.grammar import REQUEST_NAMES, RESPONSE_NAMES
from lolly_tx.wire.hpack.native import told
from lolly_tx.wire.scanner import classes

PACKAGE = Path(__file__).parents[2] / "lolly_tx"
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


@cache
def scanner(flags: tuple[str, ...] = ()) -> Any | None:
    """`wire._scan`, configured; None where it cannot be made."""
    module = extension("wire/_scan.c", flags)
    if module is not None:
        module.configure(classes(), REQUEST_NAMES, RESPONSE_NAMES)
    return module


@cache
def blocks(flags: tuple[str, ...] = ()) -> Any | None:
    """`wire.hpack._blocks`, configured; None where it cannot be made."""
    module = extension("wire/hpack/_blocks.c", flags)
    if module is not None:
        module.configure(*told())
    return module


def extension(source: str, flags: tuple[str, ...] = ()) -> Any | None:
    """The module of a file in our package; None where it cannot be made."""
    compiler = shutil.which("cc")
    headers = sysconfig.get_path("include")
    if compiler is None or not Path(headers, "Python.h").exists():
        return None
    name = Path(source).stem
    folder = tempfile.mkdtemp(prefix="native")
    try:
        made = Path(folder, f"{name}.so")
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", *flags]
        command += [f"-I{headers}", str(PACKAGE / source), "-o", str(made)]
        subprocess.run(command, check=True)
        spec = importlib.util.spec_from_file_location(name, made)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        shutil.rmtree(folder)
    return module

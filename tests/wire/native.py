"""The scanner of heads, compiled for tests where no build has it; None without a C compiler."""

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
from lolly_tx.wire.scanner import classes

SOURCE = Path(__file__).parents[2] / "lolly_tx" / "wire" / "_scan.c"
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


@cache
def scanner(flags: tuple[str, ...] = ()) -> Any | None:
    """The module, configured; None where it cannot be made."""
    compiler = shutil.which("cc")
    headers = sysconfig.get_path("include")
    if compiler is None or not Path(headers, "Python.h").exists():
        return None
    folder = tempfile.mkdtemp(prefix="scan")
    try:
        made = Path(folder, "_scan.so")
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", *flags]
        subprocess.run([*command, f"-I{headers}", str(SOURCE), "-o", made], check=True)
        spec = importlib.util.spec_from_file_location("_scan", made)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        shutil.rmtree(folder)
    module.configure(classes(), REQUEST_NAMES, RESPONSE_NAMES)
    return module

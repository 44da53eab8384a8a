"""The cache of compiled code is keyed by every file that has compiled functions, and by what those import."""

from __future__ import annotations

from pathlib import Path

import vmsim
from vmsim.struct.jit import compiled_sources


def test_files_with_compiled_functions_are_hashed() -> None:
    hashed = set(compiled_sources())
    package = Path(vmsim.__file__).parent
    marked = [path for path in package.rglob("*.py") if any(line in ("@entry", "@compiled") for line in path.read_text().splitlines())]
    assert len(marked) > 30
    assert set(marked) <= hashed

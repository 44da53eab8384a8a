"""The files that a run reads beside its YAML: in a spec's identity their contents stand for their paths."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from vmsim.errors import VmsimError
from vmsim.spec.experiment import ResolvedRun
from vmsim.spec.patterns import ReplayPattern
from vmsim.spec.steps import AccessStep, DrawStep, all_steps
from vmsim.spec.traces import TraceStep

_PIECE = 1 << 20


def input_files(run: ResolvedRun) -> Iterator[str]:
    """Paths of the traces and of the arrays of page numbers that a run's programs name."""
    for task in run.tasks:
        for step in all_steps(task.program):
            if isinstance(step, TraceStep):
                yield step.file
            elif isinstance(step, (AccessStep, DrawStep)) and isinstance(step.pattern, ReplayPattern) and step.pattern.file:
                yield step.pattern.file


def digest_of(path: str) -> str:
    """`sha256:` and the hexadecimal digest of a file, read piece by piece. Raises VmsimError if it can't be read."""
    try:
        status = os.stat(path)
        return _digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise VmsimError(f"{path}: can't be read: {error.strerror}") from None


@lru_cache(maxsize=256)
def _digest(path: str, mtime_ns: int, size: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def identity(spec: Any, digests: Mapping[str, str]) -> Any:
    """A spec as JSON data in which the files of `digests` are named by their contents, wherever they lie."""
    if isinstance(spec, dict):
        return {
            key: digests.get(value, value) if isinstance(value, str) and key in ("file", "trace") else identity(value, digests)
            for key, value in spec.items()
        }
    if isinstance(spec, (list, tuple)):
        return [identity(value, digests) for value in spec]
    return spec
